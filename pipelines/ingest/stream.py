"""One of a venue's streams: frames to the writer as received, from one connection or several beside each other. One that
breaks is opened again; each begins with a session line. Where the venue numbers a connection's frames, a number that does
not follow is a hole line.

Where a lost frame would show (``BookRules.chained``) nothing is lost at the venue's limit of a connection's life: its
successor delivers before it is closed. What both deliver counts once (``pipelines.synchronizer``).
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from websockets.exceptions import WebSocketException

from adapters.base import Connection, VenueError, gone_frame, hole_frame, session_frame
from pipelines.ingest.backoff import backoff_s
from pipelines.ingest.link import Link
from pipelines.ingest.writer import RawWriter

log = logging.getLogger("tapedeck.ingest")

STABLE_S = 10.0
OVERLAP_S = 5.0
"""How long a connection and its successor both deliver, at most: a short life has a shorter overlap."""


class Stream:
    """``opened`` is called with the symbols once frames flow where none did, or should: snapshots taken then are not
    older than the stream. ``session`` names the n-th connection. ``at_once``: how many deliver beside each other; where
    frames are not ``chained`` it is one, and ended by the venue.
    """

    def __init__(
        self,
        name: str,
        connection: Connection,
        writer: RawWriter,
        session: Callable[[int], str],
        opened: Callable[[Sequence[str]], None],
        sequence_in: Callable[[bytes], int | None],
        address: Callable[[Connection], Awaitable[str]],
        number: int = 1,
        chained: bool = False,
        at_once: int = 1,
    ) -> None:
        self.connections = 0
        self.lost = 0
        self.holes = 0
        self.problem = ""
        self.symbols = connection.symbols
        self._id = f"{name}.{number}"
        self._name = name
        self._connection = connection
        self._writer = writer
        self._session = session
        self._opened = opened
        self._sequence_in = sequence_in
        self._address = address
        self._any_of = () if chained else connection.symbols
        self._most_s = connection.most_s if chained else 0.0
        self._at_once = at_once if chained else 1
        self._up: list[Link] = []

    @property
    def connected(self) -> bool:
        return bool(self._up)

    async def run(self) -> None:
        """Until cancelled. A state is told once, when it changes."""
        keeping = [asyncio.create_task(self._keep()) for _ in range(self._at_once)]
        try:
            await asyncio.gather(*keeping)
        finally:
            await _end(*keeping)

    async def send(self, messages: Sequence[str]) -> None:
        """To the venue; nothing where there is no connection, since a new one begins anew."""
        socket = next((link.socket for link in reversed(self._up) if link.socket is not None), None)
        if socket is not None:
            with contextlib.suppress(WebSocketException, OSError):
                for message in messages:
                    await socket.send(message)

    async def _keep(self) -> None:
        """One connection, and while it hands over to the next one two."""
        failures = 0
        tasks: list[asyncio.Task[None]] = []
        try:
            while True:
                began = time.monotonic()
                link = Link(self._connection, self._begin, self._take, self._flows, self._address)
                task = asyncio.create_task(self._live(link))
                tasks.append(task)
                if await self._took_over(link, task, tasks[:-1]):
                    await _end(*tasks[:-1])
                    tasks = [task]
                    await asyncio.wait(tasks, timeout=self._life_s())
                if not task.done():
                    failures = 0
                    continue
                tasks.remove(task)
                task.result()
                failures = 0 if time.monotonic() - began > STABLE_S else failures + 1
                await asyncio.sleep(backoff_s(failures - 1 if failures else 0))
        finally:
            await _end(*tasks)

    async def _took_over(self, link: Link, task: asyncio.Task[None], before: Sequence[asyncio.Task[None]]) -> bool:
        """Whether the link delivers, and has for long enough where there is one to take over from."""
        if before:
            await asyncio.wait([task, link.delivers], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait([task], timeout=self._overlap_s)
        return not task.done()

    @property
    def _overlap_s(self) -> float:
        return min(OVERLAP_S, 0.05 * self._most_s)

    def _life_s(self) -> float | None:
        """Until the next one is opened: nine tenths of what the venue allows, never in step with others."""
        return self._most_s * random.uniform(0.85, 0.9) - self._overlap_s if self._most_s else None

    async def _live(self, link: Link) -> None:
        try:
            await link.run()
        except (OSError, WebSocketException, TimeoutError, VenueError) as error:
            self._lost(link, error)
        finally:
            self._leave(link)

    def _begin(self, link: Link) -> None:
        self.connections += 1
        beside = self._up[-1] if self._up else None
        link.id, link.beside = self._session(self.connections), beside.id if beside is not None else ""
        link.slot = next(n for n in range(len(self._up) + 1) if all(other.slot != n for other in self._up))
        self._up.append(link)
        self.problem = ""
        log.info("%s: connected to %s", self._name, self._connection.url)
        self._writer.opened(self._wire(link), self._connection.url, "" if beside is None else self._wire(beside))
        for symbol in self.symbols if self._connection.has_books or link.beside else ():
            self._writer.wrapped(symbol, session_frame(link.id, symbol, link.beside))

    def _flows(self, link: Link) -> None:
        if self._connection.has_books and not link.beside:
            self._opened(self.symbols)

    def _take(self, link: Link, frame: bytes) -> None:
        number = self._sequence_in(frame)
        is_copy = number is not None and link.expected == number + 1
        if number is not None:
            expected, link.expected = link.expected, number + 1
            if expected is not None and number != expected and not is_copy:
                self.holes += 1
                log.warning("%s: frame %s came where %s was due", self._name, number, expected)
                for symbol in self.symbols:
                    self._writer.wrapped(symbol, hole_frame(expected, number, symbol))
        self._writer.frame(frame, self._wire(link), self._connection.url, self._any_of, is_copy)

    def _leave(self, link: Link) -> None:
        if link in self._up:
            self._up.remove(link)
            if self._up:
                other = self._up[-1]
                self._writer.closed(self._wire(link), self._wire(other))
                for symbol in self.symbols:
                    self._writer.wrapped(symbol, gone_frame(link.id, symbol, other.id))

    def _lost(self, link: Link, error: Exception) -> None:
        was_connected = link in self._up
        self._leave(link)
        problem = " ".join(str(error).split()) or type(error).__name__
        if was_connected:
            self.lost += 1
            log.warning("%s: connection lost (%s), connecting again", self._name, problem)
        elif not self.problem and not self._up:
            log.warning(
                "%s: no connection to %s (%s), trying again until there is one",
                self._name,
                self._connection.url,
                problem,
            )
        if not self._up:
            self.problem = problem

    def _wire(self, link: Link) -> str:
        """Its name in a capture: no other that is up has the same."""
        return f"{self._id}.{link.slot}" if link.slot else self._id


async def _end(*tasks: asyncio.Task[None]) -> None:
    """What failed is raised again by who waits for it."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
