"""A venue that somebody else watches for us: a task for each instrument and kind, its frames to the writer. What fails is tried
again, and a book that begins again begins with a session line.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from adapters.base import Sampler, VenueBusy, VenueError, session_frame
from pipelines.ingest.backoff import backoff_s
from pipelines.ingest.writer import RawWriter

log = logging.getLogger("tapedeck.ingest")

BOOK = "book"


class Watched:
    """As ``Stream``, for what has no connections of ours. ``connections``: beginnings of books; ``lost``: their ends."""

    def __init__(
        self, name: str, sampler: Sampler, symbols: Sequence[str], writer: RawWriter, session: Callable[[int], str]
    ) -> None:
        self.connections = 0
        self.lost = 0
        self.holes = 0
        self.problem = ""
        self.symbols = tuple(symbols)
        self._name = name
        self._sampler = sampler
        self._writer = writer
        self._session = session
        self._up: set[str] = set()
        self._troubles: dict[tuple[str, str], str] = {}

    @property
    def connected(self) -> bool:
        return self._up == set(self.symbols)

    async def run(self) -> None:
        """Until cancelled."""
        watching = [
            asyncio.create_task(self._watch(kind, symbol)) for symbol in self.symbols for kind in self._sampler.kinds
        ]
        try:
            await asyncio.gather(*watching)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            await self._sampler.close()

    async def send(self, messages: Sequence[str]) -> None:
        """There is nothing to ask for: each book is whole."""

    async def _watch(self, kind: str, symbol: str) -> None:
        failures = 0
        while True:
            try:
                frame = await self._sampler.next(kind, symbol)
            except VenueError as error:
                self._failed(kind, symbol, error)
                wait = backoff_s(failures)
                await asyncio.sleep(max(wait, error.retry_after_s, 1.0) if isinstance(error, VenueBusy) else wait)
                failures += 1
                continue
            failures = 0
            self._works(kind, symbol)
            self._writer.frame(frame, kind, "")

    def _works(self, kind: str, symbol: str) -> None:
        if self._troubles.pop((kind, symbol), ""):
            self.problem = next(iter(self._troubles.values()), "")
        if kind == BOOK and symbol not in self._up:
            self._up.add(symbol)
            self.connections += 1
            self._writer.wrapped(symbol, session_frame(self._session(self.connections), symbol))

    def _failed(self, kind: str, symbol: str, error: VenueError) -> None:
        if kind == BOOK and symbol in self._up:
            self._up.remove(symbol)
            self.lost += 1
        if (kind, symbol) not in self._troubles:
            log.warning("%s: no %s of %s (%s), trying again", self._name, kind, symbol, error)
        self._troubles[kind, symbol] = self.problem = str(error)
