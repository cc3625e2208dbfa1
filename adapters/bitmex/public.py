"""BitMEX's public requests: ccxt has its base for them, and no longer the exchange."""

from functools import cache
from typing import Any
from urllib.parse import urlencode

from adapters.ccxt_alone import exchange
from adapters.public_rest import PublicApi, Request


@cache
def _bitmex() -> tuple[Any, Any]:
    neighbour, errors = exchange("bitstamp")
    base: Any = next(c for c in neighbour.__mro__ if c.__name__ == "Exchange" and "async_support" in c.__module__)

    class Bitmex(base):  # type: ignore[misc]
        def describe(self) -> Any:
            urls = {"api": {"public": "https://www.bitmex.com"}, "test": {"public": "https://testnet.bitmex.com"}}
            return self.deep_extend(super().describe(), {"id": "bitmex", "name": "BitMEX", "urls": urls})

        def sign(self, path: str, api: Any, method: str, params: Any, *_: Any) -> dict[str, Any]:
            query = f"?{urlencode(params)}" if params else ""
            url = f"{self.urls['api']['public']}/api/v1{path}{query}"
            return {"url": url, "method": method, "body": None, "headers": None}

    return Bitmex, errors


def _definition(venue_symbol: str) -> Request:
    return Request("definition", "public /instrument", {"symbol": venue_symbol})


API = PublicApi(
    ccxt_id="bitmex",
    definition=_definition,
    clock=Request("time", "public /", {}),
    clock_ms=lambda answer: int(answer["timestamp"]),
    found=_bitmex,
)
