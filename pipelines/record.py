"""``tapedeck record``: market data of some instruments to Kafka, to its archive, and to compressed capture files at once; nothing trades."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from adapters.registry import adapter_of, market_data
from infra.config import Config, VenueConfig, check_run_name, load
from infra.errors import Hopeless
from pipelines.system import System
from pipelines.toml import to_toml
from topics.record import InstrumentId, Venue, venue_of

EVERY_S = 1.0
Venues = Mapping[Venue, VenueConfig]


def record(
    home: Path,
    instruments: Sequence[InstrumentId],
    venues: Venues,
    run: str,
    seconds: float,
    say: Callable[[str], None],
    each: Callable[[str], None],
) -> Path:
    """The folder of the captures. ``seconds`` 0: until Ctrl-C; ``each`` is told once a second what has been recorded. Problem for a
    venue that there is no adapter of.
    """
    name = run or time.strftime("record-%Y%m%d-%H%M%S", time.gmtime())
    check_run_name(name)
    path = home / "runs" / name / "tapedeck.toml"
    if path.exists():
        raise Hopeless(f"a run {name!r} is there already ({path.parent}): name another with --run")
    text = toml(name, home, instruments, venues)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    config = load(path)
    with System(config, path.absolute(), say) as system:
        system.start()
        say(f"recording as run {name} to {config.captures} and Kafka; Ctrl-C ends it")
        told = Told(config, each)
        system.run(None if seconds == 0 else time.monotonic() + seconds, told.tell)
        system.stop()
        say(f"recorded: {told.words()}")
    return config.captures


def toml(name: str, home: Path, instruments: Sequence[InstrumentId], venues: Venues) -> str:
    """The configuration of a run that only records: a venue is as ``venues`` has it, else its name says its adapter. Without
    ``instruments`` all that ``venues`` names. Hopeless where there is nothing to record.
    """
    by_venue: dict[Venue, list[InstrumentId]] = {}
    for instrument in dict.fromkeys(instruments or (i for v in venues.values() for i in v.instruments)):
        by_venue.setdefault(venue_of(instrument), []).append(instrument)
    if not by_venue:
        raise Hopeless("nothing to record: name instruments, such as binance:BTC-USDT")
    sections = {venue: _section(venue, some, venues) for venue, some in by_venue.items()}
    table = {"run": {"name": name, "home": str(home)}, "venues": sections}
    return f"# Written by 'tapedeck record'.\n{to_toml(table)}"


def _section(venue: Venue, instruments: Sequence[InstrumentId], venues: Venues) -> dict[str, Any]:
    """What is not as it is by itself."""
    try:
        found = venues[venue] if venue in venues else VenueConfig(adapter=adapter_of(venue))
        adapter = market_data(found.adapter)
        for instrument in instruments:
            adapter.venue_symbol(instrument)
    except ValueError as error:
        raise Hopeless(str(error)) from error
    chosen = msgspec.to_builtins(replace(found, instruments=tuple(instruments), capture=True))
    usual = msgspec.to_builtins(VenueConfig(adapter=""))
    return {key: value for key, value in chosen.items() if value != usual[key]}


class Told:
    """Says once a second what has been recorded."""

    def __init__(self, config: Config, say: Callable[[str], None]) -> None:
        self._config = config
        self._say = say
        self._began = self._due = time.monotonic()
        self._ended: dict[Venue, int] = {}
        self._frames: dict[Venue, int] = {}

    def tell(self) -> None:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + EVERY_S
            self._say(f"recording: {self.words()}")

    def words(self) -> str:
        """One line: how long, how much of each venue, what is the matter with it, how large the captures are."""
        seconds = int(time.monotonic() - self._began)
        size = sum(path.stat().st_size for path in self._config.captures.glob("*.zst"))
        venues = "; ".join(f"{venue} {self._of(venue)}" for venue in sorted(self._config.venues))
        return f"{seconds // 60}:{seconds % 60:02} {venues}; captures {size / 1e6:,.1f} MB"

    def _of(self, venue: Venue) -> str:
        """As its ingest has last said it."""
        try:
            status = json.loads((self._config.run_dir / "status" / f"ingest.{venue}.json").read_bytes())
        except (OSError, ValueError):
            return "starting"
        times = {0: "", 1: ", connection lost once"}.get(status["lost"], f", connections lost {status['lost']} times")
        trouble = f" ({status['problem']})" if status["problem"] else ""
        return f"{self._counted(venue, status['events_in']):,} frames{times}{trouble}"

    def _counted(self, venue: Venue, frames: int) -> int:
        """An ingest that was started anew counts anew."""
        before = self._frames.get(venue, 0)
        if frames < before:
            self._ended[venue] = self._ended.get(venue, 0) + before
        self._frames[venue] = frames
        return self._ended.get(venue, 0) + frames
