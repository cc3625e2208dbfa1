from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from infra import archive
from infra.duck import open_archive, views
from infra.tail import Place, Taken
from tests.synthetic_run import SyntheticRun, Written, taken_of
from topics import catalog, orders, wire
from topics.portfolio import PositionChanged


@pytest.fixture(scope="module")
def run() -> SyntheticRun:
    return SyntheticRun()


@pytest.fixture
def root(tmp_path: Path, run: SyntheticRun) -> Path:
    return run.write_archive(tmp_path / "archive")


@pytest.fixture
def con(root: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_archive(root) as con:
        yield con


def again(root: Path, topic: catalog.Topic, rows: list[Written], first: int) -> None:
    archive.write(root, Place(topic.name, 0), [taken_of(one, first + n) for n, one in enumerate(rows)])


def of_topic(run: SyntheticRun, topic: catalog.Topic) -> list[Written]:
    return [one for one in run.written if one.topic is topic]


def test_there_is_a_view_for_every_log_even_one_that_nothing_was_written_to(con: duckdb.DuckDBPyConnection) -> None:
    for topic in catalog.TOPICS.values():
        if not topic.compacted:
            con.execute(f"SELECT count(*) FROM {topic.name.replace('.', '_')}").fetchall()


def test_every_event_is_one_row_with_its_exact_decimals(con: duckdb.DuckDBPyConnection, run: SyntheticRun) -> None:
    rows = con.execute("SELECT trade_id, venue_order_id, last_qty, last_px, fee, ts_event FROM fills").fetchall()
    fills = [(f.trade_id, f.venue_order_id, f.last_qty, f.last_px, f.fee, f.ts_event) for f in run.events(orders.Fill)]
    assert sorted(rows) == sorted(fills)


def test_defaults_that_the_wire_leaves_out_are_there(con: duckdb.DuckDBPyConnection, run: SyntheticRun) -> None:
    rows = con.execute('SELECT bought_qty, sold_qty, fees FROM positions ORDER BY "offset"').fetchall()
    assert [(b, s) for b, s, _ in rows] == [(p.bought_qty, p.sold_qty) for p in run.events(PositionChanged)]
    assert con.execute("SELECT DISTINCT cum_qty IS NULL FROM orders_state WHERE type = 'OrderUpdated'").fetchall() == [
        (False,)
    ]
    assert con.execute("SELECT DISTINCT found IS NULL FROM orders_events WHERE type = 'OrderFilled'").fetchall() == [
        (True,)
    ]


def test_what_was_delivered_again_counts_once(con: duckdb.DuckDBPyConnection, root: Path, run: SyntheticRun) -> None:
    fills = of_topic(run, catalog.FILLS)
    again(root, catalog.FILLS, fills[-5:], len(fills))
    views(con, root)
    assert con.execute('SELECT count(*), max("offset") FROM fills').fetchall() == [(len(fills), len(fills) - 1)]


def test_records_without_a_source_are_not_taken_for_each_other(
    con: duckdb.DuckDBPyConnection, root: Path, run: SyntheticRun
) -> None:
    one = of_topic(run, catalog.FILLS)[0]
    bare = [Taken("fills", "id", 0, 1000 + n, 0, b"", wire.encode(one.events), None, None) for n in range(3)]
    archive.write(root, Place("fills", 0), bare)
    views(con, root)
    assert con.execute("SELECT count(*) FROM fills WHERE src IS NULL").fetchall() == [(3,)]


def test_a_record_that_cannot_be_read_is_passed_over(
    con: duckdb.DuckDBPyConnection, root: Path, run: SyntheticRun
) -> None:
    bad = [
        Taken("fills", "id", 0, 1000 + n, 0, b"", value, None, None)
        for n, value in enumerate([b"\xff\xfe", b"{", b"7", None])
    ]
    archive.write(root, Place("fills", 0), bad)
    views(con, root)
    assert con.execute("SELECT count(*) FROM fills").fetchall() == [(len(of_topic(run, catalog.FILLS)),)]


def test_a_file_that_a_merge_has_not_removed_yet_counts_once(
    con: duckdb.DuckDBPyConnection, root: Path, run: SyntheticRun
) -> None:
    fills = of_topic(run, catalog.FILLS)
    again(root, catalog.FILLS, fills[:4], 0)
    views(con, root)
    assert con.execute("SELECT count(*) FROM fills").fetchall() == [(len(fills),)]


def test_products_are_exact_or_refused(con: duckdb.DuckDBPyConnection) -> None:
    ask = "SELECT exact_product(?::DECIMAL(38,18), ?::DECIMAL(38,18))"
    exact = con.execute(ask, ["0.00000001", "61000.12345678"]).fetchall()
    assert exact == [(Decimal("0.00000001") * Decimal("61000.12345678"),)]
    with pytest.raises(duckdb.Error, match="would be rounded"):
        con.execute(ask, ["0.0000000000001", "2"]).fetchall()
