"""What the report's market page shows: spread, depth, trade rate, latency and gaps of each instrument over time.

DuckDB passes over the market's events once and keeps a row per instrument and second; books are folded beside it
(``report_books``). Everything else is asked of these, in at most ``SLOTS`` steps of time. Trades and gaps are counted, each once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import Any

import duckdb
import pyarrow.parquet as pq

from infra.archive import segments
from infra.duck import few_fields
from infra.tail import Place
from pipelines.clock_skew import BELIEVED_NS, WINDOW_NS
from pipelines.report_books import BookLook, Broken, looks
from topics.catalog import MARKET_EVENTS
from topics.record import InstrumentId

SLOTS = 600
SAMPLED = 1_000_000
"""Of more records those that tell of no trade and no gap are looked at one in so many: the rest says as much of spreads and latencies."""
FOLDED = 3_000_000
"""Of more records, books are folded only where no quotes tell of the best bid and ask."""
DRAWN = 12
"""Instruments with a chart; tables have them all."""
SECOND = 1_000_000_000
LATELY_NS = 3600 * SECOND
"""What took longer is a recording that was played: how long ago it was is no latency."""
FIELDS = ("instrument", "ts_event", "ts_init", "price", "size", "best_bid", "best_ask", "bid_size", "ask_size")

Row = dict[str, Any]


@dataclass(frozen=True)
class MarketData:
    """``slots``: per instrument rows of ``width_s`` each. ``drawn``: the busiest instruments, by name. ``late``: trades that are in no
    bar of time.
    """

    width_s: int
    instruments: list[Row]
    slots: Mapping[InstrumentId, list[Row]]
    books: Mapping[InstrumentId, list[BookLook]]
    broken: Mapping[InstrumentId, list[Broken]]
    drawn: list[InstrumentId]
    late: int = 0

    @property
    def began(self) -> datetime | None:
        return min((rows[0]["time"] for rows in self.slots.values() if rows), default=None)

    @property
    def ended(self) -> datetime | None:
        return max((rows[-1]["time"] for rows in self.slots.values() if rows), default=None)


def prepare(con: duckdb.DuckDBPyConnection, archive: Path) -> None:
    """The tables ``market_seconds``, and ``market_skews``: how far our clock was behind each venue's (``clock_skew``)."""
    believed = f"(ts_event > 0 AND ts_event - ts_init <= {BELIEVED_NS})"
    lately = f"ts_init - ts_event <= {LATELY_NS}"
    one_in = max(1, _records(archive) // SAMPLED)
    counted = " OR ".join(f'try(decode(value)) LIKE \'%"type":"{kind}"%\'' for kind in ("Trade", "Gap"))
    events = few_fields(archive, MARKET_EVENTS, FIELDS, f'("offset" % {one_in} = 0 OR {counted})')
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE market_seconds AS
        SELECT instrument, ts_init // {SECOND} AS second, count(*) FILTER (type = 'Trade') AS trades,
               coalesce(sum(size::DOUBLE) FILTER (type = 'Trade'), 0) AS volume,
               median((best_ask - best_bid)::DOUBLE / ((best_ask + best_bid) / 2)::DOUBLE * 1e4) FILTER (type = 'Quote') AS spread,
               avg(bid_size::DOUBLE) FILTER (type = 'Quote') AS bid_size, avg(ask_size::DOUBLE) FILTER (type = 'Quote') AS ask_size,
               count(*) FILTER (type = 'Gap') AS gaps, count(*) AS events,
               median(ts_init - ts_event) FILTER (type IN ('Trade', 'BookDelta') AND {believed} AND {lately}) AS usual,
               max(ts_init - ts_event) FILTER (type IN ('Trade', 'BookDelta') AND {believed} AND {lately}) AS worst,
               min(ts_init - ts_event) FILTER (type IN ('Trade', 'BookDelta') AND {believed}) AS least
        FROM ({events})
        WHERE type IN ('Trade', 'Quote', 'BookDelta', 'BookSnapshot', 'Gap') GROUP BY ALL""")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE market_skews AS
        SELECT venue, second, greatest(0, -min(least) OVER (
                   PARTITION BY venue ORDER BY second RANGE BETWEEN {WINDOW_NS // SECOND} PRECEDING AND CURRENT ROW)) AS skew
        FROM (SELECT split_part(instrument, ':', 1) AS venue, second, min(least) AS least FROM market_seconds
              WHERE least IS NOT NULL GROUP BY ALL)""")


