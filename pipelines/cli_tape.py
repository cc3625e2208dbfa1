"""`tapedeck tape`: looking at recordings of market data. Mounted by the command line."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.errors import Hopeless

if TYPE_CHECKING:
    from infra.captures import Item
    from pipelines.tape_figures import Figures, Found, Seen

app = typer.Typer(help="Recordings of market data, ours and others': list, look into, cut.", no_args_is_help=True)
Files = Annotated[list[Path], typer.Argument(help="A recording; several files are one stream in the order given.")]
VenueOption = Annotated[str, typer.Option("--venue", help="The venue, where the recording does not tell it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
WIDE = 160
"""Of a table that is not shown on a terminal."""
LATENCY = "from the venue's time to the receipt"
NAMED = 3
"""Instruments that a list names."""


def _out() -> Console:
    shown = Console(highlight=False, emoji=False)
    return shown if shown.is_terminal else Console(highlight=False, emoji=False, width=WIDE)


@app.command("ls")
def list_recordings(
    paths: Annotated[list[Path], typer.Argument(help="Recordings, and folders that hold some.")],
    as_json: JsonOption = False,
) -> None:
    """Which recordings there are: format, venue, instruments, span, frames, size."""
    from pipelines.tape_figures import found_in, looked_at

    listed, errors = found_in(paths)
    named = {path for path in paths if not path.is_dir()}
    for error in errors:
        if error.path in named:
            raise error
    table = _table("recording", "format", "venue", "instruments", "from, UTC", "length", "frames", "size", "")
    for recording in listed:
        found = looked_at(recording)
        if as_json:
            typer.echo(json.dumps(_listed(found)))
        else:
            table.add_row(*map(escape, (_name(recording.paths, paths), *_row(found))))
    if not as_json:
        _out().print(table)
    if errors:
        err.print(f"{len(errors)} other files are no recordings" if len(errors) > 1 else f"no recording: {errors[0]}")
    if not listed:
        raise Hopeless(f"no recordings in {', '.join(map(str, paths))}")


@app.command()
def stat(
    files: Files,
    venue: VenueOption = "",
    gaps: Annotated[bool, typer.Option("--gaps", help="Build the books and count their gaps too; slower.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Per instrument: frames by channel, rate, span, longest silence, and the time from the venue to the receipt."""
    from pipelines.tape_figures import figures_of

    found = figures_of(files, venue, gaps)
    if as_json:
        for symbol, seen in sorted(found.instruments.items()):
            typer.echo(json.dumps(_stat(found.venue, symbol, seen, found.clock_skew)))
    else:
        _show_stat(found)
    if found.broken:
        raise Hopeless(found.broken)


@app.command()
def head(
    files: Files,
    count: Annotated[int, typer.Option("-n", min=1, help="How many items.")] = 10,
    whole: Annotated[bool, typer.Option("--whole", help="Whole frames, however long.")] = False,
) -> None:
    """The first items, in the order they were received."""
    from infra.captures import read
    from pipelines.imports.rows import rows
    from pipelines.tape_tables import are_tables

    shown = _out()
    records = (",".join(row.fields) for path in files for row in rows(path))
    told = records if are_tables(files) else (_item(item) for item in read(files, past_bad_lines=True))
    for line in islice(told, count):
        if whole:
            typer.echo(line)
        else:
            shown.print(line, markup=False, no_wrap=True, overflow="ellipsis", crop=True)


@app.command()
def cut(
    files: Files,
    out: Annotated[Path, typer.Option("--out", help="The capture to write, as part.jsonl.zst.")],
    since: Annotated[str, typer.Option("--from", help="Begin at this receive time, as 2026-01-31T12:00:00; UTC.")] = "",
    until: Annotated[str, typer.Option("--to", help="End before this time.")] = "",
) -> None:
    """A part of a recording, or several files as one, in our own format. A broken file is kept up to its break."""
    from pipelines import tape_cut
    from pipelines.cli_replay import _ns

    written, broken = tape_cut.cut(files, out, _ns(since) or 0, _ns(until))
    err.print(f"{written:,} items in {out} ({out.stat().st_size:,} bytes)")
    if broken:
        raise Hopeless(broken)


@app.command()
def check(
    files: Files,
    venue: VenueOption = "",
    instrument: Annotated[
        str, typer.Option("--instrument", help="Of a table whose symbol does not tell it: BTC-USDT-PERP.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Every frame through the live system's parser, integrity rules and books: what is proved, what is broken."""
    from pipelines.tape_check import as_json as plain
    from pipelines.tape_check import check as checked
    from pipelines.tape_check_table import checked_table

    with _progress(err) as seen:
        found = checked(files, venue, seen, instrument=instrument)
    if as_json:
        for one in found.instruments:
            typer.echo(json.dumps(plain(one)))
    elif found.instruments:
        shown = _out()
        shown.print(checked_table(found.instruments, shown.width))
    if skew := max((one.clock_skew_ns for one in found.instruments), default=0):
        err.print(f"the recorder's clock was {skew / 1e6:,.1f} ms behind the venue's, at least")
    unreadable = sum(one.unreadable for one in found.instruments)
    if found.unknown or unreadable or found.passed_over:
        err.print(
            f"{found.unknown:,} frames about no instrument, {unreadable:,} that cannot be read, "
            f"{found.passed_over:,} passed over"
        )
    if found.bad_lines:
        err.print(f"bad lines: {found.bad_lines:,}; books that the next frame does not prove began anew after them")
    if found.problem:
        raise Hopeless(found.problem)
    if not found.instruments:
        raise Hopeless(f"{files[0]}: no frame in it is about an instrument that {found.venue} is known to spell so")
    if not all(one.sound for one in found.instruments):
        raise typer.Exit(1)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int], None]]:
    """How many frames so far, where somebody watches."""
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield lambda frames: status.update(f"{frames:,} frames")


