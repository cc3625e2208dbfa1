"""`tapedeck sql`: DuckDB over a run's archive, one query or a prompt. Mounted by the command line."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer
from rich.console import Console
from rich.table import Column, Table

from infra.config import load
from infra.duck import open_archive, view_names, views
from infra.errors import Hopeless, Problem

MOST = 1000
"""Rows of a table for people; JSON and CSV have them all."""
HELP = ".tables   .schema VIEW   .quit   Ctrl-D ends; a query ends with a ';'"
Rows = tuple[list[str], list[tuple[Any, ...]]]


def mount(app: typer.Typer) -> None:
    app.command()(sql)


def sql(
    query: Annotated[str | None, typer.Argument(help="A query; without one, a prompt.")] = None,
    run: Annotated[Path | None, typer.Option("--run", help="Folder of the run; default: the configuration's.")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The configuration of the run.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per row.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated, with a header.")] = False,
) -> None:
    """Ask the archive in SQL: a view per topic (orders_events, fills, positions, ...), a row per event."""
    from pipelines.archive_reader import archive_of

    root = archive_of(load(config).run_dir if run is None else run)
    form = "json" if as_json else "csv" if as_csv else "table"
    if as_json and as_csv:
        raise Hopeless("--json or --csv, not both")
    with open_archive(root) as con:
        if query is not None:
            write(ask(con, query), form)
        elif sys.stdin.isatty():
            Prompt(con, form, root).run()
        else:
            prompt = Prompt(con, form, root)
            for entered in entries(sys.stdin):
                prompt.obey(entered)


def ask(con: duckdb.DuckDBPyConnection, query: str) -> Rows:
    """Problem in one line where DuckDB refuses it. Names and rows of the last statement."""
    try:
        if not con.extract_statements(query):
            raise Hopeless("an empty query: like 'SELECT count(*) FROM fills'")
        con.execute(query)
        return [column[0] for column in con.description or ()], con.fetchall()
    except duckdb.Error as error:
        raise Hopeless(" ".join(str(error).split("LINE 1:")[0].split())) from None


def write(found: Rows, form: str) -> None:
    names, rows = found
    if form == "json":
        for row in rows:
            typer.echo(json.dumps(dict(zip(names, map(_plain, row), strict=True)), ensure_ascii=False))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_text(value) for value in row] for row in rows)
    elif names:
        _table(names, rows)


def _table(names: list[str], rows: list[tuple[Any, ...]]) -> None:
    shown = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 400)
    table = Table(*(Column(name, overflow="fold") for name in names), box=None, header_style="bold", pad_edge=False)
    for row in rows[:MOST]:
        table.add_row(*(_text(value).replace("[", "\\[") for value in row))
    shown.print(table)
    shown.print(f"{len(rows):,} row{'s' if len(rows) != 1 else ''}" + (f", {MOST:,} shown" if len(rows) > MOST else ""))


def _text(value: Any) -> str:
    """As a person writes it: no exponents, no zeros at the end of a decimal."""
    match value:
        case None:
            return ""
        case Decimal():
            plain = f"{value:f}"
            return plain.rstrip("0").rstrip(".") if "." in plain else plain
        case bytes():
            return value.decode(errors="backslashreplace")
        case datetime():
            return value.isoformat(sep=" ")
    return str(value)


def _plain(value: Any) -> Any:
    """JSON's own kinds stay; a decimal is a string, with its digits."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    return _text(value)


class Prompt:
    """Reads lines until a ';', answers, goes on. The history is kept beside the archive."""

    def __init__(self, con: duckdb.DuckDBPyConnection, form: str, root: Path) -> None:
        self._con, self._form, self._root = con, form, root
        self._history = root.parent / "sql_history"

    def run(self) -> None:
        typer.echo(f"views: {', '.join(sorted(filled(self._con)))}\n{HELP}")
        readline = _with_history(self._history)
        try:
            while (entered := _read()) is not None:
                self.answer(entered)
        finally:
            if readline is not None:
                readline.write_history_file(str(self._history))

    def answer(self, entered: str) -> None:
        """One command or query; what is wrong with it is one line, and the prompt goes on."""
        try:
            self.obey(entered)
        except Problem as problem:
            typer.echo(f"{problem}", err=True)

    def obey(self, entered: str) -> None:
        command, _, rest = entered.strip().rstrip(";").partition(" ")
        match command:
            case "":
                return
            case ".tables":
                write((["view"], [(name,) for name in sorted(view_names())]), self._form)
            case ".schema":
                write(ask(self._con, f'SELECT column_name, column_type FROM (DESCRIBE "{rest.strip()}")'), self._form)
            case _ if command.startswith("."):
                typer.echo(HELP)
            case _:
                views(self._con, self._root)  # the run may have gone on
                write(ask(self._con, entered), self._form)


def filled(con: duckdb.DuckDBPyConnection) -> list[str]:
    """The views that have anything in them."""
    return [name for name in view_names() if con.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()]


def _read() -> str | None:
    """A command, or lines up to the one that ends with ';'. None at the end of the input."""
    lines: list[str] = []
    while True:
        try:
            line = input("   > " if lines else "sql> ")
        except EOFError:
            typer.echo()
            return None
        except KeyboardInterrupt:
            typer.echo()
            lines.clear()
            continue
        if not lines and line.strip() in (".quit", ".exit"):
            return None
        lines.append(line)
        if _is_whole(lines):
            return "\n".join(lines)


def entries(lines: Iterable[str]) -> Iterator[str]:
    """As a prompt would take them, from a pipe; the last query may end without ';'."""
    held: list[str] = []
    for line in lines:
        if not held and line.strip() in (".quit", ".exit"):
            return
        held.append(line.rstrip("\n"))
        if _is_whole(held):
            yield "\n".join(held)
            held.clear()
    yield "\n".join(held)


def _is_whole(lines: list[str]) -> bool:
    last, command = lines[-1].rstrip(), len(lines) == 1 and lines[0].lstrip().startswith(".")
    return command or last.endswith(";") or not "".join(lines).strip()


def _with_history(path: Path) -> Any:
    """The arrow keys and their memory, where this Python has them."""
    try:
        import readline
    except ModuleNotFoundError:
        return None
    if path.exists():
        readline.read_history_file(str(path))
    readline.set_history_length(1000)
    return readline
