"""A made-up market: snapshots, deltas and trades of a few instruments, as records of `market.events`."""

import random
from collections.abc import Iterable
from decimal import Decimal

from pipelines.marketdata.hub import Market
from topics import wire
from topics.book import Book
from topics.catalog import MARKET_EVENTS
from topics.market import BookDelta, BookSnapshot, Trade
from topics.record import Record, Side

INSTRUMENTS = ("sim:BTC-USDT", "sim:ETH-USDT", "sim:SOL-USDT")
TOPIC_ID = "abc"


def market(seed: int, records: int, snapshot_every: int = 60) -> list[tuple[str, list[Record]]]:
    """(instrument, events) in order; each instrument begins with a snapshot, and gets another one now and then."""
    draw = random.Random(seed)
    made: list[tuple[str, list[Record]]] = []
    known: set[str] = set()
    for n in range(records):
        instrument = draw.choice(INSTRUMENTS)
        fresh = instrument not in known or draw.randrange(snapshot_every) == 0
        known.add(instrument)
        made.append((instrument, [_snapshot(draw, instrument, n) if fresh else _change(draw, instrument, n)]))
    return made


def _snapshot(draw: random.Random, instrument: str, n: int) -> BookSnapshot:
    bids = tuple((Decimal(100 - i), Decimal(draw.randint(1, 9))) for i in range(5))
    asks = tuple((Decimal(101 + i), Decimal(draw.randint(1, 9))) for i in range(5))
    return BookSnapshot(instrument=instrument, bids=bids, asks=asks, sequence=n, ts_event=n, ts_init=n)


def _change(draw: random.Random, instrument: str, n: int) -> Record:
    if draw.randrange(4) == 0:
        price = Decimal(draw.randint(95, 106))
        return Trade(
            instrument=instrument,
            trade_id=str(n),
            price=price,
            size=Decimal(1),
            aggressor=Side.BUY,
            ts_event=n,
            ts_init=n,
        )
    level = (Decimal(draw.randint(90, 100)), Decimal(draw.randint(0, 9)))
    return BookDelta(instrument=instrument, bids=(level,), asks=(), first_sequence=n, sequence=n, ts_event=n, ts_init=n)


def on_one_partition(made: Iterable[tuple[str, list[Record]]]) -> list[Market]:
    return [
        Market(0, n, key, wire.encode(events), f"normalize|market.raw@{TOPIC_ID}/0|{n}|0".encode())
        for n, (key, events) in enumerate(made)
    ]


def book_of(records: Iterable[Market], instrument: str) -> Book | None:
    """Folded as a strategy's host does."""
    book: Book | None = None
    for record in records:
        if record.key != instrument:
            continue
        for event in wire.decode(record.value, MARKET_EVENTS.types):
            if isinstance(event, BookSnapshot):
                book = Book.of(event)
            elif isinstance(event, BookDelta) and book is not None:
                book.apply(event)
    return book
