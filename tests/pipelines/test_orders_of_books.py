"""Books order by order through the real edge, the real broker and the real normalize worker: a venue that is scripted, an event of
it that is lost, a connection that ends, and each time the same orders again.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path

import pytest

from infra import kafka
from infra.config import load
from infra.services import Endpoints
from pipelines.ingest import run_ingest
from tests.adapters.test_bitstamp_orders import Venue
from tests.pipelines.playing import caught_up, events, normalizing
from tests.pipelines.running import environment, eventually
from tests.pipelines.scripted_venue import ScriptedVenue
from topics import wire
from topics.book import Book
from topics.catalog import INGEST_REQUESTS, TOPICS
from topics.market import (
    BookDelta,
    BookOrderEvent,
    BookOrders,
    BookOrdersLost,
    BookSnapshot,
    Gap,
    Instrument,
    ResyncRequested,
)
from topics.order_book import OrderBook
from topics.record import Record, Side

pytestmark = pytest.mark.timeout(300)
NAME = "bitstamp:BTC-USD"
PAIRS = [
    {
        "name": "BTC/USD",
        "url_symbol": "btcusd",
        "base_decimals": 8,
        "counter_decimals": 2,
        "minimum_order": "10 USD",
        "trading": "Enabled",
    }
]


def toml(prefix: str, home: Path, address: str) -> str:
    return f"""
[run]
name = "{prefix}"
home = {json.dumps(str(home))}
[metrics]
enabled = false
[venues.bitstamp]
adapter = "bitstamp"
rest_url = "http://{address}"
ws_url = "ws://{address}"
book = "L3"
instruments = ["{NAME}"]
"""


class Market:
    """The venue of random orders, on a scripted server: each event goes out with the change of the levels that it is."""

    def __init__(self, server: ScriptedVenue, seed: int) -> None:
        self.venue, self.server = Venue(seed), server
        server.bodies = {"btcusd": self.venue.answer, "trading-pairs-info": lambda: json.dumps(PAIRS).encode()}

    async def trade(self, n: int, lost: bool = False) -> None:
        for _ in range(n):
            before = self.levels()
            event = self.venue.event()
            await self.server.send(*([] if lost else [event]), self.diff(before))

    def levels(self) -> dict[tuple[int, int], int]:
        """By side and price."""
        found: dict[tuple[int, int], int] = {}
        for side, price, size in self.venue.orders.values():
            found[side, price] = found.get((side, price), 0) + size
        return found

    def diff(self, before: dict[tuple[int, int], int]) -> bytes:
        now = self.levels()
        changed = [(key, now.get(key, 0)) for key in sorted(before | now) if before.get(key) != now.get(key)]
        rows = [
            [[f"{p}.50", f"{Decimal(size).scaleb(-8):f}"] for (s, p), size in changed if s == side] for side in (0, 1)
        ]
        data = {"microtimestamp": str(self.venue.now), "bids": rows[0], "asks": rows[1]}
        told = {"data": data, "channel": "diff_order_book_btcusd", "event": "data"}
        return json.dumps(told, separators=(",", ":")).encode()

    @property
    def queues(self) -> dict[tuple[Side, Decimal], list[tuple[str, Decimal]]]:
        """At each price the oldest first."""
        found: dict[tuple[Side, Decimal], list[tuple[str, Decimal]]] = {}
        for number, (side, price, size) in self.venue.orders.items():
            at = Side.SELL if side else Side.BUY, Decimal(f"{price}.50")
            found.setdefault(at, []).append((str(number), Decimal(size).scaleb(-8)))
        return found


class Seen:
    """What a reader of the tape knows, by its events alone."""

    def __init__(self, told: Iterable[Record]) -> None:
        self.orders: OrderBook | None = None
        self.book: Book | None = None
        self.losses: list[str] = []
        self.gaps: list[str] = []
        self.beginnings = 0
        for event in told:
            self._see(event)

    def _see(self, event: Record) -> None:
        match event:
            case BookOrders():
                assert self.orders is None, "live orders need no others"
                self.orders = OrderBook.of(event)
                self.beginnings += 1
            case BookOrderEvent():
                assert self.orders is not None
                self.orders.apply(event)
            case BookOrdersLost():
                self.orders = None
                self.losses.append(event.reason.partition(":")[0])
            case BookSnapshot():
                self.book = Book.of(event)
            case BookDelta():
                assert self.book is not None
                self.book.apply(event)
            case Gap():
                self.book = None
                self.gaps.append(event.reason)

    def knows(self, market: Market) -> bool:
        """Whether its orders are the venue's, each in its place, and come to its levels."""
        orders, book, queues = self.orders, self.book, market.queues
        if orders is None or book is None:
            return False
        levels = {(side, price) for side in Side for price, _ in (orders.bids() if side is Side.BUY else orders.asks())}
        return (
            levels == queues.keys()
            and all(orders.queue(*at) == queue for at, queue in queues.items())
            and (orders.bids(), orders.asks()) == (book.bids(), book.asks())
        )


async def test_orders_that_were_lost_and_a_connection_that_ended_are_told_and_made_good(
    endpoints: Endpoints, run_prefix: str, tmp_path: Path
) -> None:
    conf = dict(endpoints.kafka)
    kafka.create_topics(conf, run_prefix, topics=list(TOPICS.values()))

    def seen() -> Seen:
        return Seen(events(conf, run_prefix))

    async def told_that(condition: Callable[[], bool]) -> None:
        await asyncio.to_thread(eventually, condition, 60)

    path, stop = tmp_path / "tapedeck.toml", asyncio.Event()
    async with ScriptedVenue() as server:
        market = Market(server, 11)
        path.write_text(toml(run_prefix, tmp_path, server.address))
        config = load(path, {})
        with normalizing(path, environment(tmp_path, endpoints)) as process:
            await caught_up(config.run_dir, process)
            ingest = asyncio.create_task(run_ingest(config, conf, "bitstamp", stop))
            await told_that(lambda: seen().knows(market))
            assert any("live_orders_btcusd" in json.dumps(message) for message in server.subscribed)
            await market.trade(30)
            await told_that(lambda: seen().knows(market))
            assert (seen().losses, seen().gaps, seen().beginnings) == ([], [], 1)

            answers = server.asked["btcusd"]
            await market.trade(1, lost=True)
            await market.trade(1)
            await told_that(lambda: seen().losses == ["sequence"] and seen().knows(market))
            await market.trade(20)
            await told_that(lambda: seen().knows(market))
            assert server.asked["btcusd"] == answers + 1
            assert seen().gaps == [], "the book of levels is not concerned"

            await server.drop()
            await market.trade(5)
            await told_that(lambda: seen().losses == ["sequence", "reconnected"] and seen().knows(market))
            await market.trade(20)
            await told_that(lambda: seen().knows(market))
            assert (seen().gaps, seen().beginnings) == (["reconnected"], 3)
            stop.set()
            await ingest
    told = events(conf, run_prefix)
    assert any(isinstance(event, Instrument) for event in told)
    requests = kafka.read_all(conf, kafka.physical(run_prefix, INGEST_REQUESTS))
    asked = [r for m in requests for r in wire.decode(m.value() or b"", INGEST_REQUESTS.types)]
    assert [r.reason.partition(":")[0] for r in asked if isinstance(r, ResyncRequested)] == ["sequence"]
