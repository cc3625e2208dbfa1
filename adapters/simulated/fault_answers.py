"""Faults of answers: REST's as a middleware before every route, the WebSocket API's around each request.

What is refused (429, 5xx) before the request is carried out never reaches the venue; what is lost, late or turned
into a 5xx afterwards was carried out and is in the ledger. Both kinds of 5xx look the same from outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from adapters.simulated.injector import Injector

Json = dict[str, Any]
PREFIX = "/api/v3/"
AFTERWARDS = ("error_after", "answer_lost", "answer_delayed", "answer_repeated")
ABOUT = {"orderId": "order_id", "clientOrderId": "client_order_id", "symbol": "symbol"}


class Failure(msgspec.Struct, frozen=True):
    """An answer that is not the venue's own."""

    status: int
    code: int
    message: str
    retry_after_s: int | None = None

    @property
    def body(self) -> Json:
        return {"code": self.code, "msg": self.message}


# Each leaves open whether the request was carried out: https://developers.binance.com/docs/binance-spot-api-docs/errors
ERRORS = (
    Failure(500, -1000, "An unknown error occurred while processing the request."),
    Failure(502, -1006, "An unexpected response was received from the message bus. Execution status unknown."),
    Failure(503, -1001, "Internal error; unable to process your request. Please try again."),
    Failure(
        504, -1007, "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
    ),
)
MAINTENANCE = Failure(503, -1016, "This service is no longer available.")


class AnswerFaults:
    """`before` and `after` a request; `account` and ids in the lines come from what is known then."""

    def __init__(self, injector: Injector) -> None:
        self.injector = injector

    def before(self, request: str) -> Failure | None:
        if self.injector.maintained_ns() > 0:
            return MAINTENANCE
        if self.injector.draw("rate_limited", request) is not None:
            return Failure(429, -1003, "Too many requests queued.", self.injector.profile.rate_limited.retry_after_s)
        if self.injector.draw("error_before", request) is not None:
            return self._error("error_before")
        return None

    def may_follow(self) -> bool:
        """Whether anything can befall an answer."""
        return any(self.injector.is_active(name) for name in AFTERWARDS)

    def error_after(self, request: str, about: Json) -> Failure | None:
        return None if self.injector.draw("error_after", request, **about) is None else self._error("error_after")

    def is_lost(self, request: str, about: Json) -> bool:
        return self.injector.draw("answer_lost", request, **about) is not None

    def delay_s(self, request: str, about: Json) -> float | None:
        delay = self.injector.draw("answer_delayed", request, **about)
        return None if delay is None else delay / 1e9

    def is_repeated(self, request: str, about: Json) -> bool:
        return self.injector.draw("answer_repeated", request, **about) is not None

    def _error(self, name: str) -> Failure:
        return ERRORS[self.injector.pick(name, len(ERRORS))]


def middleware(faults: AnswerFaults) -> Middleware:
    """For REST; sockets are refused during a maintenance, the operator's endpoints never."""

    @web.middleware
    async def inject(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path.startswith("/control/"):
            return await handler(request)
        if not request.path.startswith(PREFIX):
            return _response(MAINTENANCE) if faults.injector.maintained_ns() > 0 else await handler(request)
        name = f"{request.method} {request.path.removeprefix(PREFIX)}"
        failure = faults.before(name)
        if failure is not None:
            return _response(failure)
        return await _deliver(faults, name, request, await handler(request))

    return inject


async def _deliver(
    faults: AnswerFaults, name: str, request: web.Request, answer: web.StreamResponse
) -> web.StreamResponse:
    if not faults.may_follow():
        return answer
    about = _about(answer)
    failure = faults.error_after(name, about)
    if failure is not None:
        return _response(failure)
    delay = faults.delay_s(name, about)
    if delay is not None:
        await asyncio.sleep(delay)
    if faults.is_lost(name, about) and request.transport is not None:
        request.transport.close()
    return answer


def _response(failure: Failure) -> web.Response:
    headers = {} if failure.retry_after_s is None else {"Retry-After": str(failure.retry_after_s)}
    body = orjson.dumps(failure.body)
    return web.Response(body=body, status=failure.status, headers=headers, content_type="application/json")


def _about(answer: web.StreamResponse) -> Json:
    """What the answer would have told."""
    body = answer.body if isinstance(answer, web.Response) else None
    told = orjson.loads(body) if isinstance(body, bytes) else None
    return {"status": answer.status, **about_result(told)}


def about_result(told: Any) -> Json:
    if not isinstance(told, dict):
        return {}
    told = told.get("newOrderResponse") or told.get("amendedOrder") or told
    return {ours: told[theirs] for theirs, ours in ABOUT.items() if theirs in told}
