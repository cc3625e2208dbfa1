"""KuCoin's public requests. Without a key the venue tells the best 100 levels of a side: what lies deeper is known once it
changes.
"""

import secrets

from adapters.base import Rest, VenueUnreachable, own_symbol
from adapters.kucoin.symbols import FUTURES
from adapters.public_rest import PublicApi, PublicRest, Request


def _depth(venue_symbol: str) -> Request:
    if venue_symbol.startswith(FUTURES):
        return Request("depth", "futuresPublicGetLevel2Snapshot", {"symbol": own_symbol(venue_symbol)})
    return Request("depth", "publicGetMarketOrderbookLevel2100", {"symbol": venue_symbol})


def _definition(venue_symbol: str) -> Request:
    if venue_symbol.startswith(FUTURES):
        return Request("contract", "futuresPublicGetContractsSymbol", {"symbol": own_symbol(venue_symbol)})
    return Request("definition", "public symbols/{symbol}", {"symbol": venue_symbol, "version": "v2"})


API = PublicApi(
    ccxt_id="kucoin",
    depth=_depth,
    definition=_definition,
    clock=Request("time", "publicGetTimestamp", {}),
    clock_ms=lambda answer: int(answer["data"]),
)


async def address(rest: Rest, is_futures: bool) -> str:
    """A server with a token, which the venue gives out for one connection: ``{"code":"200000","data":{"token":"2neAiu…",
    "instanceServers":[{"endpoint":"wss://ws-api-spot.kucoin.com/","pingInterval":18000,"pingTimeout":10000,…}]}}``
    """
    if not isinstance(rest, PublicRest):
        raise TypeError("only a client of this venue can be asked")
    method = "futuresPublicPostBulletPublic" if is_futures else "publicPostBulletPublic"
    answer = await rest.ask(Request("bullet", method, {}))
    try:
        told = answer["data"]
        return f"{told['instanceServers'][0]['endpoint']}?token={told['token']}&connectId={secrets.token_hex(8)}"
    except (LookupError, TypeError) as error:
        raise VenueUnreachable("the answer has no token") from error
