"""Captures: what is refused, and that what is played is what was recorded."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest

from adapters.simulated.capture import Capture, CaptureError, Frame, joined, read_capture
from adapters.simulated.core import Core
from adapters.simulated.model import BestQuote, BookDelta, BookSnapshot, MarketTrade, Side
from adapters.simulated.units import SCALE

SNAPSHOT = b'5 {"lastUpdateId":7,"bids":[["1.50","2.0"]],"asks":[["1.52","3.25"]]}\n'
TRADE = (
    b'9 {"stream":"abcusdt@trade","data":{"e":"trade","E":4,"s":"ABCUSDT","t":31,"p":"1.50","q":"1","T":3,"m":true}}\n'
)


def write(path: Path, *lines: bytes) -> Path:
    with gzip.open(path, "wb") as file:
        file.writelines(lines)
    return path


@pytest.fixture(scope="module", params=["btcusdt_20240808.gz", "ethusdt_20240808.gz"])
def recorded(request: pytest.FixtureRequest, data_dir: Path) -> Capture:
    return read_capture(data_dir / "hftbacktest" / "spot" / request.param)


@pytest.mark.parametrize("name", ["btcusdt_20240809.gz", "ethusdt_20240809.gz"])
def test_a_capture_that_only_continues_another_is_refused_in_one_line(data_dir: Path, name: str) -> None:
    with pytest.raises(CaptureError, match="no depth snapshot") as error:
        read_capture(data_dir / "hftbacktest" / "spot" / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ((), "one instrument"),
        ((SNAPSHOT,), "one instrument"),
        ((TRADE,), "no depth snapshot"),
        ((SNAPSHOT, b"nonsense\n"), "line 2 .*does not begin with the local time"),
        ((SNAPSHOT, b"17 {nonsense\n"), "line 2 .*what follows the time is not JSON"),
        ((SNAPSHOT, b'17 {"a":1}\n'), "line 2 .*neither a depth snapshot .* nor a frame of stream and data"),
        ((SNAPSHOT, TRADE.replace(b'"p"', b'"x"')), "line 2 .*the field p is missing"),
        ((SNAPSHOT, TRADE.replace(b'"T":', b'"T": ')), "line 2 .*the time T is not written as the venue writes it"),
        ((SNAPSHOT, TRADE.replace(b'"e":"trade"', b'"e":"kline"')), "line 2 .*an event 'kline' is none of"),
        ((SNAPSHOT, TRADE, TRADE.replace(b"abc", b"xyz")), "one instrument"),
    ],
)
def test_what_is_no_capture_is_refused(tmp_path: Path, lines: tuple[bytes, ...], complaint: str) -> None:
    with pytest.raises(CaptureError, match=complaint):
        read_capture(write(tmp_path / "a.gz", *lines))


def test_a_folder_and_a_file_that_is_cut_off_are_called_that(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="is a folder"):
        read_capture(tmp_path)
    whole = write(tmp_path / "a.gz", SNAPSHOT, TRADE)
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(CaptureError, match="not a whole gzip file"):
        read_capture(whole)


def test_tick_and_lot_of_an_unknown_instrument_are_inferred_from_the_snapshots_digits(tmp_path: Path) -> None:
    instrument = read_capture(write(tmp_path / "a.gz", SNAPSHOT, TRADE)).instrument
    assert (instrument.base, instrument.quote) == ("ABC", "USDT")
    assert (instrument.tick, instrument.step) == (SCALE // 100, SCALE // 100)


def test_frames_keep_every_byte_but_their_times(recorded: Capture) -> None:
    with gzip.open(recorded.path, "rb") as lines:
        for line, frame in zip(lines, recorded.frames, strict=True):
            if frame.streams:
                body = line.rstrip(b"\n").partition(b'"data":')[2].removesuffix(b"}")
                assert joined(frame.parts, list(frame.times)) == body
    changed = next(frame for frame in recorded.frames if isinstance(frame.recorded, MarketTrade))
    assert orjson.loads(joined(changed.parts, [11, 12]))["T"] == 12


def test_the_played_book_has_the_recorded_best_quote_on_every_frame(recorded: Capture) -> None:
    core = Core([recorded.instrument], recorded=[recorded.symbol])
    book = core.recorded_books()[recorded.symbol]
    core.feed(0, recorded.symbol, recorded.snapshot)
    waiting: list[BestQuote] = []
    compared = 0
    for frame in recorded.frames:
        core.feed(frame.local_ns, recorded.symbol, frame.recorded)
        if isinstance(frame.recorded, BestQuote):
            waiting.append(frame.recorded)
            if frame.recorded.update_id > book.update_id:
                assert touch(book.best(Side.BUY), book.best(Side.SELL)) == sides(frame.recorded)
                compared += 1
        elif isinstance(frame.recorded, BookDelta) and frame.recorded.last_id == book.update_id:
            passed = [one for one in waiting if one.update_id <= book.update_id]
            waiting = [one for one in waiting if one.update_id > book.update_id]
            if passed:
                bids, asks = book.depth(1)
                assert touch(bids[0], asks[0]) == sides(passed[-1])
                compared += 1
    assert compared > len(recorded.frames) * 0.6


def test_no_frame_is_older_than_what_it_was_received_at(recorded: Capture) -> None:
    timed = [frame for frame in recorded.frames if frame.times]
    assert all(frame.times[0] * 1_000_000 + recorded.clock_ns <= frame.local_ns for frame in timed)


def test_frames_are_of_the_kinds_that_are_published(recorded: Capture) -> None:
    kinds: dict[type, Frame] = {type(frame.recorded): frame for frame in recorded.frames}
    symbol = recorded.symbol.lower()
    assert kinds[BookDelta].streams == (f"{symbol}@depth@100ms", f"{symbol}@depth")
    assert kinds[BestQuote].streams == (f"{symbol}@bookTicker",)
    assert kinds[MarketTrade].streams == (f"{symbol}@trade",)
    assert kinds[BookSnapshot].streams == ()


def touch(bid: tuple[int, int] | None, ask: tuple[int, int] | None) -> tuple[int, int, int, int]:
    assert bid is not None
    assert ask is not None
    return *bid, *ask


def sides(quote: BestQuote) -> tuple[int, int, int, int]:
    return quote.bid, quote.bid_qty, quote.ask, quote.ask_qty
