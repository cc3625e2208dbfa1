"""The CSV files of tardis.dev: trades, quotes, incremental_book_L2 and book_snapshot_5 or _25, told apart by their header.

https://docs.tardis.dev/downloadable-csv-files/data-types

    exchange,symbol,timestamp,local_timestamp,id,side,price,amount
    exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount
    exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount
    exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount,bids[0].price,bids[0].amount,asks[1].price,...

Times are microseconds. Rows of one ``local_timestamp`` are one change of a book; snapshot rows that follow each other
are one snapshot, and what stands before the first is passed over.
Quotes without one of their sides are too. Book snapshots are samples of the best levels, whole each.
"""

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import groupby
from pathlib import Path

from infra.captures import CaptureError
from pipelines.imports.aggressor import TickRule
from pipelines.imports.naming import Naming
from pipelines.imports.rows import Row, Tally, first_row, rows
from topics.market import BookDelta, BookSnapshot, Quote, Trade
from topics.record import InstrumentId, Level, Side

HEAD = ["exchange", "symbol", "timestamp", "local_timestamp"]
LINEAR, INVERSE = "linear|", "inverse|"
_INVERSE = re.compile(r"USD([HMUZ]\d\d)?$")
VENUES = {  # tardis.dev's name: the adapter, and what it puts before a symbol whose market the venue does not say
    "binance": ("binance", ""),
    "binance-us": ("binance", ""),
    "binance-futures": ("binance_usdm", ""),
    "binance-delivery": ("binance_coinm", ""),
    "coinbase": ("coinbase", ""),
    "kraken": ("kraken", ""),
    "cryptofacilities": ("kraken_futures", ""),
    "bybit": ("bybit", LINEAR),
    "bybit-spot": ("bybit", "spot|"),
    "okex": ("okx", ""),
    "okex-swap": ("okx", ""),
    "okex-futures": ("okx", ""),
    "deribit": ("deribit", ""),
    "kucoin": ("kucoin", ""),
    "gate-io": ("gateio", ""),
    "bitstamp": ("bitstamp", ""),
    "bitmex": ("bitmex", ""),
    "hyperliquid": ("hyperliquid", ""),
}
Places = dict[str, int]
Read = Callable[[Iterator[Row], Places, Naming, Tally], Iterator[Trade | Quote | BookSnapshot | BookDelta]]


def looks_like(first: Row) -> bool:
    return first.fields[:4] == HEAD


def exchange(path: Path) -> str:
    """As tardis.dev names it; "" where the file has no rows."""
    found = rows(path)
    next(found, None)
    row = next(found, None)
    return "" if row is None else row.fields[0]


def records(path: Path, naming: Naming, tally: Tally) -> Iterator[Trade | Quote | BookSnapshot | BookDelta]:
    """In the order of the file."""
    head = first_row(path)
    places = {name: place for place, name in enumerate(head.fields)}
    for named, read in READERS.items():
        if places.keys() >= set(named.split(",")):
            found = rows(path)
            next(found)
            return read(_whole(found, len(places)), places, naming, tally)
    raise head.wrong("is none of trades, quotes, incremental_book_L2 and book_snapshot_* of tardis.dev")


def _whole(found: Iterator[Row], fields: int) -> Iterator[Row]:
    for row in found:
        if len(row.fields) != fields:
            raise row.wrong(f"has {len(row.fields)} fields, not {fields}")
        yield row


def _instrument(row: Row, places: Places, naming: Naming) -> InstrumentId:
    symbol, market = row.fields[places["symbol"]], VENUES.get(row.fields[places["exchange"]], ("", ""))[1]
    if market == LINEAR and _INVERSE.search(symbol):
        market = INVERSE
    return naming.listed(market + symbol).instrument


def _times(row: Row, places: Places) -> tuple[int, int]:
    return row.time(places["timestamp"]), row.time(places["local_timestamp"])


def _trades(found: Iterator[Row], places: Places, naming: Naming, tally: Tally) -> Iterator[Trade]:
    rules: dict[InstrumentId, TickRule] = {}
    for row in found:
        instrument = _instrument(row, places, naming)
        tally.rows[instrument] += 1
        price = row.positive(places["price"], "price")
        by_tick = rules.setdefault(instrument, TickRule()).side(price)
        ts_event, ts_init = _times(row, places)
        yield Trade(
            instrument=instrument,
            trade_id=row.fields[places["id"]] or f"{ts_init}.{row.line}",
            price=price,
            size=row.positive(places["amount"], "amount"),
            aggressor=_taker(row, places) or by_tick,
            ts_event=ts_event,
            ts_init=ts_init,
        )


def _taker(row: Row, places: Places) -> Side | None:
    match row.fields[places["side"]]:
        case "buy":
            return Side.BUY
        case "sell":
            return Side.SELL
        case "unknown":
            return None
    raise row.wrong(f"side {row.fields[places['side']]!r} is none of buy, sell, unknown")


