"""The rows in Postgres and the archive in DuckDB as figures: the same questions to both, each summed by its own database.

Postgres sums NUMERIC; DuckDB sums decimals that refuse to be rounded.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from infra.duck import open_archive
from pipelines.exact import EXACT, ZERO
from pipelines.figures import LOGGED, Execution, ExecutionId, Source

HELD = ("fills", "positions", "account.events")
SIGNED = "(SELECT *, CASE WHEN reversal THEN -1 ELSE 1 END AS sign FROM fills) AS signed"
SUMS_OF_FILLS = f"""
SELECT account, instrument, sum(sign),
       sum(CASE WHEN side = 'buy' THEN sign * last_qty ELSE 0 END), sum(CASE WHEN side = 'sell' THEN sign * last_qty ELSE 0 END),
       sum(CASE WHEN side = 'buy' THEN sign * last_qty ELSE -sign * last_qty END),
       sum(CASE WHEN side = 'buy' THEN sign * value ELSE 0 END), sum(CASE WHEN side = 'sell' THEN sign * value ELSE 0 END)
FROM {SIGNED} GROUP BY account, instrument"""
FEES_OF_FILLS = f"SELECT account, instrument, fee_currency, sum(sign * fee) FROM {SIGNED} GROUP BY account, instrument, fee_currency"
FLOWS = f"""
SELECT account, currency, sum(amount) FROM (
    SELECT account, base AS currency, CASE WHEN side = 'buy' THEN sign ELSE -sign END * last_qty AS amount
    FROM {SIGNED} WHERE payoff = 'spot'
    UNION ALL SELECT account, quote, CASE WHEN side = 'buy' THEN -sign ELSE sign END * value FROM {SIGNED} WHERE payoff = 'spot'
    UNION ALL SELECT account, fee_currency, -sign * fee FROM {SIGNED}) AS flow
GROUP BY account, currency"""
CONTRACTS = "SELECT DISTINCT account, settle FROM fills WHERE payoff <> 'spot'"
MISVALUED = """
SELECT account, instrument, count(*) FROM fills
WHERE CASE WHEN payoff = 'inverse' THEN {inverse} ELSE value <> {linear} END GROUP BY account, instrument"""
EXECUTIONS = """
SELECT account, instrument, venue_order_id, trade_id, reversal, side, last_qty, last_px, fee, fee_currency, liquidity, strategy, client_order_id
FROM fills"""
NEWEST = """
(SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY "offset" DESC, "index" DESC) AS newest,
           row_number() OVER (PARTITION BY {key} ORDER BY "offset", "index") AS oldest FROM {table}) AS ranked"""
LAST_POSITIONS = f"""
SELECT account, instrument, strategy, fills, bought_qty, sold_qty, quantity, bought_value, sold_value, CAST(fees AS VARCHAR)
FROM {NEWEST.format(key="account, strategy, instrument", table="positions")} WHERE newest = 1"""
LOG_OF_POSITIONS = f"""
SELECT account, instrument, count(*), {", ".join(f"sum({name})" for name in LOGGED)} FROM positions GROUP BY account, instrument"""
BALANCES = f"""
SELECT account, currency, count(*), sum(free + locked), sum(CASE WHEN newest = 1 THEN free + locked ELSE 0 END),
       sum(CASE WHEN oldest = 1 AND reason = 'snapshot' THEN free + locked ELSE 0 END),
       sum(CASE WHEN reason IN ('deposit', 'withdrawal') THEN 1 ELSE 0 END)
FROM {NEWEST.format(key="account, currency", table="balances")} GROUP BY account, currency"""


IN_POSTGRES = MISVALUED.format(
    linear="last_qty * last_px * multiplier",
    inverse="2 * abs(value * last_px + last_qty * multiplier) > abs(last_px) * 1e-18",
)
"""A quotient is the nearest of 18 decimals when its product misses by no more than half of the last one."""
IN_DUCKDB = MISVALUED.format(linear="exact_product(exact_product(last_qty, multiplier), last_px)", inverse="false")
"""It has no room for that product: of inverse contracts its sums alone are compared."""


class Rows:
    """Answers queries as rows; `misvalued` says in this database's words which fills have not the value that is due."""

    def __init__(self, name: str, misvalued: str, run: Callable[[Any], Any]) -> None:
        self.name = name
        self.misvalued = misvalued
        self._run = run

    def __call__(self, query: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._run(query).fetchall()
        return rows


def from_postgres(dsn: str, schema: str) -> Source:
    with psycopg.connect(dsn, options=f"-c search_path={schema}") as connection:
        return _from_sql(Rows("postgres", IN_POSTGRES, connection.execute))


def from_archive(archive: Path) -> Source:
    with closing(open_archive(archive, derived=False, held=HELD)) as con:
        con.execute("CREATE OR REPLACE VIEW balances AS SELECT * FROM account_events WHERE type = 'BalanceChanged'")
        return _from_sql(Rows("duckdb", IN_DUCKDB, con.execute))


def _from_sql(rows: Rows) -> Source:
    source = Source(rows.name)
    for account, instrument, count in rows(rows.misvalued):
        source.problems.append(f"{rows.name}: {count} fills of {account} {instrument} have another value than is due")
    for account, instrument, *sums in rows(SUMS_OF_FILLS):
        source.add_sums(account, instrument, "", sums)
    for account, instrument, currency, fee in rows(FEES_OF_FILLS):
        source.add(account, instrument, f"fees {currency}", fee)
    for account, instrument, order_id, trade_id, reversal, *content in rows(EXECUTIONS):
        source.put_execution(ExecutionId(account, instrument, order_id, trade_id, reversal), Execution(*content))
    for account, instrument, strategy, *sums, fees in rows(LAST_POSITIONS):
        source.add_sums(account, instrument, "positions: ", sums)
        source.add(account, instrument, f"positions: quantity of {strategy}", sums[3])
        for currency, fee in msgspec.json.decode(fees or "{}", type=dict[str, Decimal]).items():
            source.add(account, instrument, f"positions: fees {currency}", fee)
    for account, instrument, count, *sums in rows(LOG_OF_POSITIONS):
        source.add(account, instrument, "positions log: rows", count)
        for name, total in zip(LOGGED, sums, strict=True):
            source.add(account, instrument, f"positions log: sum of {name}", total)
    _balances_from_sql(source, rows)
    return source


def _balances_from_sql(source: Source, rows: Rows) -> None:
    flows: Mapping[tuple[str, str], Decimal] = {
        (account, currency): amount for account, currency, amount in rows(FLOWS)
    }
    contracts = {(account, settle) for account, settle in rows(CONTRACTS)}
    seen = set(contracts)
    for account, currency, count, total, last, opening, otherwise in rows(BALANCES):
        seen.add((account, currency))
        source.add(account, "", f"balances log: rows of {currency}", count)
        source.add(account, "", f"balances log: sum of {currency}", total)
        source.add(account, "", f"balance {currency}", last)
        source.add(account, "", f"balances log: deposits and withdrawals of {currency}", otherwise)
        if otherwise == 0 and (account, currency) not in contracts:
            source.add(
                account, "", f"opening + flows {currency}", EXACT.add(opening, flows.get((account, currency), ZERO))
            )
    for account, currency in flows.keys() - seen:
        source.add(account, "", f"opening + flows {currency}", flows[account, currency])
