"""What `tapedeck replay-stage --with/--param/--limit` prints: the decisions that would have been others."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.table import Column, Table

from infra.config import parse
from infra.errors import Hopeless
from pipelines.recorded_run import Recorded, committed
from pipelines.replay import Range
from pipelines.replay_what_if import Differing, WhatIf, changed, differing, has_input

MOST = 40
"""Lines of one stage's table; JSON has them all."""
LONG = 48
TOLD = ("side", "order_qty", "price", "check", "value", "limit", "reason", "status", "name", "quantity")


def what_if(
    names: Sequence[str],
    run: Recorded,
    run_dir: Path,
    raw: dict[str, Any],
    params: Iterable[str],
    limits: Iterable[str],
    software: Path | None,
    within: Range,
    as_json: bool,
) -> None:
    """The list for each of these stages and gateways."""
    asked = changed(raw, params, limits, software)
    parse(asked.raw)
    if not any(has_input(name, run, asked, within) for name in names):
        raise Hopeless("nothing to replay: no recorded input lies there")
    found: list[Differing] = []
    for name in names:
        of_one = differing(name, run, asked, within, committed(run_dir, name))
        found += of_one
        if not as_json:
            _print(name, of_one, asked)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())


def _print(name: str, found: list[Differing], asked: WhatIf) -> None:
    out = Console(highlight=False, emoji=False, width=max(120, Console().width))
    if not found:
        out.print(f"{name}: no decision would have been another")
        return
    counts = Counter((one.what, one.kind) for one in found)
    told = ", ".join(f"{n:,} {kind} {what}" for (what, kind), n in counts.items())
    out.print(f"{name}: {len(found):,} decisions differ: {told}", markup=False, soft_wrap=True)
    columns = ("input", "", "decision", "about", "recorded", "replayed")
    table = Table(*(Column(c, overflow="fold") for c in columns), box=None, pad_edge=False)
    for one in found[:MOST]:
        table.add_row(one.at, one.what, one.kind, one.about, *_sides(one))
    out.print(table, markup=False)
    if len(found) > MOST:
        out.print(f"  and {len(found) - MOST:,} more: --json lists them all")


def _sides(one: Differing) -> tuple[str, str]:
    if one.fields:
        return tuple(" ".join(f"{n}={_short(v[i])}" for n, v in one.fields.items() if n != "type") for i in (0, 1))  # type: ignore[return-value]
    return _told(one.recorded), _told(one.replayed)


def _told(event: dict[str, Any] | None) -> str:
    return "" if event is None else " ".join(f"{n}={_short(event[n])}" for n in TOLD if n in event)


def _short(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= LONG else text[:LONG] + "…"
