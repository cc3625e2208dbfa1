"""What the report shows, asked of the archive's views. Chart series are thinned to POINTS; figures in tables are exact."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb

POINTS = 1200
MARKERS = 4000

Row = dict[str, Any]


@dataclass(frozen=True)
class ReportData:
    """Rows as dictionaries by column; times are UTC. Empty where the run has nothing of the kind."""

    equity: list[Row]
    prices: list[Row]
    fills: list[Row]
    strategies: list[Row]
    instruments: list[Row]
    fees: list[Row]
    statuses: list[Row]
    denials: list[Row]
    latencies: list[Row]
    versions: list[Row]
    totals: Row
    troubles: list[Row]

    @property
    def currencies(self) -> list[str]:
        """Of P&L: every account has one reporting currency."""
        return sorted({row["currency"] for row in self.equity})

    @property
    def began(self) -> datetime | None:
        return self._times()[0] if self._times() else None

    @property
    def ended(self) -> datetime | None:
        return self._times()[-1] if self._times() else None

    def _times(self) -> list[datetime]:
        return sorted(row["time"] for row in [*self.equity, *self.prices, *self.fills])


def read(con: duckdb.DuckDBPyConnection) -> ReportData:
    """Ask everything; `con` has the views of `infra.duck`."""

    def ask(query: str) -> list[Row]:
        cursor = con.execute(query)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, map(_plain, row), strict=True)) for row in cursor.fetchall()]

    for statement in PREPARED:
        con.execute(statement)
    return ReportData(
        equity=ask(EQUITY),
        prices=ask(PRICES),
        fills=ask(FILLS),
        strategies=ask(STRATEGIES),
        instruments=ask(INSTRUMENTS),
        fees=ask(FEES),
        statuses=ask(STATUSES),
        denials=ask(DENIALS),
        latencies=ask(LATENCIES),
        versions=ask(VERSIONS),
        totals=ask(TOTALS)[0],
        troubles=[row for row in ask(TROUBLES) if row["count"]],
    )


def _plain(value: Any) -> Any:
    """A decimal without the zeros that fill its column; a time in UTC."""
    if isinstance(value, Decimal):
        short = value.normalize()
        return short.quantize(Decimal(1)) if short.as_tuple().exponent > 0 else short  # type: ignore[operator]
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def total(rows: Sequence[Row], name: str) -> Decimal:
    return sum((row[name] for row in rows if row[name] is not None), Decimal(0))


def _thinned(table: str, of: str) -> str:
    """Of each slice of the table's whole time only the last row, per `of`."""
    first, last = f"(SELECT min(ts_init) FROM {table})", f"(SELECT max(ts_init) FROM {table})"
    part = f"(ts_init - {first}) // greatest(1, ({last} - {first}) // {POINTS})"
    return f"(FROM {table} QUALIFY row_number() OVER (PARTITION BY {of}, {part} ORDER BY ts_init DESC) = 1)"


# Tables first: a view would take the JSON apart at every question.
PREPARED = (
    "CREATE OR REPLACE TEMP TABLE f AS SELECT *, CASE WHEN reversal THEN -1 ELSE 1 END AS sign FROM fills",
    "CREATE OR REPLACE TEMP TABLE lines AS SELECT * FROM portfolio_state WHERE instrument = ''",
    """CREATE OR REPLACE TEMP TABLE totals AS SELECT * FROM lines WHERE complete""",
    """CREATE OR REPLACE TEMP TABLE marks AS SELECT instrument, ts_init, best_bid, best_ask FROM portfolio_inbox
       WHERE type = 'Mark' AND (instrument IN (SELECT instrument FROM f) OR NOT EXISTS (FROM f))""",
    """CREATE OR REPLACE TEMP TABLE facts AS
       SELECT type, client_order_id, strategy, "check", value, "limit", "where", command, ts_init FROM orders_events""",
    """CREATE OR REPLACE TEMP TABLE last_orders AS
       SELECT arg_max(status, ("offset", "index")) AS status, any_value(strategy) AS strategy
       FROM orders_state WHERE type = 'OrderUpdated' GROUP BY client_order_id""",
)

EQUITY = f"""
SELECT account, strategy, currency, make_timestamp_ns(ts_init)::TIMESTAMP AS time, total_pnl::DOUBLE AS pnl, drawdown::DOUBLE AS drawdown,
       fees::DOUBLE AS fees
FROM {_thinned("totals", "account, strategy")} ORDER BY account, strategy, ts_init"""

PRICES = f"""
SELECT instrument, make_timestamp_ns(ts_init)::TIMESTAMP AS time, ((best_bid + best_ask) / 2)::DOUBLE AS mid
FROM {_thinned("marks", "instrument")} ORDER BY instrument, ts_init"""

FILLS = f"""
SELECT instrument, strategy, side, make_timestamp_ns(ts_event)::TIMESTAMP AS time, last_px::DOUBLE AS px, last_qty::VARCHAR AS qty, liquidity, base
FROM (SELECT *, row_number() OVER (PARTITION BY instrument ORDER BY hash(trade_id, venue_order_id)) AS nth FROM f WHERE NOT reversal)
WHERE nth <= {MARKERS} ORDER BY instrument, ts_event"""

