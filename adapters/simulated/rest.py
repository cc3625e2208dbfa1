"""REST: one route per row of the table; an answer leaves when the ledger's lines about it are on disk."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from adapters.simulated import wire
from adapters.simulated.endpoints import ENDPOINTS, WALLET, Endpoint
from adapters.simulated.requests import ApiError, Params, authenticate
from adapters.simulated.venue import Venue

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SIGNATURE = re.compile(r"(?:^|&)signature=([^&]*)")
PREFIX = "/api/v3/"
WALLET_PREFIX = "/sapi/v1/"


def routes(venue: Venue) -> list[web.RouteDef]:
    offered = [(PREFIX, one) for one in ENDPOINTS] + [(WALLET_PREFIX, one) for one in WALLET]
    return [web.route(one.verb, prefix + one.path, _handler(venue, one)) for prefix, one in offered]


def _handler(venue: Venue, endpoint: Endpoint) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        account: str | None = None
        try:
            query, body = request.rel_url.raw_query_string, await request.text()
            venue.budget.spend(wire.ms(venue.now()), endpoint.weight)
            params = Params(dict(parse_qsl(query, keep_blank_values=True) + parse_qsl(body, keep_blank_values=True)))
            account = _authenticated(venue, request, (query, body), params) if endpoint.private else None
            answer = _answer(venue, endpoint, account, params)
            await venue.ledger.durable()
        except ApiError as error:
            if error.data is not None:
                await venue.ledger.durable()
            return error_response(error, headers(venue, account))
        return json_response(answer, headers(venue, account))

    return handle


def _answer(venue: Venue, endpoint: Endpoint, account: str | None, params: Params) -> Any:
    if endpoint.private is not None and account is not None:
        return endpoint.private(venue, account, params)
    assert endpoint.public is not None
    return endpoint.public(venue, params)


def _authenticated(venue: Venue, request: web.Request, sent: tuple[str, str], params: Params) -> str:
    """Signed is the query and the body as sent, without the signature."""
    signed = "".join(SIGNATURE.sub("", part).removeprefix("&") for part in sent).encode()
    api_key = request.headers.get("X-MBX-APIKEY")
    return authenticate(venue.keys, api_key, params, signed, params.text("signature"), wire.ms(venue.now()))


def headers(venue: Venue, account: str | None) -> dict[str, str]:
    found = {"X-MBX-USED-WEIGHT-1M": str(venue.budget.weight), "X-MBX-USED-WEIGHT": str(venue.budget.weight)}
    if account is not None:
        found["X-MBX-ORDER-COUNT-10S"] = str(venue.budget.orders(account))
    return found


def json_response(answer: Any, headers: dict[str, str], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(answer), status=status, headers=headers, content_type="application/json")


def error_response(error: ApiError, headers: dict[str, str]) -> web.Response:
    return json_response(error.body(), headers | error.headers, error.status)
