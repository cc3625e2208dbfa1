"""The form of ``market.raw``: one ``<recv_ns> <key> <frame>`` per line, one or more lines a record.

The key is the instrument (``binance:BTC-USDT``), or the venue and a colon (``binance:``) where a frame names none
that we follow; it is the record's Kafka key too, so all lines of a record have the same one. The frame is as the
venue sent it, but that a line break inside it is a space (between JSON tokens the two mean the same). ``recv_ns`` is
our clock, UTC.
"""

import msgspec

UNREADABLE = "?"
"""The key of lines that are no lines."""

LAST_NS = 2**63


class Line(msgspec.Struct, frozen=True, gc=False):
    ts: int
    key: str
    frame: bytes


def encode_line(ts: int, key: str, frame: bytes) -> bytes:
    return b"%d %b %b" % (ts, key.encode(), frame.replace(b"\r", b" ").replace(b"\n", b" "))


def decode_lines(value: bytes) -> list[Line]:
    """Every line of a record, in order. What is no line comes under ``UNREADABLE``, whole, so that its neighbours are
    not lost.
    """
    return [_line(raw) for raw in value.split(b"\n") if raw]


def _line(raw: bytes) -> Line:
    try:
        ts, key, frame = raw.split(b" ", 2)
        line = Line(int(ts), key.decode(), frame)
    except ValueError:
        return Line(0, UNREADABLE, raw)
    return line if 0 <= line.ts < LAST_NS else Line(0, UNREADABLE, raw)