def read(con: duckdb.DuckDBPyConnection, archive: Path) -> MarketData:
    """After ``prepare``."""
    first, last = con.execute("SELECT min(second), max(second) FROM market_seconds").fetchone() or (None, None)
    if first is None:
        return MarketData(1, [], {}, {}, {}, [])
    width = max(1, -(-(last + 1 - first) // SLOTS))
    instruments = _asked(con, INSTRUMENTS)
    for row in instruments:
        if not row["worst_ms"]:  # a table that has the venue's times alone
            row["usual_ms"] = row["worst_ms"] = None
    busiest = sorted(instruments, key=lambda row: (-row["events"], row["instrument"]))[:DRAWN]
    drawn = sorted(row["instrument"] for row in busiest)
    slots: dict[InstrumentId, list[Row]] = {name: [] for name in drawn}
    for row in _asked(con, SLOTTED.format(first=first, width=width)):
        if row["instrument"] in slots:
            slots[row["instrument"]].append(row)
    quoted = {row["instrument"] for row in instruments if row["spread"] is not None}
    folded = set(drawn) - quoted if _records(archive) > FOLDED else set(drawn)
    slots = {name: _filled(rows, width) for name, rows in slots.items()}
    books, broken = looks(archive, folded, first * SECOND, width * SECOND)
    for row in instruments:
        seen = books.get(row["instrument"], ())
        row["broken_s"] = sum(one.length_s for one in broken.get(row["instrument"], ()))
        row["spread"] = fmean(one.spread for one in seen) if row["spread"] is None and seen else row["spread"]
    ((late,),) = con.execute(LATE).fetchall()
    return MarketData(width, instruments, slots, books, broken, drawn, int(late))


def _filled(rows: Sequence[Row], width_s: int) -> list[Row]:
    """Steps in which nothing came have no row: nothing was traded in them."""
    found, step = list(rows[:1]), timedelta(seconds=width_s)
    for row in rows[1:]:
        while found[-1]["time"] + step < row["time"]:
            found.append({**dict.fromkeys(row), "time": found[-1]["time"] + step, "trade_rate": 0, "gaps": 0})
        found.append(row)
    return found


def _records(archive: Path) -> int:
    places = (Place(MARKET_EVENTS.name, partition) for partition in range(MARKET_EVENTS.partitions))
    return sum(pq.read_metadata(s.path).num_rows for place in places for s in segments(archive, place))


def _asked(con: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    cursor = con.execute(query)
    names = [column[0] for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for row in rows:
        if "time" in row:
            row["time"] = row["time"].replace(tzinfo=UTC)
    return rows


CORRECTED = """
(SELECT m.*, (usual + coalesce(skew, 0)) / 1e6 AS usual_ms, (worst + coalesce(skew, 0)) / 1e6 AS worst_ms, coalesce(skew, 0) AS skew
 FROM market_seconds AS m LEFT JOIN market_skews AS s ON split_part(instrument, ':', 1) = venue AND m.second = s.second)"""
"""Latencies on one clock: none is below 0."""

LATE = """
SELECT coalesce(sum(late), 0) FROM (
    SELECT instrument, max(late) AS late
    FROM (SELECT instrument, spec, sum(late) AS late FROM market_bars GROUP BY ALL) GROUP BY ALL)"""
"""Each instrument's by the rule that lost most: one trade may be late for several."""

SLOTTED = f"""
SELECT instrument, make_timestamp(({{first}} + (second - {{first}}) // {{width}} * {{width}}) * 1000000) AS time,
       sum(trades) / {{width}} AS trade_rate, sum(volume) AS volume, avg(spread) AS spread, avg(bid_size) AS bid_size, avg(ask_size) AS ask_size,
       sum(gaps) AS gaps, median(usual_ms) AS usual_ms, max(worst_ms) AS worst_ms
FROM {CORRECTED} GROUP BY ALL ORDER BY instrument, time"""

INSTRUMENTS = f"""
SELECT instrument, sum(events) AS events, sum(trades) AS trades, sum(volume) AS volume, avg(spread) AS spread,
       median(usual_ms) AS usual_ms, max(worst_ms) AS worst_ms, max(skew) / 1e6 AS skew_ms, sum(gaps) AS gaps
FROM {CORRECTED} GROUP BY ALL ORDER BY instrument"""
