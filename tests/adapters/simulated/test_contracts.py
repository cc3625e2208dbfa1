"""Contracts on the exchange: nothing is exchanged, gains and fees are paid in what they are settled in, and what is open is covered."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from adapters.simulated.core import Core
from adapters.simulated.instruments import Instrument
from adapters.simulated.ledger import read_ledger
from adapters.simulated.ledger_writer import LedgerWriter
from adapters.simulated.model import OrderReport, Refused, Side
from adapters.simulated.resume import read_remains
from adapters.simulated.settlement import Fees
from adapters.simulated.units import SCALE
from pipelines.ledger_chain import broken_lines
from tests.adapters.simulated.builders import BUY, SELL, SYMBOL, held, order
from tests.adapters.simulated.test_core_properties import ACCOUNTS, FEES, POOR, Step, carry_out, histories, totals
from tests.adapters.simulated.test_resume import state

RULES = {"symbol": SYMBOL, "tick": SCALE, "step": SCALE, "min_price": SCALE, "min_notional": SCALE}
LINEAR = Instrument(base="BTC", quote="USDT-PERP", payoff="linear", settle="USDT", multiplier=SCALE // 10, **RULES)
INVERSE = Instrument(base="BTC", quote="USD-PERP", payoff="inverse", settle="BTC", multiplier=100 * SCALE, **RULES)
BOTH = pytest.mark.parametrize("contract", [LINEAR, INVERSE], ids=["linear", "inverse"])
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def venue(contract: Instrument, fees: Fees = FEES, **balances: int) -> Core:
    made = Core([contract], fees=fees)
    for account in ACCOUNTS:
        made.open_account(0, account, balances or POOR)
    return made


FREE = Fees(maker=0, taker=0)


def test_a_short_needs_no_coin_and_gains_as_the_price_falls() -> None:
    core = venue(LINEAR, FREE, USDT=1000 * SCALE)
    core.submit(1, order("ann", SELL, 50, 100))
    core.submit(2, order("bob", BUY, 50, 100))
    assert held(core, "ann", "USDT") == held(core, "bob", "USDT") == (500 * SCALE, 500 * SCALE)
    core.submit(3, order("bob", SELL, 50, 90))
    core.submit(4, order("ann", BUY, 50, 90))
    assert held(core, "ann", "USDT") == (1050 * SCALE, 0)
    assert held(core, "bob", "USDT") == (950 * SCALE, 0)
    assert "BTC" not in core.balances("ann")


def test_an_inverse_round_trip_pays_the_textbooks_gain_in_coin() -> None:
    """80 contracts of 100 dollars from 100 to 125: 8,000 x (1/100 - 1/125) = 16."""
    core = venue(INVERSE, FREE, BTC=200 * SCALE)
    core.submit(1, order("ann", BUY, 80, 100))
    core.submit(2, order("bob", SELL, 80, 100))
    assert held(core, "ann", "BTC") == (120 * SCALE, 80 * SCALE)
    core.submit(3, order("ann", SELL, 80, 125))
    core.submit(4, order("bob", BUY, 80, 125))
    assert held(core, "ann", "BTC") == (216 * SCALE, 0)
    assert held(core, "bob", "BTC") == (184 * SCALE, 0)


def test_the_fee_is_a_part_of_the_value_in_what_it_is_settled_in() -> None:
    core = venue(INVERSE, Fees(maker=0, taker=SCALE // 1000), BTC=200 * SCALE)
    core.submit(1, order("ann", BUY, 80, 100))
    events = core.submit(2, order("bob", SELL, 80, 100))
    (paid,) = [(one.fee, one.fee_asset) for one in events if isinstance(one, OrderReport) and one.fee]
    assert paid == (80 * SCALE // 1000, "BTC")


def test_what_opens_needs_its_whole_value_and_what_closes_needs_nothing() -> None:
    core = venue(LINEAR, FREE, USDT=1000 * SCALE)
    core.submit(1, order("bob", SELL, 100, 100))
    (refused,) = core.submit(2, order("ann", BUY, 101, 100))
    assert isinstance(refused, Refused)
    core.submit(2, order("ann", BUY, 100, 100))
    assert held(core, "ann", "USDT") == (0, 1000 * SCALE)
    (refused,) = core.submit(3, order("ann", BUY, 1, 90))
    assert isinstance(refused, Refused)
    core.submit(4, order("ann", SELL, 60, 110))
    core.submit(5, order("ann", SELL, 40, 120))
    assert len(core.open_orders("ann")) == 2
    (refused,) = core.submit(6, order("ann", SELL, 1, 110))
    assert isinstance(refused, Refused)


def test_an_account_that_has_lost_more_than_it_had_can_close_and_open_nothing() -> None:
    core = venue(LINEAR, FREE, USDT=1000 * SCALE)
    core.submit(1, order("ann", SELL, 100, 100))
    core.submit(2, order("bob", BUY, 100, 100))
    core.submit(3, order("bob", SELL, 100, 250))
    core.submit(4, order("ann", BUY, 60, 250))
    assert held(core, "ann", "USDT") == (-300 * SCALE, 400 * SCALE)
    core.submit(5, order("ann", BUY, 40, 250))
    assert held(core, "ann", "USDT") == (-500 * SCALE, 0)
    (refused,) = core.submit(6, order("ann", BUY, 1, 10))
    assert isinstance(refused, Refused)


@BOTH
@given(history=histories)
@QUIET
def test_money_only_moves_and_what_is_locked_covers_what_is_open(contract: Instrument, history: list[Step]) -> None:
    core = venue(contract)
    before = totals(core)
    for now, step in enumerate(history):
        carry_out(core, now, step)
        assert totals(core) == before
        for account in ACCOUNTS:
            orders = sum(one.locked for one in core.open_orders(account))
            margin = core.position(account, SYMBOL).margin
            assert margin >= 0
            assert held(core, account, contract.settle)[1] == orders + margin
            untouched = {asset: amount for asset, amount in POOR.items() if asset != contract.settle}
            assert {asset: held(core, account, asset)[0] for asset in untouched} == untouched


@BOTH
@given(history=histories)
@QUIET
def test_a_flat_account_has_gained_what_it_sold_for_less_what_it_paid(
    contract: Instrument, history: list[Step]
) -> None:
    core = venue(contract)
    spent: Counter[str] = Counter()
    fees: Counter[str] = Counter()
    open_qty: defaultdict[str, int] = defaultdict(int)
    for now, step in enumerate(history):
        for one in carry_out(core, now, step):
            if isinstance(one, OrderReport) and one.last_quote:
                account, sign = one.order.account, 1 if one.order.side is Side.BUY else -1
                assert one.last_quote == plain_value(contract, one.last_px, one.last_qty)
                spent[account] += sign * one.last_quote
                open_qty[account] += sign * one.last_qty
                fees[account] += one.fee
    for account in ACCOUNTS:
        position = core.position(account, SYMBOL)
        assert position.qty == open_qty[account]
        if position.qty == 0:
            assert position.margin == 0
            gain = spent[account] if contract is INVERSE else -spent[account]
            assert sum(held(core, account, contract.settle)) == POOR[contract.settle] + gain - fees[account]


def plain_value(contract: Instrument, price: int, qty: int) -> int:
    if contract is INVERSE:
        return 100 * qty * SCALE // price
    return price * qty // (10 * SCALE)


def write(path: Path, contract: Instrument, history: list[Step]) -> Core:
    core, writer = Core([contract], fees=FEES), LedgerWriter(path)
    writer.open_with(core.instruments.values())
    for account in ACCOUNTS:
        writer.append(core.open_account(1, account, POOR))
    for now, step in enumerate(history):
        writer.append(carry_out(core, now, step))
    writer.close()
    return core


@BOTH
@given(history=histories)
@QUIET
def test_the_ledger_adds_up_line_by_line_and_is_enough_to_go_on_from(
    tmp_path: Path, contract: Instrument, history: list[Step]
) -> None:
    path = tmp_path / f"{os.urandom(6).hex()}.jsonl"
    before = write(path, contract, history)
    assert read_ledger(path).differences() == []
    assert broken_lines(path) == []
    after = Core([contract], fees=FEES)
    after.restore(read_remains(path))
    after.reopen()
    assert state(after) == state(before)
    assert [after.position(a, SYMBOL) for a in ACCOUNTS] == [before.position(a, SYMBOL) for a in ACCOUNTS]


@BOTH
@pytest.mark.parametrize("changed", ["gain", "quote_qty", "price"])
def test_an_altered_gain_is_found(tmp_path: Path, contract: Instrument, changed: str) -> None:
    path = tmp_path / "ledger.jsonl"
    write(
        path,
        contract,
        [order("ann", BUY, 2, 100), order("bob", SELL, 2, 100), order("ann", SELL, 2, 101), order("bob", BUY, 2, 101)],
    )
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    last = [line for line in lines if line["type"] == "execution"][-1]
    last[changed] = "7.00000000"
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    assert broken_lines(path)
