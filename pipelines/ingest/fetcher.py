"""REST snapshots and definitions, one request at a time: what is asked again soon waits longer, what fails is tried
again later.
"""

import asyncio
import logging
import time
from enum import StrEnum
from typing import NamedTuple

from adapters.base import Rest, VenueBusy, VenueError, VenueRefused
from pipelines.ingest.backoff import CALM_S, backoff_s
from pipelines.ingest.writer import RawWriter

log = logging.getLogger("tapedeck.ingest")


class What(StrEnum):
    DEPTH = "depth"
    DEFINITION = "definition"
    OPEN_INTEREST = "open interest"


OPTIONAL = frozenset({What.OPEN_INTEREST})
"""Nothing waits for these: they are asked for again when it is their time."""


class Wanted(NamedTuple):
    what: What
    symbol: str


class Fetcher:
    """``fetched``: what has been written since it was last forgotten; ``refused``: why the venue will not tell it."""

    def __init__(self, name: str, rest: Rest, writer: RawWriter) -> None:
        self.fetched: set[Wanted] = set()
        self.refused: dict[Wanted, str] = {}
        self.problem = ""
        self._name = name
        self._requests = {
            What.DEPTH: rest.depth,
            What.DEFINITION: rest.definition,
            What.OPEN_INTEREST: rest.open_interest,
        }
        self._writer = writer
        self._due: dict[Wanted, float] = {}
        self._done_at: dict[Wanted, float] = {}
        self._repeats: dict[Wanted, int] = {}
        self._failures = 0
        self._wake = asyncio.Event()

    def ask(self, wanted: Wanted, *, at_once: bool = False) -> None:
        """Fetch it soon; asked twice before it is fetched, it is fetched once."""
        now = time.monotonic()
        if at_once:
            due = now
        else:
            since = now - self._done_at.get(wanted, -CALM_S)
            repeats = self._repeats[wanted] = 0 if since >= CALM_S else self._repeats.get(wanted, 0) + 1
            due = now if repeats == 0 else now + max(0.0, backoff_s(repeats) - since)
        self._due[wanted] = min(due, self._due.get(wanted, due))
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            wanted = self._next()
            if wanted is None:
                await self._wake.wait()
            elif (wait := self._due[wanted] - time.monotonic()) > 0:
                await self._sleep(wait)
            else:
                await self._fetch(wanted)

    def _next(self) -> Wanted | None:
        """Of what is due already books come first: their deltas wait for them."""
        now = time.monotonic()
        due = self._due.items()
        ordered = ((max(at, now), wanted.what is not What.DEPTH, at, wanted) for wanted, at in due)
        return min(ordered, default=(0, 0, 0, None))[-1]

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _fetch(self, wanted: Wanted) -> None:
        del self._due[wanted]
        try:
            frame = await self._requests[wanted.what](wanted.symbol)
        except VenueError as error:
            if wanted.what in OPTIONAL and not isinstance(error, VenueBusy):
                log.info("%s: no %s of %s: %s", self._name, wanted.what, wanted.symbol, error)
            elif isinstance(error, VenueRefused):
                self._was_refused(wanted, error)
            else:
                self._failed(wanted, error)
            return
        self._writer.wrapped(wanted.symbol, frame)
        self.fetched.add(wanted)
        self.refused.pop(wanted, None)
        self._done_at[wanted] = time.monotonic()
        self._failures = 0
        if self.problem:
            log.info("%s: REST answers again", self._name)
            self.problem = ""

    def _was_refused(self, wanted: Wanted, error: VenueRefused) -> None:
        """This request's own trouble: the others go on."""
        self._due[wanted] = time.monotonic() + backoff_s(20)
        if wanted not in self.refused:
            log.error("%s: the venue refuses %s of %s: %s", self._name, wanted.what, wanted.symbol, error)
        self.refused[wanted] = str(error)

    def _failed(self, wanted: Wanted, error: VenueError) -> None:
        wait = backoff_s(self._failures)
        if isinstance(error, VenueBusy):
            wait = max(wait, error.retry_after_s, 1.0)
        self._failures += 1
        until = time.monotonic() + wait
        self._due = {w: max(due, until) for w, due in self._due.items()}  # the venue's trouble, so everybody's
        self._due[wanted] = until
        if not self.problem:
            log.warning("%s: no %s of %s (%s), trying again", self._name, wanted.what, wanted.symbol, error)
        self.problem = str(error)
