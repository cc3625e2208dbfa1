"""The sockets: market streams, and the WebSocket API with its user data.

https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
https://developers.binance.com/docs/binance-spot-api-docs/websocket-api/general-api-information
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from adapters.simulated import wire
from adapters.simulated.endpoints import ENDPOINTS, Endpoint
from adapters.simulated.fault_answers import about_result
from adapters.simulated.hub import Connection
from adapters.simulated.requests import ApiError, Params, authenticate
from adapters.simulated.venue import Venue

Json = dict[str, Any]
Receive = Callable[[Connection, Any], Awaitable[None]]
PING_EVERY_S = 20.0
BY_METHOD = {one.ws_method: one for one in ENDPOINTS}
MAX_STREAMS = 1024


def routes(venue: Venue) -> list[web.RouteDef]:
    streams = MarketStreams(venue)
    api = WebSocketApi(venue)
    return [
        web.get("/stream", streams.combined),
        web.get("/stream/ws", streams.raw),
        web.get("/stream/ws/{streams:.*}", streams.raw),
        web.get("/ws", streams.raw),
        web.get("/ws/{streams:.*}", streams.raw),
        web.get("/ws-api/v3", api.handle),
    ]


async def serve(venue: Venue, request: web.Request, prepare: Callable[[Connection], None], receive: Receive) -> Any:
    """One socket from opening to close; what is not JSON is answered as the venue does."""
    socket = web.WebSocketResponse(heartbeat=PING_EVERY_S, compress=False, max_msg_size=1 << 20)
    await socket.prepare(request)
    connection = Connection(socket, request)
    venue.hub.add(connection)
    prepare(connection)
    pump = asyncio.create_task(connection.pump())
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await _received(connection, message.data, receive)
    finally:
        venue.hub.drop(connection)
        pump.cancel()
        with suppress(asyncio.CancelledError):
            await pump
    return socket


async def _received(connection: Connection, data: str, receive: Receive) -> None:
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        connection.answer({"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}})
        return
    await receive(connection, message)


class MarketStreams:
    """`/ws/<a>/<b>` and `/stream?streams=<a>/<b>`, and SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS on either."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    async def raw(self, request: web.Request) -> Any:
        """A name without `@` is a connection's number, which ccxt appends."""
        names = [name for name in request.match_info.get("streams", "").split("/") if "@" in name]
        return await serve(self._venue, request, lambda one: self._begin(one, names, combined=False), self._receive)

    async def combined(self, request: web.Request) -> Any:
        names = [name for name in request.query.get("streams", "").split("/") if name]
        return await serve(self._venue, request, lambda one: self._begin(one, names, combined=True), self._receive)

    def _begin(self, connection: Connection, names: list[str], *, combined: bool) -> None:
        connection.combined = combined
        self._venue.hub.subscribe(connection, names)

    async def _receive(self, connection: Connection, message: Any) -> None:
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            connection.answer({"error": {"code": 2, "msg": "Invalid request: missing field `method`"}})
            return
        connection.answer(self._answer(connection, message))

    def _answer(self, connection: Connection, message: Json) -> Json:
        number, names = message.get("id"), message.get("params") or []
        if not isinstance(names, list) or any(not isinstance(name, str) or "@" not in name for name in names):
            return {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": number}
        match message["method"]:
            case "SUBSCRIBE" if len(connection.streams) + len(names) <= MAX_STREAMS:
                self._venue.hub.subscribe(connection, names)
            case "UNSUBSCRIBE":
                self._venue.hub.unsubscribe(connection, names)
            case "LIST_SUBSCRIPTIONS":
                return {"result": list(connection.streams), "id": number}
            case other:
                return {"error": {"code": 2, "msg": f"Invalid request: unknown variant {other}"}, "id": number}
        return {"result": None, "id": number}


class WebSocketApi:
    """Requests `{id, method, params}`; user data comes on the same socket as `{subscriptionId, event}`."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._faults = venue.misbehaviour.answers

    async def handle(self, request: web.Request) -> Any:
        return await serve(self._venue, request, lambda one: None, self._receive)

    async def _receive(self, connection: Connection, message: Any) -> None:
        number = message.get("id") if isinstance(message, dict) else None
        name = _request_name(message)
        failure = None if name is None else self._faults.before(name)
        if failure is not None:
            connection.offer(self._failed(number, failure.status, failure.body))
            return
        try:
            result = self._result(connection, message)
        except ApiError as error:
            answer, about = self._failed(number, error.status, error.body()), {"status": error.status}
            if error.data is None:
                self._deliver(connection, number, name, answer, about)
                return
        else:
            answer, about = self._done(number, result), {"status": 200, **about_result(result)}
        self._venue.ledger.when_durable(lambda: self._deliver(connection, number, name, answer, about))

    def _deliver(self, connection: Connection, number: Any, name: str | None, answer: bytes, about: Json) -> None:
        """The answer leaves, or what a fault makes of it."""
        if name is None or not self._faults.may_follow():
            connection.offer(answer)
            return
        failure, delay = self._faults.error_after(name, about), self._faults.delay_s(name, about)
        if failure is not None:
            answer = self._failed(number, failure.status, failure.body)
        if self._faults.is_lost(name, about):
            leave = connection.cut
        else:
            leave = partial(_offer, connection, answer, 2 if self._faults.is_repeated(name, about) else 1)
        if delay is None:
            leave()
        else:
            asyncio.get_running_loop().call_later(delay, leave)

    def _done(self, number: Any, result: Any) -> bytes:
        return orjson.dumps({"id": number, "status": 200, "result": result, "rateLimits": self._limits()})

    def _failed(self, number: Any, status: int, error: Json) -> bytes:
        return orjson.dumps({"id": number, "status": status, "error": error, "rateLimits": self._limits()})

    def _result(self, connection: Connection, message: Any) -> Any:
        if not isinstance(message, dict) or not isinstance(message.get("params") or {}, dict):
            raise ApiError(-1135, "Invalid JSON.")
        method = message.get("method")
        params = Params({name: _text(value) for name, value in (message.get("params") or {}).items()})
        if method == "userDataStream.subscribe.signature":
            self._venue.budget.spend(wire.ms(self._venue.now()), 2)
            return {"subscriptionId": self._venue.hub.listen(connection, self._account(params))}
        if method == "userDataStream.unsubscribe":
            self._venue.hub.stop_listening(connection, params.integer("subscriptionId"))
            return {}
        endpoint = BY_METHOD.get(str(method))
        if endpoint is None:
            raise ApiError(-1000, f"Invalid method: {method}")
        return self._call(endpoint, params)

    def _call(self, endpoint: Endpoint, params: Params) -> Any:
        self._venue.budget.spend(wire.ms(self._venue.now()), endpoint.weight)
        if endpoint.private is not None:
            return endpoint.private(self._venue, self._account(params), params)
        assert endpoint.public is not None
        return endpoint.public(self._venue, params)

    def _account(self, params: Params) -> str:
        """Signed are the parameters in the order of their names."""
        now = wire.ms(self._venue.now())
        signed = params.joined(without="signature").encode()
        return authenticate(self._venue.keys, params.text("apiKey"), params, signed, params.text("signature"), now)

    def _limits(self) -> list[Json]:
        budget = self._venue.budget
        return [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": budget.weight_limit,
                "count": budget.weight,
            }
        ]


def _request_name(message: Any) -> str | None:
    """As faults name requests: the REST request that does the same."""
    endpoint = BY_METHOD.get(str(message.get("method"))) if isinstance(message, dict) else None
    return None if endpoint is None else endpoint.request


def _offer(connection: Connection, answer: bytes, times: int) -> None:
    for _ in range(times):
        connection.offer(answer)


def _text(value: Any) -> str:
    """Parameters arrive as JSON; the signature was made over their text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else orjson.dumps(value).decode()
