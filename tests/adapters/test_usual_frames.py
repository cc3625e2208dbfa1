"""Frames that are read by compiled patterns say what the venue's own parser finds in them, and nothing of others."""

import importlib.util
import random
from collections import defaultdict
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.base import Parsed, Reading
from adapters.binance import futures
from adapters.binance import parser as binance
from adapters.binance.futures_symbols import USDM
from adapters.registry import market_data
from pipelines.lines import Lines
from pipelines.raw import Line
from tests.adapters.venues import items_of, mutated
from tests.recordings import data_folder
from topics import native
from topics.market import BookDelta

pytestmark = pytest.mark.skipif(bool(native.ABSENT), reason=f"no compiled code: {native.ABSENT}")

PATTERN = b'{"t":"%s","n":%d,"i":%i,"ms":%m,"at":"%z","x":%n,"y":"%D","b":%b,"skip":"%*","no":%#,"l":%[["%p","%q"%~]%]}'
FRAME = (
    b'{"t":"abc","n":7,"i":-8,"ms":1786310816618,"at":"2026-08-09T21:05:48.4835Z","x":0.50,"y":"1.20","b":true,'
    b'"skip":"q r","no":12,"l":[["1.0","2","0","4"],["1.1","0"]]}'
)


def test_a_pattern_reads_what_stands_at_its_directives() -> None:
    text, n, i, ms, at, x, y, b, levels = native.template(PATTERN)(FRAME) or ()
    assert (text, n, i, ms, x, str(y), b) == ("abc", 7, -8, 1786310816618, "0.50", "1.20", True)
    assert at == 1786309548483500000
    assert levels == (("1.0", "2"), ("1.1", "0"))


@pytest.mark.parametrize(
    ("was", "made"),
    [
        (b'"abc"', b'"a\\u0062c"'), (b'"abc"', '"ä"'.encode()), (b":7,", b":07,"), (b":7,", b":7.0,"), (b":7,", b": 7,"),
        (b":7,", b":1234567890123456789,"), (b":-8", b":--8"), (b"1786310816618", b"9000000000001"), (b"08-09", b"02-30"),
        (b"21:05", b"24:05"), (b".4835Z", b".4835"), (b".4835Z", b".Z"), (b"0.50", b".50"), (b"0.50", b"5e1"), (b"0.50", b"00.5"),
        (b'"1.20"', b'"-1.20"'), (b"true", b"null"), (b'"4"]', b"4]"), (b'"0"]]', b'"0"],]'), (b"}", b"} "), (b"}", b""),
    ],
)  # fmt: skip
def test_what_is_written_otherwise_is_left_to_the_parser(was: bytes, made: bytes) -> None:
    assert was in FRAME
    assert native.template(PATTERN)(FRAME.replace(was, made, 1)) is None


def test_what_is_left_may_be_anything_and_times_can_be_nanoseconds() -> None:
    read = native.template(b'{"ms":%M,"side":"%k"%.')
    assert read(b'{"ms":7,"side":"sell",\xff') == (7_000_000, False)
    assert read(b'{"ms":7,"side":"buy"') == (7_000_000, True)
    assert read(b'{"ms":7,"side":"bu') is None


@pytest.mark.parametrize("pattern", [b"%", b"%y", b"a%[", b"%s", b"%s%d", b"%[%[%]%]", b"a" + b"%d," * 60])
def test_what_is_no_pattern_is_refused(pattern: bytes) -> None:
    with pytest.raises(ValueError, match="pattern"):
        native.template(pattern)


DELTA = b'{"t":"%s","x":"%s","ts":%M,"b":%[["%p","%q"]%],"a":%[["%p","%q"]%],"u":%d,"cts":%M}'
DELTA_VALUES = ("kept", "symbol", "ts_event", "bids", "asks", "sequence", "ts_event")
CHANGE = b'{"t":"200","x":"BTC","ts":5,"b":[["1","2"]],"a":[],"u":7,"cts":6}'
LEVEL = b'{"x":"%s","side":"%k","u":%d,"p":%n,"q":%n,"ts":%M}'
LEVEL_VALUES = ("symbol", "is_bid", "sequence", "price", "size", "ts_event")


