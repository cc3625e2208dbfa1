"""What the venues' parsers share."""

from decimal import Decimal

import pytest

from adapters.base import BadFrame
from adapters.parsing import text_of, whole


@pytest.mark.parametrize(
    ("number", "text"),
    [("0.00010", "0.00010"), ("1e-7", "0.0000001"), ("12E+2", "1200"), ("4714.0", "4714.0"), ("0E-8", "0.00000000")],
)
def test_digits_stay_as_they_stood_without_exponent(number: str, text: str) -> None:
    assert text_of(Decimal(number)) == text


@pytest.mark.parametrize("number", ["1e999999999", "1e-999999999", "0e-999999999", "-1e50"])
def test_a_number_that_takes_a_page_to_write_is_a_bad_frame(number: str) -> None:
    with pytest.raises(BadFrame):
        text_of(Decimal(number))


@pytest.mark.parametrize("text", ["", "-1", "1.0", "1_0", " 1", "٣", "9" * 20, str(2**63)])
def test_a_text_that_is_no_whole_number_is_a_bad_frame(text: str) -> None:
    with pytest.raises(BadFrame):
        whole(text, "sequence")
