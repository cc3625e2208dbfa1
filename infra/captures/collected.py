"""The lines that hftbacktest's collector writes, one instrument a file: ``<local time> <what was received>``.

    1723161253937085768 {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate",...}}
    1723161254150013868 {"lastUpdateId":50093239213,"bids":[...],"asks":[...]}            (an answer of REST)

Nanoseconds; microseconds in files of 2023. The format tells no URL: an answer's is what the instrument that the file's
own frames name must have been asked for, since a spot body does not name its instrument.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from infra.captures.files import Line, lines
from infra.captures.item import CaptureError, Item, Kind, bad_line
from infra.captures.shapes import binance_symbol, venue_of_frame
from infra.captures.times import of_epoch

_LINE = re.compile(rb"(\d{10,19}) (.+)", re.DOTALL)
_ANSWER = b'{"lastUpdateId"'
_DEPTH = {
    "binance": "https://api.binance.com/api/v3/depth?symbol=",
    "binance_usdm": "https://fapi.binance.com/fapi/v1/depth?symbol=",
    "binance_coinm": "https://dapi.binance.com/dapi/v1/depth?symbol=",
}


def looks_like(start: bytes) -> bool:
    found = _LINE.match(start.lstrip())
    return found is not None and found[2][:1] in b'{["'


def items(path: Path, past_bad_lines: bool = False) -> Iterator[Item]:
    asked, item = "", None
    for line in lines(path):
        try:
            ts, frame = _parts(path, line)
        except CaptureError as error:
            if not past_bad_lines:
                raise
            item = bad_line(item, error, line.data)
            yield item
            continue
        if frame.startswith(_ANSWER):
            asked = asked or _asked(path)
            item = Item(ts, Kind.ANSWER, "", asked, frame)
        else:
            item = Item(ts, Kind.FRAME, "", "", frame)
        yield item


def _parts(path: Path, line: Line) -> tuple[int, bytes]:
    found = _LINE.fullmatch(line.data)
    if found is None:
        raise CaptureError(path, "does not begin with the local time and a space", line.number)
    try:
        return of_epoch(found[1]), found[2].strip()
    except ValueError as error:
        raise CaptureError(path, str(error), line.number) from None


def _asked(path: Path) -> str:
    """By the first frames of the file that say which instrument and market it is; "" when none does."""
    symbol = venue = ""
    try:
        for line in islice(lines(path), 1000):
            frame = line.data.partition(b" ")[2]
            symbol, venue = symbol or binance_symbol(frame), venue or venue_of_frame(frame)
            if symbol and venue:
                return _DEPTH[venue] + symbol if venue in _DEPTH else ""
    except CaptureError:
        pass  # the file breaks off early: the one who reads on is told
    return ""