def _quotes(found: Iterator[Row], places: Places, naming: Naming, tally: Tally) -> Iterator[Quote]:
    for row in found:
        instrument = _instrument(row, places, naming)
        tally.rows[instrument] += 1
        if not (row.fields[places["bid_price"]] and row.fields[places["ask_price"]]):
            tally.passed_over += 1
            continue
        ts_event, ts_init = _times(row, places)
        yield Quote(
            instrument=instrument,
            best_bid=row.positive(places["bid_price"], "bid"),
            bid_size=row.number(places["bid_amount"], "amount"),
            best_ask=row.positive(places["ask_price"], "ask"),
            ask_size=row.number(places["ask_amount"], "amount"),
            ts_event=ts_event,
            ts_init=ts_init,
        )


def _books(found: Iterator[Row], places: Places, naming: Naming, tally: Tally) -> Iterator[BookSnapshot | BookDelta]:
    """One instrument's rows of one change stand together; changes of several may alternate."""

    def change(row: Row) -> tuple[str, bool, str]:
        snapshot = row.fields[places["is_snapshot"]] == "true"
        return row.fields[places["symbol"]], snapshot, "" if snapshot else row.fields[places["local_timestamp"]]

    begun: set[InstrumentId] = set()
    for (_, snapshot, _), group in groupby(found, change):
        changed = list(group)
        instrument = _instrument(changed[0], places, naming)
        tally.rows[instrument] += len(changed)
        if snapshot:
            begun.add(instrument)
            yield _snapshot(instrument, changed, places)
        elif instrument in begun:
            yield _delta(instrument, changed, places)
        else:
            tally.passed_over += len(changed)


def _snapshot(instrument: InstrumentId, changed: list[Row], places: Places) -> BookSnapshot:
    bids, asks = _levels(changed, places)
    ts_event, ts_init = _times(changed[-1], places)
    return BookSnapshot(
        instrument=instrument,
        bids=_sorted(bids, best_is_highest=True),
        asks=_sorted(asks, best_is_highest=False),
        ts_event=ts_event,
        ts_init=ts_init,
    )


def _delta(instrument: InstrumentId, changed: list[Row], places: Places) -> BookDelta:
    bids, asks = _levels(changed, places)
    ts_event, ts_init = _times(changed[-1], places)
    return BookDelta(
        instrument=instrument, bids=tuple(bids.items()), asks=tuple(asks.items()), ts_event=ts_event, ts_init=ts_init
    )


def _samples(found: Iterator[Row], places: Places, naming: Naming, tally: Tally) -> Iterator[BookSnapshot]:
    """As deep as the header is; of a market with fewer levels the rest of the row is empty."""
    depth = sum(name.startswith("bids[") and name.endswith(".price") for name in places)
    for row in found:
        instrument = _instrument(row, places, naming)
        tally.rows[instrument] += 1
        ts_event, ts_init = _times(row, places)
        yield BookSnapshot(
            instrument=instrument,
            bids=_side(row, places, "bids", depth),
            asks=_side(row, places, "asks", depth),
            depth=depth,
            sampled=True,
            ts_event=ts_event,
            ts_init=ts_init,
        )


def _side(row: Row, places: Places, side: str, depth: int) -> tuple[Level, ...]:
    try:
        cells = [(places[f"{side}[{n}].price"], places[f"{side}[{n}].amount"]) for n in range(depth)]
    except KeyError as error:
        raise row.wrong(f"has no {error.args[0]}") from None
    return tuple(
        (format(row.positive(price, "price"), "f"), format(row.number(size, "amount"), "f"))
        for price, size in cells
        if row.fields[price]
    )


def _levels(changed: list[Row], places: Places) -> tuple[dict[str, str], dict[str, str]]:
    """Price to size, in the file's digits; of a price that comes twice the last counts."""
    sides: dict[str, dict[str, str]] = {"bid": {}, "ask": {}}
    for row in changed:
        price, size = (
            format(row.positive(places["price"], "price"), "f"),
            format(row.number(places["amount"], "amount"), "f"),
        )
        side = sides.get(row.fields[places["side"]])
        if side is None:
            raise row.wrong(f"side {row.fields[places['side']]!r} is none of bid, ask")
        side[price] = size
    return sides["bid"], sides["ask"]


def _sorted(levels: dict[str, str], *, best_is_highest: bool) -> tuple[Level, ...]:
    kept = [(price, size) for price, size in levels.items() if Decimal(size)]
    return tuple(sorted(kept, key=lambda level: Decimal(level[0]), reverse=best_is_highest))


READERS: dict[str, Read] = {
    "id,side,price,amount": _trades,
    "ask_amount,ask_price,bid_price,bid_amount": _quotes,
    "is_snapshot,side,price,amount": _books,
    "bids[0].price,bids[0].amount,asks[0].price,asks[0].amount": _samples,
}


def adapter_of(path: Path) -> str:
    """The adapter that knows the file's exchange, "" where there is none."""
    try:
        return VENUES.get(exchange(path), ("", ""))[0]
    except CaptureError:
        return ""
