"""Every recording there is through the real edge, the real broker and the real normalize worker: not a frame is lost, not a gap,
and every book equals one rebuilt in the plainest way from the frames that stand on the tape. And some of them once more with
faults: what ends in a gap ends in the same books again.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from adapters.base import read_own
from infra.captures import Item, Kind
from infra.services import Endpoints
from pipelines.player import Faults, Player
from pipelines.player.recording import Recording
from tests.adapters import (
    test_binance_futures,
    test_bitmex,
    test_bitstamp,
    test_bybit,
    test_coinbase,
    test_deribit,
    test_gateio,
    test_hyperliquid,
    test_kraken,
    test_kraken_futures,
    test_kucoin,
    test_okx,
)
from tests.adapters.venues import Naive, play
from tests.pipelines.playing import Show, Step, renamed, steps, through_kafka
from topics.book import Book
from topics.market import BookDelta, BookSnapshot, Gap, Trade
from topics.record import InstrumentId
from topics.system import DeadLetter

pytestmark = pytest.mark.timeout(400)


class BinanceNaive(test_binance_futures.Naive):
    """Spot's best prices are of no kind that it knows."""

    def feed(self, item: Item) -> None:
        if item.kind is Kind.ANSWER or b'"e":"depthUpdate"' in item.data:
            super().feed(item)


NAIVE: dict[str, Callable[[], Naive]] = {
    "binance": BinanceNaive,
    "binance_usdm": BinanceNaive,
    "binance_coinm": BinanceNaive,
    "bitmex": test_bitmex.NaiveBooks,
    "bitstamp": test_bitstamp.NaiveBooks,
    "bybit": test_bybit.Naive,
    "coinbase": test_coinbase.Naive,
    "deribit": test_deribit.NaiveBooks,
    "gateio": test_gateio.NaiveBooks,
    "hyperliquid": test_hyperliquid.NaiveBooks,
    "kraken": test_kraken.Naive,
    "kraken_futures": test_kraken_futures.Naive,
    "kucoin": test_kucoin.NaiveBooks,
    "okx": test_okx.Naive,
}

TRADED: dict[str, Callable[[Any], list[Any]]] = {
    "binance": lambda m: (
        [m["data"]["t"]]
        if m["data"].get("e") == "trade"
        else [m["data"]["a"]]
        if m["data"].get("e") == "aggTrade"
        else []
    ),
    "bitmex": lambda m: (
        [t["trdMatchID"] for t in m["data"]] if m.get("table") == "trade" and m["action"] == "insert" else []
    ),
    "bitstamp": lambda m: [m["data"]["id"]] if m.get("event") == "trade" else [],
    "bybit": lambda m: [t["i"] for t in m["data"]] if m.get("topic", "").startswith("publicTrade") else [],
    "coinbase": lambda m: [
        t["trade_id"]
        for e in m["events"]
        if m["channel"] == "market_trades" and e["type"] == "update"
        for t in e["trades"]
    ],
    "deribit": lambda m: (
        [t["trade_id"] for t in m["params"]["data"] if m["params"]["channel"].startswith("trades")]
        if "params" in m and isinstance(m["params"]["data"], list)
        else []
    ),
    "gateio": lambda m: [m["result"]["id"]] if m["channel"] == "spot.trades" and m["event"] == "update" else [],
    "hyperliquid": lambda m: [t["tid"] for t in m["data"]] if m["channel"] == "trades" else [],
    "kraken": lambda m: [tuple(t) for t in m[1]] if isinstance(m, list) and m[-2] == "trade" else [],
    "kraken_futures": lambda m: [m["uid"]] if m.get("feed") == "trade" and "uid" in m else [],
    "kucoin": lambda m: [m["data"]["tradeId"]] if m.get("subject") == "trade.l3match" else [],
    "okx": lambda m: (
        [t["tradeId"] for t in m["data"]] if m.get("arg", {}).get("channel") == "trades" and "data" in m else []
    ),
}


