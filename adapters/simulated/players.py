"""What moves the market while the server runs: generated flow or a capture, held at a gate until told to start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from adapters.simulated.flow import Action, Place, flow
from adapters.simulated.model import NewOrder, OrderType, SelfTradePrevention, TimeInForce
from adapters.simulated.settlement import MARKET
from adapters.simulated.venue import Venue

DEPTH_EVERY_S = 0.1
LATE_BATCH = 200


class Progress(msgspec.Struct):
    """`state`: waiting, playing or ended; `share` of a capture played (0 for flow, which does not end)."""

    source: str
    state: str = "waiting"
    share: float = 0.0
    played: int = 0
    total: int | None = None
    position_ns: int = 0
    started_ns: int | None = None


class Player(Protocol):
    progress: Progress

    def prepare(self, started_ns: int | None) -> None:
        """Set up the books, before anybody connects: as at the beginning, or as far as a market started then is now."""

    async def run(self, start_ns: int) -> None:
        """Plays, begun then; returns at the end of a capture, never for flow. Times are the machine's."""


class FlowPlayer:
    """Carries out the actions of generated flow when they are due."""

    def __init__(self, venue: Venue, seed: int, speed: float = 1.0) -> None:
        self._venue = venue
        self._speed = speed
        self._actions = flow(venue.core.instruments.values(), seed)
        self._next = next(self._actions)
        self.progress = Progress(source=f"flow, seed {seed} at {speed:g}x")

    def prepare(self, started_ns: int | None) -> None:
        self._venue.core.reopen()
        if started_ns is None:
            while self._next.at_ns == 0:
                self._step()
        else:
            self._catch_up(int((self._venue.clock.steady() - started_ns) * self._speed))

    def _catch_up(self, elapsed: int) -> None:
        """Only what makers had standing then comes into the book: it meets the orders that were open before."""
        standing: dict[tuple[str, str], Action] = {}
        while self._next.at_ns <= elapsed:
            action = self._next
            standing.pop((action.symbol, action.client_order_id), None)
            if isinstance(action, Place) and action.type is OrderType.LIMIT and action.time_in_force is TimeInForce.GTC:
                standing[action.symbol, action.client_order_id] = action
            self.progress.played += 1
            self._next = next(self._actions)
        for action in standing.values():
            act(self._venue, action)

    async def run(self, start_ns: int) -> None:
        start = self.progress.started_ns = start_ns
        self.progress.state = "playing"
        depth = asyncio.create_task(_every(DEPTH_EVERY_S, self._venue.publish_depth))
        try:
            while True:
                await self._play_until(int((self._venue.clock.steady() - start) * self._speed))
                due = start + self._next.at_ns / self._speed
                await asyncio.sleep(max(0.0, (due - self._venue.clock.steady()) / 1e9))
        finally:
            depth.cancel()

    async def _play_until(self, elapsed: int) -> None:
        done = 0
        while self._next.at_ns <= elapsed:
            self._step()
            done += 1
            if done % LATE_BATCH == 0:
                await asyncio.sleep(0)

    def _step(self) -> None:
        act(self._venue, self._next)
        self.progress.played += 1
        self.progress.position_ns = self._next.at_ns
        self._next = next(self._actions)


def act(venue: Venue, action: Action) -> None:
    """One action of the market, carried out."""
    now = venue.now()
    if isinstance(action, Place):
        events = venue.core.submit(now, market_order(action))
    else:
        events = venue.core.cancel(now, MARKET, action.symbol, client_order_id=action.client_order_id)
    venue.commit(events, action.symbol)


def market_order(action: Place) -> NewOrder:
    """The market trades with itself: no self-trade prevention."""
    return NewOrder(
        account=MARKET,
        symbol=action.symbol,
        side=action.side,
        type=action.type,
        client_order_id=action.client_order_id,
        time_in_force=action.time_in_force,
        qty=action.qty,
        price=action.price,
        self_trade_prevention=SelfTradePrevention.NONE,
    )


async def _every(seconds: float, call: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        call()
