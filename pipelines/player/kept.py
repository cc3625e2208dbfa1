"""The books as they stand where the recording is, for who comes later than their snapshots: read again from the beginning, and
only when somebody asks.
"""

from collections.abc import Iterator

from pipelines.lines import Lines
from pipelines.normalize import MarketState, normalize_stage
from pipelines.player.recording import Place, Recording
from topics.coordinates import At
from topics.record import InstrumentId


class Kept:
    """``at`` may only be asked for places that follow each other."""

    def __init__(self, recording: Recording) -> None:
        self._lines = Lines(recording.venue, recording.adapter)
        self._stage = normalize_stage({recording.venue: recording.venue})
        self._states: dict[InstrumentId, MarketState] = {}
        self._places: Iterator[Place] = recording.places()
        self._next = 0

    def at(self, place: int, instrument: InstrumentId) -> MarketState | None:
        """As of everything before ``place``."""
        while self._next < place:
            found = next(self._places, None)
            if found is None:
                break
            for line in self._lines.of([found.item]):
                self._states[line.key], _ = self._stage.on_event(self._states.get(line.key), line, At(0, found.n, 0))
            self._next = found.n + 1
        return self._states.get(instrument)
