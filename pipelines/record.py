"""``tapedeck record``: market data of some instruments to Kafka, to its archive, and to compressed capture files at once; nothing trades."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.registry import adapter_of
from infra.config import check_run_name, load
from infra.errors import Hopeless
from pipelines.system import System
from topics.record import InstrumentId, venue_of

EVERY_S = 1.0


def record(
    home: Path,
    instruments: Sequence[InstrumentId],
    run: str,
    seconds: float,
    say: Callable[[str], None],
    each: Callable[[str], None],
) -> Path:
    """The folder of the captures. ``seconds`` 0: until Ctrl-C. Problem for a venue that there is no adapter of."""
    name = run or time.strftime("record-%Y%m%d-%H%M%S", time.gmtime())
    check_run_name(name)
    path = home / "runs" / name / "tapedeck.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        raise Hopeless(f"a run {name!r} is there already ({path.parent}): name another with --run")
    path.write_text(toml(name, home, instruments))
    config = load(path)
    with System(config, path.absolute(), say) as system:
        system.start()
        say(f"recording {', '.join(instruments)} as run {name}; Ctrl-C ends it")
        until = None if seconds == 0 else time.monotonic() + seconds
        system.run(until, _told(system, each))
    return config.run_dir / "captures"


def toml(name: str, home: Path, instruments: Sequence[InstrumentId]) -> str:
    """The configuration of a run that only records: a venue's name says its adapter."""
    by_venue: dict[str, list[InstrumentId]] = {}
    for instrument in dict.fromkeys(instruments):
        by_venue.setdefault(venue_of(instrument), []).append(instrument)
    try:
        found = {venue: adapter_of(venue) for venue in by_venue}
    except ValueError as error:
        raise Hopeless(str(error)) from error
    parts = [f"# Written by 'tapedeck record'.\n[run]\nname = {json.dumps(name)}\nhome = {json.dumps(str(home))}\n"]
    for venue, some in by_venue.items():
        parts.append(
            f"\n[venues.{venue}]\nadapter = {json.dumps(found[venue])}\ninstruments = {json.dumps(some)}\ncapture = true\n"
        )
    return "".join(parts)


def _told(system: System, each: Callable[[str], None]) -> Callable[[], None]:
    due = 0.0

    def tell() -> None:
        nonlocal due
        if time.monotonic() < due:
            return
        due = time.monotonic() + EVERY_S
        found = {name: status for name, status in system.statuses().items() if name.startswith("ingest/")}
        words = [
            f"{name.partition('/')[2]}: {status.get('events_in', 0):,} frames{_trouble(status)}"
            for name, status in sorted(found.items())
        ]
        each("; ".join(words))

    return tell


def _trouble(status: Mapping[str, Any]) -> str:
    return f" ({status['problem']})" if status.get("problem") else ""
