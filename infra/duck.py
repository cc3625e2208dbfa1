"""DuckDB over the archive: a view per topic, one row per event, each event once by where it came from.

A view is named as its topic with underscores (`orders_events`); its columns are the coordinates, the broker's time (UTC), key and
headers, `type`, and the fields of the topic's records under their own names. Decimals are DECIMAL(38,18), times nanoseconds
as on the tape, structures JSON; what does not fit its column is NULL.
`market_bars` has each bar as it was told last; `market_bars_told` has all that was told of it.
Topics that hold no records of ours (raw frames) have their bytes in `value`. Compacted twins have no view: they repeat the log.
Views know the files of when they were made; what is typed (`infra.typed`) is read so, the rest is taken apart at the question.
"""

from collections.abc import Collection
from pathlib import Path

import duckdb

from infra import typed
from infra.archive import segments
from infra.event_sql import EMPTY, taken_apart
from infra.tail import Place
from topics.catalog import MARKET_BARS, TOPICS, Topic

LOGS = [topic for topic in TOPICS.values() if not topic.compacted]
REVISED = {MARKET_BARS: "instrument, spec, ts_open"}
"""Topics that tell of one thing in revisions, and what names the thing: the view has its last one, `<view>_told` has all."""


def open_archive(archive: Path, *, derived: bool = True, held: Collection[str] = ()) -> duckdb.DuckDBPyConnection:
    """An in-memory database with the views over this archive; without ``derived``, over the tape's own bytes alone.

    Of the topics ``held``, what is not typed is taken apart now, once: for who asks several times.
    """
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    views(con, archive, derived=derived, held=held)
    return con


def views(
    con: duckdb.DuckDBPyConnection, archive: Path, *, derived: bool = True, held: Collection[str] = ()
) -> list[str]:
    """Make or replace the views; their names."""
    for topic in LOGS:
        name, (done, rest) = view_name(topic), _halves(topic, archive, derived)
        if topic.name in held:
            con.execute(f'CREATE OR REPLACE TEMP TABLE "{name}_rest" AS {rest}')
            rest = f'FROM "{name}_rest"'
        if topic in REVISED:
            con.execute(f'CREATE OR REPLACE TEMP VIEW "{name}_told" AS {done}{rest}')
            done, rest = "", LAST.format(told=f"{name}_told", thing=REVISED[topic])
        con.execute(f'CREATE OR REPLACE TEMP VIEW "{name}" AS {done}{rest}')
    con.execute(PRODUCT)
    return view_names()


def view_names() -> list[str]:
    return [*map(view_name, LOGS), *(f"{view_name(topic)}_told" for topic in REVISED)]


def view_name(topic: Topic) -> str:
    return topic.name.replace(".", "_")


def few_fields(archive: Path, topic: Topic, only: Collection[str], where: str = "true") -> str:
    """A query over a topic's events with these fields alone, and of the records alone that ``where`` lets in: for who reads very many."""
    return taken_apart(topic, f"(FROM {_files(topic, archive)} WHERE {where})", only)


LAST = 'FROM "{told}" QUALIFY revision IS NOT DISTINCT FROM max(revision) OVER (PARTITION BY {thing})'
PRODUCT = """
CREATE OR REPLACE MACRO exact_product(a, b) AS
    CASE WHEN a::DECIMAL(38,12) = a AND b::DECIMAL(38,12) = b THEN a::DECIMAL(38,12) * b::DECIMAL(38,12)
         ELSE error('more than 12 decimals: the product would be rounded') END
"""
"""Two DECIMAL(38,18) cannot be multiplied within 38 digits; up to 12 decimals each, and 14 digits before the point, it is exact."""


def _halves(topic: Topic, archive: Path, derived: bool) -> tuple[str, str]:
    """What is typed, with the words that join it to the rest, and the rest."""
    if derived and topic in typed.TOPICS and (done := typed.events(archive, topic)):
        return f"{done} UNION ALL BY NAME ", f"({taken_apart(topic, typed.rest(archive, topic) or EMPTY)})"
    return "", taken_apart(topic, _files(topic, archive))


def _files(topic: Topic, archive: Path) -> str:
    places = (Place(topic.name, partition) for partition in range(topic.partitions))
    found = [segment.path for place in places for segment in segments(archive, place)]
    return typed.FILES.format(paths=typed.listed(found)) if found else EMPTY
