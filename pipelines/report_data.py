"""What the report shows, asked of the archive's views. Chart series are thinned to POINTS; figures in tables are exact.

Executions may be many millions: they are passed over three times, for sums, for latencies and for the marks in the charts, and never copied.
"""

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


def _thinned(table: str, of: str, by: str = "ts_init") -> str:
    """Of each slice of the table's whole time only the last row, per `of`."""
    first, last = f"(SELECT min(ts_init) FROM {table})", f"(SELECT max(ts_init) FROM {table})"
    part = f"(ts_init - {first}) // greatest(1, ({last} - {first}) // {POINTS})"
    return f"(FROM {table} QUALIFY row_number() OVER (PARTITION BY {of}, {part} ORDER BY {by} DESC) = 1)"


HELD = ("fills", "portfolio.state", "portfolio.inbox", "orders.events", "orders.state")
"""Topics that are asked more than once: their JSON is taken apart once (`infra.duck`)."""

PREPARED = (
    "CREATE TEMP TABLE IF NOT EXISTS market_skews (venue VARCHAR, second BIGINT, skew BIGINT)",
    """CREATE OR REPLACE TEMP TABLE traded AS
       SELECT account, strategy, instrument, base, settle, payoff, multiplier, side, liquidity, fee_currency,
              CASE payoff WHEN 'inverse' THEN -1 ELSE 1 END AS power, CASE WHEN reversal THEN -1 ELSE 1 END AS sign,
              count(*) AS fills, sum(last_qty) AS qty, sum(fee) AS fee, sum(abs(value)) AS value
       FROM fills GROUP BY ALL""",
    """CREATE OR REPLACE TEMP TABLE lines AS
       SELECT account, strategy, currency, realized_pnl, unrealized_pnl, fees, total_pnl, drawdown, complete, ts_init, "offset"
       FROM portfolio_state WHERE instrument = ''""",
    """CREATE OR REPLACE TEMP TABLE totals AS
       SELECT * REPLACE (max(ts_init) OVER (PARTITION BY account, strategy ORDER BY "offset") AS ts_init) FROM lines WHERE complete""",
    """CREATE OR REPLACE TEMP TABLE marks AS SELECT instrument, ts_init, best_bid, best_ask FROM portfolio_inbox
       WHERE type = 'Mark' AND (instrument IN (SELECT instrument FROM traded) OR NOT EXISTS (FROM traded))""",
    """CREATE OR REPLACE TEMP TABLE facts AS
       SELECT type, client_order_id, strategy, "check", value, "limit", "where", command, ts_init FROM orders_events""",
    """CREATE OR REPLACE TEMP TABLE last_orders AS
       SELECT arg_max(status, ("offset", "index")) AS status, any_value(strategy) AS strategy
       FROM orders_state WHERE type = 'OrderUpdated' GROUP BY client_order_id""",
)

EQUITY = f"""
SELECT account, strategy, currency, make_timestamp_ns(ts_init)::TIMESTAMP AS time, total_pnl::DOUBLE AS pnl, drawdown::DOUBLE AS drawdown,
       fees::DOUBLE AS fees
FROM {_thinned("totals", "account, strategy", '"offset"')} ORDER BY account, strategy, "offset"
"""

PRICES = f"""
SELECT instrument, make_timestamp_ns(ts_init)::TIMESTAMP AS time, ((best_bid + best_ask) / 2)::DOUBLE AS mid
FROM {_thinned("marks", "instrument")} ORDER BY instrument, ts_init"""

FILLS = f"""
WITH share AS (SELECT instrument, least(1, 2 * {MARKERS} / sum(fills)) * 18446744073709551615::DOUBLE AS chance FROM traded GROUP BY 1),
     drawn AS (SELECT *, hash("partition", "offset", "index") AS lot FROM fills JOIN share USING (instrument) WHERE lot <= chance AND NOT reversal)
SELECT instrument, strategy, side, make_timestamp_ns(ts_event)::TIMESTAMP AS time, last_px::DOUBLE AS px, last_qty::VARCHAR AS qty, liquidity, base
FROM drawn QUALIFY row_number() OVER (PARTITION BY instrument ORDER BY lot) <= {MARKERS} ORDER BY instrument, ts_event"""
"""Of many executions only so many are drawn, by lot; most are out of it at the first look."""