def parser(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    return ()


def reading(**memory: str) -> Reading:
    return Reading("sim", "sim:BTC", 9, 1, memory)


def symbol(instrument: str) -> str:
    if not instrument.startswith("sim:"):
        raise ValueError(instrument)
    return instrument.removeprefix("sim:")


def test_a_change_of_a_book_is_read_at_once() -> None:
    read = native.deltas((b"nothing", DELTA), DELTA_VALUES, symbol, parser)
    delta = BookDelta(
        instrument="sim:BTC",
        bids=(("1", "2"),),
        asks=(),
        first_sequence=7,
        sequence=7,
        ts_event=6_000_000,
        ts_init=9,
    )
    assert read(CHANGE, reading(kept="200 200")) == (delta,)
    earlier = replace(delta, ts_event=5_000_000)
    assert read(CHANGE.replace(b'"cts":6', b'"cts":0'), reading(kept="200 200")) == (earlier,)


@pytest.mark.parametrize("side", ["buy", "sell", "bid", "offer"])
def test_a_change_of_one_level_is_of_its_side(side: str) -> None:
    read = native.deltas((LEVEL,), LEVEL_VALUES, symbol, parser)
    (delta,) = read(b'{"x":"BTC","side":"%b","u":7,"p":1.50,"q":0,"ts":6}' % side.encode(), reading()) or ()
    level, is_bid = (("1.50", "0"),), side in ("buy", "bid")
    assert isinstance(delta, BookDelta)
    assert (delta.bids, delta.asks) == ((level, ()) if is_bid else ((), level))


@pytest.mark.parametrize(
    ("was", "made"), [(b'"BTC"', b'"ETH"'), (b'"u":7', b'"u":1'), (b'"200"', b'"50"'), (b'"t"', b'"T"'), (b"}", b"} ")]
)
def test_what_is_no_usual_change_of_the_kept_book_is_the_parsers(was: bytes, made: bytes) -> None:
    read = native.deltas((DELTA,), DELTA_VALUES, symbol, parser)
    assert read(CHANGE.replace(was, made), reading(kept="200 200")) == ()
    assert read(CHANGE, reading()) == read(CHANGE, reading(kept="2001 2001")) == read(CHANGE, reading(kept="200")) == ()
    assert read(CHANGE, Reading("venue", "other:BTC", 9, 1, {"kept": "200 200"})) == ()


@pytest.mark.parametrize(
    "values", [(), LEVEL_VALUES[1:], (*LEVEL_VALUES[:-1], "bids"), ("symbol", "sequence", "ts_event", "bids")]
)
def test_values_that_make_no_delta_are_refused(values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="delta"):
        native.deltas((LEVEL,), values, symbol, parser)


RECORDED = {
    "binance": "BINANCE",
    "binance_usdm": "BINANCE_FUTURES",
    "bybit": "BYBIT",
    "coinbase": "COINBASE",
    "kraken": "KRAKEN",
    "kraken_futures": "KRAKEN_FUTURES",
    "okx": "OKX",
}


@pytest.mark.parametrize("venue", RECORDED)
def test_recorded_frames_and_broken_ones_are_the_same_to_both(venue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = data_folder() / "cryptofeed" / f"{RECORDED[venue]}.jsonl.zst"
    if not path.exists():
        pytest.skip(f"no recording at {path}")
    compiled, plain = market_data(venue).parse, _without_patterns(venue, monkeypatch)
    memories: dict[str, dict[str, str]] = defaultdict(dict)
    chance, taken = random.Random(7), 0
    for line in Lines(venue, market_data(venue)).of(items_of(path)):
        if len(line.frame) > 20_000:
            continue
        memory = memories[line.key]
        for _ in range(2):
            broken = Line(line.ts, line.key, mutated(line.frame, chance))
            assert _said(compiled, broken, venue, {**memory}) == _said(plain, broken, venue, {**memory}), broken.frame
        assert _said(compiled, line, venue, {**memory}) == _said(plain, line, venue, memory)
        taken += 1
    assert taken > 100


def _said(parse: Any, line: Line, venue: str, memory: dict[str, str]) -> str:
    try:
        found = parse(line.frame, Reading(venue, line.key, line.ts, 1, memory))
        return repr((None if found is None else list(found), memory))
    except ValueError as error:
        return repr(error)


def _without_patterns(venue: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(native, "template", lambda _: lambda _: None)
    monkeypatch.setattr(native, "deltas", lambda *given: given[-1])
    if venue == "binance":
        return binance.parser(binance.SPOT._replace(often=()))
    if venue == "binance_usdm":
        return binance.parser(futures.dialect(USDM.venue_symbol)._replace(often=()))
    if venue == "kraken":
        monkeypatch.setattr("adapters.kraken.parser.usual", lambda *_: None)
    return _copy(f"adapters.{venue}.parser").parse


def _copy(name: str) -> ModuleType:
    """The module once more, made while patterns read nothing."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
