"""Captures played at their own pace or faster.

Frames are published as recorded but for their times: a moment of the recording becomes
`start + (moment - first) / speed`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from heapq import merge

from adapters.simulated.capture import MS, Capture, Frame, joined
from adapters.simulated.model import MarketTrade, Printed
from adapters.simulated.players import Progress
from adapters.simulated.venue import Venue

BATCH = 200


class CapturePlayer:
    """Plays captures on one time axis; the book is the snapshot's before the start and stands still after the end."""

    def __init__(self, venue: Venue, captures: Sequence[Capture], speed: float) -> None:
        self._venue = venue
        self._captures = captures
        self._speed = speed
        self._first = min(capture.frames[0].local_ns for capture in captures)
        last = max(capture.frames[-1].local_ns for capture in captures)
        self._length = max(1, last - self._first)
        names = ", ".join(capture.path.name for capture in captures)
        total = sum(len(capture.frames) for capture in captures)
        self._left = deque(merge(*(self._rows(one) for one in captures), key=lambda row: row[1].local_ns))
        self.progress = Progress(source=f"capture {names} at {speed:g}x", total=total)

    def prepare(self, started_ns: int | None) -> None:
        for capture in self._captures:
            self._venue.commit(self._venue.core.feed(self._venue.now(), capture.symbol, capture.snapshot))
        if started_ns is not None:
            self._catch_up(started_ns)
        self._venue.core.reopen()

    def _catch_up(self, started_ns: int) -> None:
        """What was recorded until now moves the book and reaches nobody: no order of ours is in it yet."""
        now = self._venue.clock.steady()
        while self._left and self._moved(started_ns, self._left[0][1].local_ns) <= now:
            capture, frame = self._left.popleft()
            self._venue.core.feed(self._venue.now(), capture.symbol, frame.recorded)
            self.progress.played += 1

    async def run(self, start_ns: int) -> None:
        start = self.progress.started_ns = start_ns
        self.progress.state = "playing"
        while self._left:
            capture, frame = self._left.popleft()
            number = self.progress.played + 1
            wait = self._moved(start, frame.local_ns) - self._venue.clock.steady()
            if wait > MS or number % BATCH == 0:
                await asyncio.sleep(max(0.0, wait / 1e9))
            self._play(start, capture, frame)
            self.progress.played = number
            self.progress.position_ns = frame.local_ns - self._first
            self.progress.share = min(1.0, self.progress.position_ns / self._length)
        self.progress.state, self.progress.share = "ended", 1.0

    def _rows(self, capture: Capture) -> Iterator[tuple[Capture, Frame]]:
        return ((capture, frame) for frame in capture.frames)

    def _moved(self, start: int, moment_ns: int) -> int:
        return start + int((moment_ns - self._first) / self._speed)

    def _play(self, start: int, capture: Capture, frame: Frame) -> None:
        """Our orders meet what was recorded, then it is published."""
        venue, now = self._venue, self._venue.now()
        venue.commit(venue.core.feed(now, capture.symbol, frame.recorded))
        if not frame.streams:
            return
        told = start + venue.clock.offset_ns
        times = [self._moved(told, time * MS + capture.clock_ns) // MS for time in frame.times]
        if isinstance(frame.recorded, MarketTrade):
            trade = frame.recorded
            venue.print(
                Printed(
                    ts_ns=times[-1] * MS,
                    symbol=capture.symbol,
                    trade_id=frame.trade_id,
                    price=trade.price,
                    qty=trade.qty,
                    buyer_is_maker=trade.buyer_is_maker,
                )
            )
        venue.hub.frames += 1
        venue.hub.publish_bytes(frame.streams, joined(frame.parts, times))
