"""Public REST requests of Binance's futures."""

from adapters.binance.market import CATALOG
from adapters.public_rest import PublicApi, Request

DEPTH_LIMIT = 1000


def api(prefix: str) -> PublicApi:
    """``prefix``: ccxt's, ``fapi`` or ``dapi``."""

    def depth(venue_symbol: str) -> Request:
        return Request("depth", f"{prefix}PublicGetDepth", {"symbol": venue_symbol, "limit": DEPTH_LIMIT})

    def definition(venue_symbol: str) -> Request:
        return Request("exchangeInfo", f"{prefix}PublicGetExchangeInfo", {})

    def open_interest(venue_symbol: str) -> Request:
        return Request("openInterest", f"{prefix}PublicGetOpenInterest", {"symbol": venue_symbol})

    return PublicApi(
        ccxt_id="binance",
        definition=definition,
        depth=depth,
        open_interest=open_interest,
        clock=Request("time", f"{prefix}PublicGetTime", {}),
        clock_ms=lambda answer: int(answer["serverTime"]),
        catalog=CATALOG,
    )
