"""Decimals for people and scripts have plain digits."""

import json
from decimal import Decimal

import pytest

from pipelines.exact import text
from pipelines.plain import money, plain_json
from topics.portfolio import BalanceChanged


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("0E-16", "0"),
        ("-0E-2", "0"),
        ("1E+3", "1000"),
        ("1.2300", "1.23"),
        ("-0.00000001", "-0.00000001"),
        ("100", "100"),
    ],
)
def test_no_exponent_no_idle_zeros(value: str, written: str) -> None:
    assert text(Decimal(value)) == written


def test_a_record_keeps_its_other_fields() -> None:
    record = BalanceChanged(
        account="a", currency="USDT", free=Decimal("0E-16"), locked=Decimal("1.50"), reason="x", ts_event=1, ts_init=2
    )
    told = json.loads(plain_json(record))
    assert (told["free"], told["locked"], told["ts_init"]) == ("0", "1.5", 2)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0.00"),
        ("1234.567", "1,234.57"),
        ("-0.00687468", "-0.00687468"),
        ("0.5", "0.50"),
        ("-0.123456789", "-0.12345679"),
    ],
)
def test_money_shows_coin_below_one_unit(amount: str, text: str) -> None:
    assert money(Decimal(amount)) == money(float(amount)) == text
