"""Deribit's public requests."""

from adapters.public_rest import PublicApi, Request


def _definition(venue_symbol: str) -> Request:
    return Request("definition", "publicGetGetInstrument", {"instrument_name": venue_symbol})


API = PublicApi(
    ccxt_id="deribit",
    definition=_definition,
    clock=Request("time", "publicGetGetTime", {}),
    clock_ms=lambda answer: int(answer["result"]),
)
