"""All faults of one running exchange: the profile in force, what carries it out, and the outages that come by the clock."""

from __future__ import annotations

import asyncio

from adapters.simulated.clock import Clock
from adapters.simulated.fault_answers import AnswerFaults
from adapters.simulated.fault_events import EventFaults
from adapters.simulated.faults import Profile
from adapters.simulated.hub import Connection, Hub
from adapters.simulated.injector import Injector

MS = 1_000_000
OUTAGES_EVERY_S = 1.0


class Misbehaviour:
    """Takes its places in the hub; `run` disconnects and stops for maintenance once a second."""

    def __init__(self, injector: Injector, hub: Hub, clock: Clock) -> None:
        self.injector = injector
        self.answers = AnswerFaults(injector)
        self._hub = hub
        self._clock = clock
        self._own_offset_ns = clock.offset_ns
        hub.send_event = EventFaults(injector).send
        hub.is_missing = self._is_missing

    async def set(self, profile: Profile) -> None:
        self.injector.set(profile)
        self._clock.offset_ns = self._own_offset_ns + profile.time_offset_ms * MS
        await self.outages()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(OUTAGES_EVERY_S)
            await self.outages()

    async def outages(self) -> None:
        """What may break now: each connection, then everything."""
        for connection in self._hub.connections():
            if self._breaks(connection):
                connection.cut()
        if self.injector.maintained_ns() > 0:
            return
        length = self.injector.draw("maintenance")
        if length is not None:
            self.injector.maintain(length)
            await asyncio.gather(*(one.close() for one in self._hub.connections()))

    def _breaks(self, connection: Connection) -> bool:
        accounts = self._hub.accounts_of(connection)
        if accounts:
            return self.injector.draw("user_disconnected", accounts=accounts) is not None
        streams = list(connection.streams)
        return bool(streams) and self.injector.draw("market_disconnected", streams=streams) is not None

    def _is_missing(self, stream: str) -> bool:
        symbol, _, kind = stream.partition("@")
        return kind.startswith("depth") and self.injector.draw("depth_missing", symbol=symbol.upper()) is not None
