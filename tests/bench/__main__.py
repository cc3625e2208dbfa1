"""`python -m tests.bench [NAME ...]`: all measurements, or those named."""

import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from infra import services
from infra.version import revision
from tests.bench.measure import Row
from tests.bench.scene import scene

NAMES = ("hop", "stages", "feed", "paths", "checks", "gateway", "audit", "backtest", "report")


def main() -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    wanted = [n for n in NAMES if n in sys.argv[1:]] or list(NAMES)
    if unknown := sorted(set(sys.argv[1:]) - set(NAMES)):
        sys.exit(f"no measurement {unknown[0]!r}: one of {', '.join(NAMES)}")
    home = services.default_home()
    endpoints = services.up(home, progress=console.print)
    rows: list[Row] = []
    for name in wanted:
        began = time.monotonic()
        with console.status(f"measuring {name}"):
            rows += _measured(name, endpoints)
        console.print(f"{name}: {time.monotonic() - began:.0f} s")
    console.print(table(rows))
    _write(home / "bench.json", rows, whole=wanted == list(NAMES))
    console.print(f"written to {home / 'bench.json'}")


def _measured(name: str, endpoints: services.Endpoints) -> Iterator[Row]:
    with scene(endpoints) as one:
        yield from importlib.import_module(f"tests.bench.{name}").measure(one)


def _write(path: Path, rows: list[Row], *, whole: bool) -> None:
    """Of a part of the measurements, only their rows are replaced."""
    kept: list[Row] = []
    if not whole and path.exists():
        new = {r.name for r in rows}
        kept = [r for r in msgspec.json.decode(path.read_bytes(), type=list[Row]) if r.name not in new]
    path.write_bytes(msgspec.json.format(msgspec.json.encode([*kept, *rows])))


def table(rows: list[Row]) -> Table:
    made = Table(title=f"benchmarks of {revision()}")
    for name in ("what", "ours", "reference", "unit", "ratio", "aim", "met", "note"):
        made.add_column(name, justify="left" if name in ("what", "unit", "note") else "right")
    for r in rows:
        ratio = "" if r.ratio is None else f"{r.ratio:.2f}×"
        reference = "" if r.reference is None else figure(r.reference)
        met = "" if r.met is None else "yes" if r.met else "no"
        made.add_row(r.name, figure(r.ours), reference, r.unit, ratio, r.aim, met, r.note)
    return made


def figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    main()
