"""What several venues' parsers share. Pure; each raises BadFrame or ValueError for what cannot be read."""

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.base import BadFrame, Reading
from topics.record import Side

LEAST, MOST = Decimal("1e-18"), Decimal("1e18")
MOST_DIGITS = 40


def iso_ns(text: str) -> int:
    """UTC ns of an ISO 8601 time: ``2026-08-09T12:34:56.123456789Z``. Digits after the ninth are dropped."""
    try:
        head, _, rest = text.partition(".")
        digits = rest.rstrip("Z").partition("+")[0]
        ns = _second(head) * 1_000_000_000 + int(f"{digits[:9]:0<9}" if digits else 0)
    except (ValueError, OverflowError) as error:
        raise BadFrame(f"not a time: {text!r}") from error
    if not 0 <= ns < 2**63:
        raise BadFrame(f"not a time: {text!r}")
    return ns


@lru_cache(256)
def _second(head: str) -> int:
    return int(datetime.fromisoformat(head.rstrip("Z")[:19]).replace(tzinfo=UTC).timestamp())


def text_of(number: Decimal) -> str:
    """A JSON number's digits as they stood, without exponent; for venues that send numbers, decoded as Decimal. BadFrame for
    one that would take a page to write: ``1e999999999``.
    """
    text = str(number)
    if "E" not in text:
        return text
    if not -MOST_DIGITS < number.adjusted() < MOST_DIGITS:
        raise BadFrame(f"not a price or size: {text[:40]}")
    return format(number, "f")


def positive(number: Decimal, what: str) -> Decimal:
    if not LEAST <= number < MOST:
        raise BadFrame(f"not a {what}: {number}")
    return number


def side_of(text: str) -> Side:
    """``buy``, ``Buy``, ``BUY``, ``b`` and the like."""
    match text[:1].lower():
        case "b":
            return Side.BUY
        case "s" | "a":
            return Side.SELL
    raise BadFrame(f"not a side: {text!r}")


def named(symbol: str, wanted: str, reading: Reading) -> None:
    """BadFrame unless a frame is about the instrument it is read for."""
    if symbol != wanted:
        raise BadFrame(f"names {symbol!r}, not {reading.instrument}")


Millis = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]
"""Past the year 2200, and as nanoseconds still 64 bits."""

Number = Annotated[int, Meta(ge=0, le=2**62)]
"""A sequence number."""

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, ArithmeticError, RecursionError)
"""What decoders raise, and numbers that are none or too large to reckon with."""


def told(number: Decimal | None) -> Decimal | None:
    """A price that may be missing: not there, null and 0 are the same."""
    return number if number is not None and LEAST <= number < MOST else None


def text_in(frame: bytes, mark: bytes, most: int = 64) -> str:
    """What stands between the first ``mark`` and the next quotation mark; "" where it does not."""
    start = frame.find(mark)
    if start < 0:
        return ""
    start += len(mark)
    end = frame.find(b'"', start, start + most)
    return frame[start:end].decode("ascii", "replace") if end > start else ""


def whole(text: str, what: str) -> int:
    """A number of at most 63 bits without sign, written as a text."""
    if not (text.isascii() and text.isdigit() and len(text) < 20) or (number := int(text)) >= 2**63:
        raise BadFrame(f"not a {what}: {text[:40]!r}")
    return number


def quoted(bid: Decimal, bid_size: Decimal, ask: Decimal, ask_size: Decimal) -> None:
    """BadFrame unless these can be the best bid and ask of one market."""
    if not (LEAST <= bid < ask < MOST and LEAST <= bid_size < MOST and LEAST <= ask_size < MOST):
        raise BadFrame(f"not a quote: {bid_size} at {bid} / {ask_size} at {ask}")


def of_the_book(name: str, depth: int, whole: bool, memory: dict[str, str]) -> bool:
    """Whether a change is of the book that is kept, where one instrument may have several streams of them: of the deepest
    one, from its first snapshot (``whole``) on.
    """
    known, _, kept = memory.get(BOOK, "").partition(" ")
    if known == name:
        return True
    if not known or (whole and depth > int(kept)):
        if whole:
            memory[BOOK] = f"{name} {depth}"
        return True
    return False


BOOK = "book"
"""In a parser's memory: which of an instrument's books is kept, and its depth."""

NEWEST = "ts"
"""In a parser's memory: the newest time that the venue told in any frame, for those that tell none."""


def remembered(ts_event: int, reading: Reading) -> int:
    """``ts_event``, and the parser's memory knows of it."""
    if ts_event > int(reading.memory.get(NEWEST, "0")):
        reading.memory[NEWEST] = str(ts_event)
    return ts_event


def newest(reading: Reading) -> int:
    """What ``remembered`` kept, else what the stage knows."""
    return int(reading.memory.get(NEWEST, "0")) or reading.ts_venue or reading.ts_init
