"""The depth that REST answers with: the book as it is, or (a fault) as it was some time ago."""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

from adapters.simulated.book import Levels
from adapters.simulated.core import Core
from adapters.simulated.injector import Injector

EVERY_S = 0.1
DEEPEST = 5000


class Snapshot(msgspec.Struct, frozen=True):
    """A book as of `update_id`, best first."""

    taken_at: float
    update_id: int
    bids: Levels
    asks: Levels


class Snapshots:
    """Old books are kept only while `snapshot_lags` may be drawn."""

    def __init__(self, core: Core, injector: Injector) -> None:
        self._core = core
        self._injector = injector
        self._kept: dict[str, deque[Snapshot]] = {symbol: deque() for symbol in core.instruments}

    def depth(self, symbol: str, limit: int) -> Snapshot:
        lag = self._injector.draw("snapshot_lags", symbol=symbol)
        if lag is None or not self._kept[symbol]:
            return self._now(symbol, limit)
        found = self._as_of(symbol, asyncio.get_running_loop().time() - lag / 1e9)
        return msgspec.structs.replace(found, bids=found.bids[:limit], asks=found.asks[:limit])

    def remember(self) -> None:
        if not self._injector.is_active("snapshot_lags"):
            for kept in self._kept.values():
                kept.clear()
            return
        oldest = asyncio.get_running_loop().time() - self._injector.profile.snapshot_lags.max_ms / 1e3 - 1
        for symbol, kept in self._kept.items():
            kept.append(self._now(symbol, DEEPEST))
            while kept[0].taken_at < oldest:
                kept.popleft()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self.remember()

    def _now(self, symbol: str, limit: int) -> Snapshot:
        market = self._core.market(symbol)
        return Snapshot(asyncio.get_running_loop().time(), market.update_id, *market.depth(limit))

    def _as_of(self, symbol: str, moment: float) -> Snapshot:
        """The newest that is old enough, else the oldest there is."""
        kept = self._kept[symbol]
        return next((one for one in reversed(kept) if one.taken_at <= moment), kept[0])
