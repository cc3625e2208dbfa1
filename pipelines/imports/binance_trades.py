"""Trades of Binance as tables: its own monthly and daily files, and ones that collectors have written.

https://github.com/binance/binance-public-data#trades-1

    id,price,qty,quoteQty,time,isBuyerMaker[,isBestMatch]                                     (header or none)
    aggregate id,price,qty,first id,last id,time,isBuyerMaker[,isBestMatch]                    (header or none)
    timestamp,price,quantity,side,tradeId                                                     (side: who took)

Times are milliseconds, microseconds in spot files since 2025. The symbol is the beginning of the file's name.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from infra.captures import CaptureError
from pipelines.imports.naming import Naming
from pipelines.imports.rows import Row, Tally, first_row, rows
from topics.market import Trade
from topics.record import Side

_NAME = re.compile(r"(?P<symbol>[A-Z0-9]{4,}(?:_PERP|_\d{6})?)[-_.]")
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_TAKERS = {"true": Side.SELL, "false": Side.BUY}  # the maker bought: the taker sold


class Layout(NamedTuple):
    """Places of the fields; ``sides`` says what stands for whom."""

    trade_id: int
    price: int
    size: int
    time: int
    side: int
    sides: dict[str, Side]


COLLECTED = Layout(4, 1, 2, 0, 3, _SIDES)
TRADES = Layout(0, 1, 2, 4, 5, _TAKERS)
AGGREGATES = Layout(0, 1, 2, 5, 6, _TAKERS)


def looks_like(first: Row) -> bool:
    return _layout(first) is not None


def records(path: Path, naming: Naming, tally: Tally) -> Iterator[Trade]:
    """In the order of the file; ``ts_init`` is the venue's time too, since nobody says when it was received."""
    layout = _layout(first_row(path))
    found = _NAME.match(path.name)
    if layout is None or found is None:
        raise CaptureError(path, "is named after no symbol, as LTCUSDT-trades-2025-06-21.csv is")
    instrument = naming.listed(found["symbol"]).instrument
    for row in rows(path):
        if not _is_header(row):
            tally.rows[instrument] += 1
            yield _trade(row, layout, instrument)


def _trade(row: Row, layout: Layout, instrument: str) -> Trade:
    try:
        side = layout.sides[row.fields[layout.side].strip().lower()]
        trade_id = row.fields[layout.trade_id]
    except (KeyError, IndexError):
        raise row.wrong("does not say who took") from None
    ts = row.time(layout.time)
    return Trade(
        instrument=instrument,
        trade_id=trade_id,
        price=row.positive(layout.price, "price"),
        size=row.positive(layout.size, "size"),
        aggressor=side,
        ts_event=ts,
        ts_init=ts,
    )


def _is_header(row: Row) -> bool:
    return row.line == 1 and not row.fields[0].isdigit()


def _layout(first: Row) -> Layout | None:
    names = [name.strip().lower() for name in first.fields]
    if names == ["timestamp", "price", "quantity", "side", "tradeid"]:
        return COLLECTED
    if names[:2] == ["id", "price"] or (names[0].isdigit() and _is_side(names, 5) and len(names) in (6, 7)):
        return TRADES
    if names[:2] == ["agg_trade_id", "price"] or (names[0].isdigit() and _is_side(names, 6) and len(names) in (7, 8)):
        return AGGREGATES
    return None


def _is_side(fields: list[str], place: int) -> bool:
    return len(fields) > place and fields[place] in _TAKERS
