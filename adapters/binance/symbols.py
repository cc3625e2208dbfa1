"""Binance spot's spelling of instruments: ``BTCUSDT`` is ``<venue>:BTC-USDT``. Its streams use small letters."""

import re
from functools import lru_cache

from topics.record import InstrumentId, Venue

_INSTRUMENT = re.compile(r"[^:]+:([A-Z0-9]+)-([A-Z0-9]+)\Z")

QUOTES = tuple(
    """
    USDT USDC FDUSD TUSD BUSD USDP USDS USD1 USDE XUSD BFUSD EURI RLUSD DAI PAX UST
    BTC ETH BNB SOL XRP TRX DOGE DOT
    USD EUR GBP JPY AUD TRY BRL RUB UAH NGN ZAR MXN ARS COP CZK PLN RON IDRT BIDR BKRW BVND VAI GYEN
    """.split()  # noqa: SIM905
)
"""Currencies the venue quotes in: a symbol alone does not say where its base ends, a definition does."""


@lru_cache(4096)
def venue_symbol(instrument: InstrumentId) -> str:
    """ValueError unless it is a spot instrument."""
    found = _INSTRUMENT.match(instrument)
    if found is None:
        raise ValueError(f"not a spot instrument of this venue: {instrument!r} (like binance:BTC-USDT)")
    return found[1] + found[2]


def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    """By the longest quote currency that the symbol ends with; ValueError when there is none."""
    fitting = [q for q in QUOTES if symbol.endswith(q) and len(symbol) > len(q)]
    if not fitting:
        raise ValueError(f"no known quote currency at the end of {symbol!r}")
    quote = max(fitting, key=len)
    return f"{venue}:{symbol.removesuffix(quote)}-{quote}"


@lru_cache(4096)
def _of_stream(name: bytes) -> tuple[str, ...]:
    return (name.decode("ascii", "replace").upper(),)


def symbols_in(frame: bytes, url: str = "") -> tuple[str, ...]:
    """The symbol a frame is about, without parsing it: from its stream's name, else the first ``"s"`` or
    ``"symbol"``; none where there is none.
    """
    if frame.startswith(b'{"stream":"'):
        end = frame.find(b"@", 11, 64)
        if end > 11 and frame[11:12] != b"!":
            return _of_stream(frame[11:end])
    for mark in (b'"s":"', b'"symbol":"'):
        start = frame.find(mark)
        if start >= 0:
            start += len(mark)
            end = frame.find(b'"', start, start + 40)
            if end > start:
                return (frame[start:end].decode("ascii", "replace"),)
    return ()