def shows(data: Path) -> Iterator[Show]:
    feed, hft = data / "cryptofeed", data / "hftbacktest"
    for path in sorted(feed.glob("*.zst")):
        yield Show(path.name.partition(".")[0].lower().replace("_", ""), Recording([path]))
    yield Show("bitmex", Recording(sorted(feed.glob("BITMEX.*"))))
    yield Show("hyperliquid", Recording([hft / "hyperliquid" / "btcusd_20250126.gz"]))
    for folder, symbol in (
        ("spot", "btcusdt"),
        ("spot", "ethusdt"),
        ("usdm", "btcusdt"),
        ("usdm", "ethusdt"),
        ("cm", "btcusd"),
    ):
        yield Show(f"{folder}{symbol}", Recording(sorted((hft / folder).glob(f"{symbol}*"))))


class Shown(NamedTuple):
    show: Show
    player: Player
    tape: dict[InstrumentId, list[Step]]
    items: list[Item]


def shown(endpoints: Endpoints, prefix: str, home: Path, chosen: list[Show]) -> Iterator[Shown]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.edge_process.EVERY_S", 0.1)
        players = asyncio.run(through_kafka(endpoints, prefix, home, chosen))
    tape = steps(dict(endpoints.kafka), prefix)
    for show in chosen:
        of = {i: s for i, s in tape.items() if i.startswith(f"{show.venue}:")}
        yield Shown(show, players[show.venue], of, [place.item for place in show.recording.places()])


def items_of(frame: bytes, recorded: dict[bytes, Item], depth: str) -> list[Item]:
    """A line of the tape as the recording has it; what the player made itself is a book, asked for as the recorded ones."""
    own = read_own(frame)
    if own is None:
        return [recorded.get(frame, Item(0, Kind.FRAME, "", "", frame))]
    if own.event is not None:
        return []
    found = recorded.get(own.body)
    return [found] if found is not None else [Item(0, Kind.ANSWER, "", depth, own.body)] if own.what == "depth" else []


def folded(book: Book | None, step: Step) -> Book | None:
    for event in step.events:
        match event:
            case BookSnapshot():
                book = Book.of(event)
            case BookDelta():
                assert book is not None
                book.apply(event)
            case Gap():
                book = None
    return book


def assert_books(one: Shown, every: int = 20) -> int:
    """How many comparisons that were: each instrument at the end, and after each ``every``-th record of it."""
    recorded = {item.data: item for item in one.items}
    depth = {
        i: next((x.about for x in one.items if x.data == body), "") for i, body in one.show.recording.depth.values()
    }
    compared = 0
    for instrument, symbol in one.show.recording.symbols.items():
        naive, book, begun = NAIVE[one.show.recording.venue](), None, False
        for item in one.items:
            if item.kind is Kind.OPENED:
                naive.feed(item)
        tape = one.tape[renamed(one.show, instrument)]
        for n, step in enumerate(tape, start=1):
            for frame in step.frames:
                for item in items_of(frame, recorded, depth.get(instrument, "")):
                    if item.kind is not Kind.ANSWER or not begun:
                        naive.feed(item)
                    begun = begun or item.kind is Kind.ANSWER
            book = folded(book, step)
            begun = book is not None  # a live book needs no other answer; one that came too early does
            if book is not None and (n % every == 0 or n == len(tape)):
                assert (dict(book.bids()), dict(book.asks())) == naive.books[symbol], (instrument, n)
                compared += 1
        assert book is not None, instrument
    return compared


def of_kind(one: Shown, kind: type) -> list[Any]:
    return [event for tape in one.tape.values() for step in tape for event in step.events if isinstance(event, kind)]


@pytest.fixture(scope="module")
def played(endpoints: Endpoints, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shown]:
    home = tmp_path_factory.mktemp("recordings")
    return {one.show.venue: one for one in shown(endpoints, "recordings", home, list(shows(data_dir)))}


