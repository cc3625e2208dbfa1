"""Operator's endpoints, no part of the venue's API: status, start gate, deposits, faults."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from adapters.simulated.endpoints import REQUESTS
from adapters.simulated.faults import FaultError, decode_profile
from adapters.simulated.model import Refused
from adapters.simulated.players import Player
from adapters.simulated.rest import json_response
from adapters.simulated.units import units
from adapters.simulated.venue import Venue


class Deposit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A negative amount is a withdrawal."""

    account: str
    asset: str
    amount: str


class Control:
    """`start` opens the gate."""

    def __init__(self, venue: Venue, player: Player, gate: Any) -> None:
        self._venue = venue
        self._player = player
        self._gate = gate

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/control/status", self.status),
            web.post("/control/start", self.start),
            web.post("/control/deposit", self.deposit),
            web.get("/control/faults", self.faults),
            web.post("/control/faults", self.set_faults),
        ]

    async def status(self, request: web.Request) -> web.Response:
        venue = self._venue
        return json_response(
            {
                "now_ns": venue.now(),
                "symbols": list(venue.core.instruments),
                "flow": msgspec.to_builtins(self._player.progress),
                "counts": {
                    **venue.counts,
                    "frames": venue.hub.frames,
                    "connections": len(venue.hub.connections()),
                    "trades": {symbol: one.count for symbol, one in venue.statistics.items()},
                },
                "faults": venue.misbehaviour.injector.status(),
            },
            {},
        )

    async def start(self, request: web.Request) -> web.Response:
        self._gate.set()
        return await self.status(request)

    async def faults(self, request: web.Request) -> web.Response:
        return json_response(self._venue.misbehaviour.injector.status(), {})

    async def set_faults(self, request: web.Request) -> web.Response:
        """Body: a whole `Profile`; what it does not name does not happen. `{}` ends all faults."""
        try:
            profile = decode_profile(await request.read(), REQUESTS)
        except FaultError as error:
            return json_response({"msg": str(error)}, {}, 400)
        await self._venue.misbehaviour.set(profile)
        self._venue.snapshots.remember()
        return await self.faults(request)

    async def deposit(self, request: web.Request) -> web.Response:
        """Body: a `Deposit`."""
        try:
            wish = msgspec.json.decode(await request.read(), type=Deposit)
            amount = units(wish.amount)
        except ValueError as error:
            return json_response({"msg": str(error)}, {}, 400)
        if wish.account not in self._venue.core.accounts():
            return json_response({"msg": f"no account {wish.account}"}, {}, 400)
        events = self._venue.core.deposit(self._venue.now(), wish.account, wish.asset, amount)
        if isinstance(events[0], Refused):
            return json_response({"code": events[0].code, "msg": events[0].message}, {}, 400)
        self._venue.commit(events)
        await self._venue.ledger.durable()
        return json_response({}, {})
