"""Frames that are read by compiled patterns say what the venue's own parser finds in them, and nothing of others."""

import importlib.util
import random
from types import ModuleType
from typing import Any

import pytest

from adapters.base import Reading
from adapters.binance import futures
from adapters.binance import parser as binance
from adapters.binance.futures_symbols import USDM
from adapters.registry import market_data
from pipelines.lines import Lines
from pipelines.raw import Line
from tests.adapters.venues import items_of, mutated
from tests.recordings import data_folder
from topics import native

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


@pytest.mark.parametrize("pattern", [b"%", b"%y", b"a%[", b"%s", b"%s%d", b"%[%[%]%]", b"a" + b"%d," * 60])
def test_what_is_no_pattern_is_refused(pattern: bytes) -> None:
    with pytest.raises(ValueError, match="pattern"):
        native.template(pattern)


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
    chance, taken = random.Random(7), 0
    for line in Lines(venue, market_data(venue)).of(items_of(path)):
        if len(line.frame) > 20_000:
            continue
        assert _said(compiled, line, venue) == _said(plain, line, venue)
        for _ in range(2):
            broken = Line(line.ts, line.key, mutated(line.frame, chance))
            assert _said(compiled, broken, venue) == _said(plain, broken, venue), broken.frame
        taken += 1
    assert taken > 100


def _said(parse: Any, line: Line, venue: str) -> str:
    memory: dict[str, str] = {}
    try:
        found = parse(line.frame, Reading(venue, line.key, line.ts, 1, memory))
        return repr((None if found is None else list(found), memory))
    except ValueError as error:
        return repr(error)


def _without_patterns(venue: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(native, "template", lambda _: lambda _: None)
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
