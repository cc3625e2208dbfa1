"""Any venue's public REST requests through ccxt, with the bodies as the venue sent them: a venue says which requests
(``PublicApi``), the rest is the same for all.

One request at a time: ccxt keeps only its last answer.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from adapters.base import Endpoints, Rest, VenueBusy, VenueError, VenueRefused, VenueUnreachable, rest_frame
from adapters.catalogs import Catalog
from adapters.ccxt_alone import exchange

TIMEOUT_MS = 10_000
FRESH_S = 30.0
"""How long a venue's list of all its instruments serves for each of them."""


class Request(NamedTuple):
    """``method`` is ccxt's name (``publicGetPublicInstruments``), or its API and a path to GET where it has none (``public
    symbols/{symbol}``); ``what`` is the answer's in our frame (``rest_frame``).
    """

    what: str
    method: str
    params: Mapping[str, Any]


class PublicApi(NamedTuple):
    """``definition``, ``depth`` and ``open_interest`` make the request for a venue symbol (ValueError where there can be none);
    no ``depth``: books begin in the stream, no ``open_interest``: it is told there. ``clock`` is asked for the time, ``clock_ms``
    reads its answer. ``found``: the class and the module of its errors, where ccxt has no such exchange. ``catalog``: the
    answer to ``definition`` is a list of all instruments, and what each says of one is told.
    """

    ccxt_id: str
    definition: Callable[[str], Request]
    clock: Request
    clock_ms: Callable[[Any], int]
    depth: Callable[[str], Request] | None = None
    open_interest: Callable[[str], Request] | None = None
    options: Mapping[str, Any] = {}
    found: Callable[[], tuple[Any, Any]] | None = None
    catalog: Catalog | None = None


class PublicRest(Rest):
    """See ``adapters.base.Rest``. A REST URL of one's own takes the place of the venue's scheme and host."""

    def __init__(self, api: PublicApi, endpoints: Endpoints) -> None:
        found, self._errors = exchange(api.ccxt_id) if api.found is None else api.found()
        self._api = api
        self._exchange = found({"enableRateLimit": False, "timeout": TIMEOUT_MS, **api.options})
        self._exchange.options["maxRetriesOnFailure"] = 0
        if endpoints.sandbox:
            if not self._exchange.urls.get("test"):
                raise ValueError(f"{api.ccxt_id} has no sandbox")
            self._exchange.set_sandbox_mode(True)
        if endpoints.rest_url:
            self._exchange.urls["api"] = _elsewhere(self._exchange.urls["api"], endpoints.rest_url.rstrip("/"))
        self._lock = asyncio.Lock()
        self._listed: Mapping[str, bytes] = {}
        self._listed_at = 0.0

    async def depth(self, venue_symbol: str) -> bytes:
        if self._api.depth is None:
            raise VenueRefused("books of this venue begin in its stream")
        return await self._framed(self._api.depth, venue_symbol)

    async def definition(self, venue_symbol: str) -> bytes:
        catalog, name = self._api.catalog, venue_symbol.lower()
        if catalog is None:
            return await self._framed(self._api.definition, venue_symbol)
        if name not in self._listed or time.monotonic() - self._listed_at > FRESH_S:
            _, body = await self._get(self._api.definition(venue_symbol))
            self._listed = {symbol.lower(): part for symbol, part in catalog.parts("", body).items()}
            self._listed_at = time.monotonic()
        if name not in self._listed:
            raise VenueRefused(f"{venue_symbol} is not in the venue's list")
        return rest_frame(catalog.what, venue_symbol, self._listed[name])

    async def open_interest(self, venue_symbol: str) -> bytes:
        if self._api.open_interest is None:
            return await super().open_interest(venue_symbol)
        return await self._framed(self._api.open_interest, venue_symbol)

    async def time_ms(self) -> int:
        answer, _ = await self._get(self._api.clock)
        try:
            return self._api.clock_ms(answer)
        except (LookupError, TypeError, ValueError) as error:
            raise VenueUnreachable(f"the answer has no time: {' '.join(str(answer).split())[:100]}") from error

    async def ask(self, request: Request) -> Any:
        """The answer to another request of the venue's, as ccxt reads it. Raises VenueError."""
        answer, _ = await self._get(request)
        return answer

    async def close(self) -> None:
        await self._exchange.close()

    async def _framed(self, asking: Callable[[str], Request], venue_symbol: str) -> bytes:
        try:
            request = asking(venue_symbol)
        except ValueError as error:
            raise VenueRefused(str(error)) from error
        _, body = await self._get(request)
        return rest_frame(request.what, venue_symbol, body)

    async def _get(self, request: Request) -> tuple[Any, bytes]:
        """The answer as ccxt reads it, and its body."""
        async with self._lock:
            self._exchange.last_http_response = self._exchange.last_response_headers = None
            try:
                answer = await self._call(request)
            except self._errors.BaseError as error:
                raise self._translated(error, self._exchange.last_response_headers) from error
            body = self._exchange.last_http_response
        if not isinstance(answer, dict | list) or not isinstance(body, str):
            raise VenueUnreachable(f"the answer to {request.what} is no JSON")
        return answer, body.encode()

    async def _call(self, request: Request) -> Any:
        api, _, path = request.method.partition(" ")
        if path:
            return await self._exchange.request(path, [api], "GET", dict(request.params))
        return await getattr(self._exchange, request.method)(dict(request.params))

    def _translated(self, error: Exception, headers: Any) -> VenueError:
        """ccxt's classes, by what to do next."""
        text = " ".join(str(error).split())[:300]
        if isinstance(error, self._errors.DDoSProtection | self._errors.RateLimitExceeded):
            return VenueBusy(text, _retry_after(headers))
        if isinstance(error, self._errors.ExchangeError):
            return VenueRefused(text)
        return VenueUnreachable(text)


def _elsewhere(urls: Any, host: str) -> Any:
    """Every URL with another scheme and host; paths stay."""
    if isinstance(urls, dict):
        return {name: _elsewhere(url, host) for name, url in urls.items()}
    return f"{host}{urlsplit(urls).path}" if isinstance(urls, str) else urls


def _retry_after(headers: Any) -> float:
    value = {str(k).lower(): str(v) for k, v in (headers or {}).items()}.get("retry-after", "")
    return float(value) if value.isdigit() else 0.0