STRATEGIES = """
WITH traded AS (
        SELECT account, strategy, sum(sign) AS fills, count(*) FILTER (side = 'buy') AS bought, count(*) FILTER (side = 'sell') AS sold,
               count(*) FILTER (liquidity = 'maker') AS passive, sum(sign * exact_product(last_qty, last_px)) AS volume
        FROM f GROUP BY ALL),
     valued AS (
        SELECT account, strategy, currency, arg_max(realized_pnl, "offset") AS realized, arg_max(unrealized_pnl, "offset") AS unrealized,
               arg_max(fees, "offset") AS fees, arg_max(total_pnl, "offset") AS pnl, max(drawdown) AS max_drawdown
        FROM lines WHERE strategy <> '' GROUP BY ALL)
SELECT strategy, account, currency, fills, bought, sold, passive, volume, realized, unrealized, fees, pnl, max_drawdown
FROM traded FULL JOIN valued USING (account, strategy) ORDER BY strategy, account"""

INSTRUMENTS = """
SELECT instrument, any_value(base) AS base, any_value(quote) AS quote, sum(sign) AS fills,
       sum(sign * last_qty) FILTER (side = 'buy') AS bought_qty, sum(sign * last_qty) FILTER (side = 'sell') AS sold_qty,
       sum(CASE side WHEN 'buy' THEN sign ELSE -sign END * last_qty) AS net_qty,
       (sum(exact_product(last_qty, last_px)) FILTER (side = 'buy'))::DOUBLE / (sum(last_qty) FILTER (side = 'buy'))::DOUBLE AS bought_at,
       (sum(exact_product(last_qty, last_px)) FILTER (side = 'sell'))::DOUBLE / (sum(last_qty) FILTER (side = 'sell'))::DOUBLE AS sold_at,
       sum(sign * exact_product(last_qty, last_px)) AS volume
FROM f GROUP BY instrument ORDER BY instrument"""

FEES = """
SELECT fee_currency AS currency, sum(sign * fee) AS fee, sum(sign) AS fills,
       sum(sign * fee) FILTER (liquidity = 'maker') AS passive, sum(sign * fee) FILTER (liquidity = 'taker') AS aggressive
FROM f GROUP BY ALL ORDER BY 1"""

STATUSES = "SELECT strategy, status, count(*) AS orders FROM last_orders GROUP BY ALL ORDER BY ALL"

DENIALS = """
SELECT "check", count(*) AS orders, string_agg(DISTINCT strategy, ', ' ORDER BY strategy) AS strategies,
       arg_max(value, ts_init) AS value, arg_max("limit", ts_init) AS "limit"
FROM facts WHERE type = 'OrderDenied' GROUP BY "check" ORDER BY orders DESC, 1"""

LATENCIES = """
WITH moments AS (
        SELECT client_order_id, min(ts_init) FILTER (type = 'OrderRequested') AS requested, min(ts_init) FILTER (type = 'OrderSent') AS sent,
               min(ts_init) FILTER (type = 'OrderAccepted') AS accepted,
               min((command->>'ts_init')::BIGINT) FILTER (type = 'OrderRequested') AS decided
        FROM facts GROUP BY 1),
     steps AS (
        SELECT 1 AS nth, 'decided → passed the checks' AS step, requested - decided AS ns FROM moments
        UNION ALL SELECT 2, 'passed the checks → sent to the venue', sent - requested FROM moments
        UNION ALL SELECT 3, 'sent → accepted by the venue', accepted - sent FROM moments
        UNION ALL SELECT 4, 'decided → accepted by the venue', accepted - decided FROM moments
        UNION ALL SELECT 5, 'execution at the venue → known here', ts_init - ts_event FROM f)
SELECT step, count(*) AS orders, quantile_cont(ns, 0.5) / 1e6 AS p50, quantile_cont(ns, 0.95) / 1e6 AS p95, quantile_cont(ns, 0.99) / 1e6 AS p99,
       max(ns) / 1e6 AS worst
FROM steps WHERE ns IS NOT NULL GROUP BY nth, step ORDER BY nth"""

VERSIONS = """
SELECT version, config, string_agg(DISTINCT stage, ', ' ORDER BY stage) AS stages, make_timestamp_ns(min(ts_init))::TIMESTAMP AS since
FROM stage_log GROUP BY ALL ORDER BY since"""

TOTALS = """
SELECT (SELECT coalesce(sum(sign), 0) FROM f) AS fills, (SELECT count(*) FROM f WHERE liquidity = 'maker' AND NOT reversal) AS passive,
       (SELECT count(*) FROM last_orders) AS orders, (SELECT count(*) FROM facts WHERE type = 'OrderDenied') AS denied"""

TROUBLES = """
SELECT 'records that could not be read' AS what, count(*) AS count FROM dead_letters
UNION ALL SELECT 'order anomalies', count(*) FROM orders_state WHERE type = 'OrderAnomaly'
UNION ALL SELECT 'differences between venue and tape', count(*) FROM orders_events WHERE type = 'ReconciliationDifference'
UNION ALL SELECT 'orders whose fate was unknown for a time', count(DISTINCT client_order_id)
          FROM facts WHERE type = 'OrderUnknown' AND "where" = 'submit'
UNION ALL SELECT 'strategies halted by a fault of their own', count(*) FROM strategy_records WHERE type = 'StrategyHalted'"""