NAMES = (
    *("binance", "binancefutures", "binanceus", "bitmex", "bitstamp", "bybit", "coinbase", "deribit", "gateio"),
    *("hyperliquid", "kraken", "krakenfutures", "kucoin", "okx"),
    *("spotbtcusdt", "spotethusdt", "usdmbtcusdt", "usdmethusdt", "cmbtcusd"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_goes_through_whole_and_its_books_are_the_plain_ones(played: dict[str, Shown], name: str) -> None:
    one = played[name]
    frames = [item.data for item in one.items if item.kind is Kind.FRAME]
    assert (one.player.sent, one.player.unheard) == (len(frames), 0)
    on_tape = {frame for tape in one.tape.values() for step in tape for frame in step.frames}
    assert [frame for frame in frames if frame.replace(b"\n", b" ") not in on_tape] == []
    assert of_kind(one, Gap) == of_kind(one, DeadLetter) == []
    assert_books(one)
    venue = one.show.recording.venue
    read = TRADED["binance" if venue.startswith("binance") else venue]
    told = Counter(str(t) for frame in frames for t in read(json.loads(frame)))
    assert len(of_kind(one, Trade)) == len(told)


# --- with faults ----------------------------------------------------------------------------------------------------


def changes(recording: Recording) -> list[int]:
    """The places of book changes of the instrument that has most of them."""
    found: dict[InstrumentId, list[int]] = {}
    items = [place.item for place in recording.places()]
    at = {id(item): n for n, item in enumerate(items)}

    def see(item: Item, states: object, new: list[Any]) -> None:
        for event in new:
            if isinstance(event, BookDelta) and item.kind is Kind.FRAME:
                found.setdefault(event.instrument, []).append(at[id(item)])

    play(recording.venue, items, see)
    return max(found.values(), key=len)


def spoilt(venue: str, *paths: Path) -> Show:
    """A change lost, another one repeated, later all connections cut; at five times the recorded pace."""
    recording = Recording(paths)
    places = changes(recording)
    lost, repeated, cut = (places[len(places) * part // 10] for part in (3, 5, 7))
    return Show(venue, recording, Faults(frozenset({lost}), frozenset({repeated}), frozenset({cut})), speed=5.0)


SPOILT = {
    "binancefutures": "BINANCE_FUTURES",
    "kucoin": "KUCOIN",
    "krakenfutures": "KRAKEN_FUTURES",
    "kraken": "KRAKEN",
    "bybit": "BYBIT",
    "coinbase": "COINBASE",
    "okx": "OKX",
    "deribit": "DERIBIT",
    "bitstamp": "BITSTAMP",
    "bitmex": "BITMEX",
}


UNNUMBERED = {"bitstamp", "bitmex"}
"""A change that is lost shows there when a later one contradicts it, or never."""


@pytest.fixture(scope="module")
def recovered(endpoints: Endpoints, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shown]:
    home = tmp_path_factory.mktemp("faults")
    folder = data_dir / "cryptofeed"
    chosen = [spoilt(venue, *sorted(folder.glob(f"{name}.[j0w]*"))) for venue, name in SPOILT.items()]
    return {one.show.venue: one for one in shown(endpoints, "faults", home, chosen)}


@pytest.mark.parametrize("name", SPOILT)
def test_a_lost_frame_and_a_cut_end_in_a_gap_and_then_in_the_same_books(recovered: dict[str, Shown], name: str) -> None:
    one = recovered[name]
    unharmed = NAIVE[one.show.recording.venue]()
    for item in one.items:
        unharmed.feed(item)
    gaps = Counter(gap.reason for gap in of_kind(one, Gap))
    assert set(gaps) <= {"sequence", "connection", "checksum", "unreadable frame", "reconnected"}
    assert gaps.total() > gaps["reconnected"] or name in UNNUMBERED
    for instrument, symbol in one.show.recording.symbols.items():
        book, sessions = None, 0
        for step in one.tape[renamed(one.show, instrument)]:
            book = folded(book, step)
            sessions += sum(frame.startswith(b'{"session":') for frame in step.frames)
        assert book is not None, instrument
        assert sessions >= 2
        assert (dict(book.bids()), dict(book.asks())) == unharmed.books[symbol], instrument
    assert of_kind(one, DeadLetter) == []