def _row(found: "Found") -> tuple[str, ...]:
    figures, names = found.figures, found.figures.named
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (
        found.recording.format,
        figures.venue or "?",
        " ".join(names[:NAMED]) + more,
        _time(figures.first, 0) if figures.first else "",
        _length(figures.last - figures.first),
        f"{figures.kinds['frame']:,}",
        f"{found.size / 1e6:,.2f} MB",
        figures.broken.partition(": ")[2],
    )


def _name(files: Sequence[Path], listed: Sequence[Path]) -> str:
    """Within the folder that was named."""
    first, *rest = files
    folder = next((path for path in listed if path.is_dir() and first.is_relative_to(path)), Path())
    return (
        f"{first.relative_to(folder) if folder in first.parents else first}{f' and {len(rest)} more' if rest else ''}"
    )


def _listed(found: "Found") -> dict[str, Any]:
    figures = found.figures
    return {
        "files": [str(path) for path in found.recording.paths],
        "format": found.recording.format,
        "venue": figures.venue,
        "instruments": figures.named,
        "from": figures.first,
        "to": figures.last,
        "items": dict(figures.kinds),
        "size": found.size,
        "broken": figures.broken,
    }


def _show_stat(found: "Figures") -> None:
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in found.kinds.most_common())
    shown = _out()
    shown.print(
        f"{found.venue or 'venue not known (--venue)'}: {kinds}; {_time(found.first, 3)} UTC, {_length(found.last - found.first)}",
        soft_wrap=True,
    )
    table = _table(
        "instrument", "frames", "by channel", "a second", "length", "longest silence", "gaps", "min", "median", "max"
    )
    skew = found.clock_skew
    if skew:
        shown.print(f"the recorder's clock was {skew / 1e6:,.1f} ms behind the venue's, at least: added to latencies")
    table.caption, table.caption_justify = (
        f"min, median, max: {LATENCY}, ms; gaps: with --gaps",
        "right",
    )
    for symbol, seen in sorted(found.instruments.items()):
        offsets = (seen.offsets.lowest, seen.offsets.median, seen.offsets.highest)
        table.add_row(
            escape(symbol) or "(none)",
            f"{seen.frames:,}",
            escape(_channels(seen.channels)),
            f"{seen.rate:,.1f}",
            _length(seen.last - seen.first),
            _length(seen.longest_silence),
            "" if seen.gaps is None else f"{seen.gaps:,}",
            *("" if offset is None else f"{max(0, offset + skew) / 1e6:,.1f}" for offset in offsets),
        )
    shown.print(table)


def _stat(venue: str, symbol: str, seen: "Seen", skew: int) -> dict[str, Any]:
    """``offset_ns`` is as recorded, ``latency_ns`` on one clock: never below 0."""
    offsets = {"min": seen.offsets.lowest, "median": seen.offsets.median, "max": seen.offsets.highest}
    return {
        "venue": venue,
        "venue_symbol": symbol,
        "frames": seen.frames,
        "channels": dict(seen.channels),
        "rate": round(seen.rate, 3),
        "from": seen.first,
        "to": seen.last,
        "longest_silence_ns": seen.longest_silence,
        "gaps": seen.gaps,
        "offset_ns": offsets,
        "clock_skew_ns": skew,
        "latency_ns": {name: None if ns is None else max(0, ns + skew) for name, ns in offsets.items()},
    }


def _channels(channels: Counter[str]) -> str:
    return " ".join(f"{name or 'other'} {n:,}" for name, n in channels.most_common())


def _item(item: "Item") -> str:
    return f"{_time(item.ts, 6)} {item.kind:6} {item.connection or '-'} {_content(item)}"


def _content(item: "Item") -> str:
    about = f"{item.about} " if item.about else ""
    return about + item.data.decode("utf-8", "backslashreplace").replace("\n", " ")


def _table(*titles: str) -> Table:
    table = Table(box=None, header_style="bold")
    for title in titles:
        left = title in ("recording", "format", "venue", "instruments", "instrument", "by channel", "")
        table.add_column(title, justify="left" if left else "right", overflow="fold")
    return table


def _time(ts: int, digits: int) -> str:
    text = f"{datetime.fromtimestamp(ts // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S}"
    return f"{text}.{ts % 1_000_000_000:09}"[: len(text) + 1 + digits] if digits else text


def _length(ns: int) -> str:
    seconds = ns / 1e9
    if seconds < 120:
        return f"{seconds:.3f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