STRATEGIES = """
WITH bought_and_sold AS (
        SELECT account, strategy, sum(sign * fills) AS fills, coalesce(sum(fills) FILTER (side = 'buy'), 0) AS bought,
               coalesce(sum(fills) FILTER (side = 'sell'), 0) AS sold, coalesce(sum(fills) FILTER (liquidity = 'maker'), 0) AS passive,
               sum(sign * value) AS volume
        FROM traded GROUP BY ALL),
     valued AS (
        SELECT account, strategy, currency, arg_max(realized_pnl, "offset") AS realized, arg_max(unrealized_pnl, "offset") AS unrealized,
               arg_max(fees, "offset") AS fees, arg_max(total_pnl, "offset") AS pnl, max(drawdown) AS max_drawdown
        FROM lines WHERE strategy <> '' GROUP BY ALL)
SELECT strategy, account, currency, fills, bought, sold, passive, volume, realized, unrealized, fees, pnl, max_drawdown
FROM bought_and_sold FULL JOIN valued USING (account, strategy) ORDER BY strategy, account"""

INSTRUMENTS = """
SELECT instrument, any_value(base) AS base, any_value(settle) AS settle, any_value(payoff) AS payoff, sum(sign * fills) AS fills,
       sum(sign * qty) FILTER (side = 'buy') AS bought_qty, sum(sign * qty) FILTER (side = 'sell') AS sold_qty,
       sum(CASE side WHEN 'buy' THEN sign ELSE -sign END * qty) AS net_qty,
       (sum(value) FILTER (side = 'buy')::DOUBLE / sum(qty::DOUBLE * multiplier::DOUBLE) FILTER (side = 'buy')) ** any_value(power) AS bought_at,
       (sum(value) FILTER (side = 'sell')::DOUBLE / sum(qty::DOUBLE * multiplier::DOUBLE) FILTER (side = 'sell')) ** any_value(power) AS sold_at,
       sum(sign * value) AS volume
FROM traded GROUP BY instrument ORDER BY instrument"""

FEES = """
SELECT fee_currency AS currency, sum(sign * fee) AS fee, sum(sign * fills) AS fills,
       sum(sign * fee) FILTER (liquidity = 'maker') AS passive, sum(sign * fee) FILTER (liquidity = 'taker') AS aggressive
FROM traded GROUP BY ALL ORDER BY 1"""

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
        UNION ALL SELECT 5, 'execution at the venue → known here', greatest(0, ts_init - ts_event + coalesce(skew, 0))
                  FROM fills LEFT JOIN market_skews ON split_part(instrument, ':', 1) = venue AND ts_init // 1000000000 = second),
     asked AS (
        SELECT nth, step, count(*) AS orders, quantile_cont(ns, [0.5, 0.95, 0.99]) AS found, max(ns) / 1e6 AS worst
        FROM steps WHERE ns IS NOT NULL GROUP BY nth, step)
SELECT step, orders, found[1] / 1e6 AS p50, found[2] / 1e6 AS p95, found[3] / 1e6 AS p99, worst FROM asked ORDER BY nth"""

VERSIONS = """
SELECT version, config, string_agg(DISTINCT stage, ', ' ORDER BY stage) AS stages, make_timestamp_ns(min(ts_init))::TIMESTAMP AS since
FROM stage_log GROUP BY ALL ORDER BY since"""

TOTALS = """
SELECT (SELECT coalesce(sum(sign * fills), 0) FROM traded) AS fills,
       (SELECT coalesce(sum(fills), 0) FROM traded WHERE liquidity = 'maker' AND sign = 1) AS passive,
       (SELECT count(*) FROM last_orders) AS orders, (SELECT count(*) FROM facts WHERE type = 'OrderDenied') AS denied"""

TROUBLES = """
SELECT 'records that could not be read' AS what, count(*) AS count FROM dead_letters
UNION ALL SELECT 'order anomalies', count(*) FROM orders_state WHERE type = 'OrderAnomaly'
UNION ALL SELECT 'differences between venue and tape', count(*) FROM orders_events WHERE type = 'ReconciliationDifference'
UNION ALL SELECT 'orders whose fate was unknown for a time', count(DISTINCT client_order_id)
          FROM facts WHERE type = 'OrderUnknown' AND "where" = 'submit'
UNION ALL SELECT 'strategies halted by a fault of their own', count(*) FROM strategy_records WHERE type = 'StrategyHalted'"""
