"""Binance's public REST requests through ccxt, with the bodies as the venue sent them.

One request at a time: ccxt keeps only its last answer.
"""

import asyncio
from typing import Any

from adapters.base import Endpoints, Rest, VenueBusy, VenueError, VenueRefused, VenueUnreachable, rest_frame
from adapters.binance import ccxt_alone as ccxt

API = "/api/v3"
DEPTH_LIMIT = 1000
TIMEOUT_MS = 10_000


def api_url(rest_url: str) -> str:
    """With the path of this version of the API, whether it was given or not."""
    return f"{rest_url.rstrip('/').removesuffix(API)}{API}"


class BinancePublicRest(Rest):
    """See ``adapters.base.Rest``."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._exchange = ccxt.binance({"enableRateLimit": False, "timeout": TIMEOUT_MS})
        self._exchange.options["maxRetriesOnFailure"] = 0
        if endpoints.sandbox:
            self._exchange.set_sandbox_mode(True)
        if endpoints.rest_url:
            self._exchange.urls["api"]["public"] = api_url(endpoints.rest_url)
        self._exchange.exceptions["exact"].update(self._exchange.exceptions["spot"]["exact"])
        self._lock = asyncio.Lock()

    async def depth(self, venue_symbol: str) -> bytes:
        body = await self._get(self._exchange.publicGetDepth, {"symbol": venue_symbol, "limit": DEPTH_LIMIT})
        return rest_frame("depth", venue_symbol, body)

    async def definition(self, venue_symbol: str) -> bytes:
        body = await self._get(self._exchange.publicGetExchangeInfo, {"symbol": venue_symbol})
        return rest_frame("exchangeInfo", venue_symbol, body)

    async def time_ms(self) -> int:
        try:
            return int((await self._exchange.publicGetTime())["serverTime"])
        except ccxt.BaseError as error:
            raise _translated(error, self._exchange.last_response_headers) from error

    async def close(self) -> None:
        await self._exchange.close()

    async def _get(self, request: Any, params: dict[str, Any]) -> bytes:
        async with self._lock:
            self._exchange.last_http_response = self._exchange.last_response_headers = None
            try:
                answer = await request(params)
            except ccxt.BaseError as error:
                raise _translated(error, self._exchange.last_response_headers) from error
            body = self._exchange.last_http_response
        if not isinstance(answer, dict) or not isinstance(body, str):
            raise VenueUnreachable(f"the answer for {params['symbol']} is no JSON object")
        return body.encode()


def _translated(error: Exception, headers: Any) -> VenueError:
    """ccxt's classes, by what to do next."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded):
        return VenueBusy(text, _retry_after(headers))
    if isinstance(error, ccxt.BadRequest | ccxt.AuthenticationError):
        return VenueRefused(text)
    return VenueUnreachable(text)


def _retry_after(headers: Any) -> float:
    value = {str(k).lower(): str(v) for k, v in (headers or {}).items()}.get("retry-after", "")
    return float(value) if value.isdigit() else 0.0
