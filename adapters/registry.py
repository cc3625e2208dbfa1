"""Adapters by the name that a venue's configuration gives. Imported when asked for: ccxt is large."""

from importlib import import_module

from adapters.base import MarketData
from adapters.generic.market import PREFIX, has
from adapters.generic.market import market_data as generic

_MARKET_DATA = {
    "binance": "adapters.binance.market",
    "binance_usdm": "adapters.binance_usdm.market",
    "binance_coinm": "adapters.binance_coinm.market",
    "bitmex": "adapters.bitmex.market",
    "bitstamp": "adapters.bitstamp.market",
    "bybit": "adapters.bybit.market",
    "coinbase": "adapters.coinbase.market",
    "deribit": "adapters.deribit.market",
    "gateio": "adapters.gateio.market",
    "hyperliquid": "adapters.hyperliquid.market",
    "kraken": "adapters.kraken.market",
    "kraken_futures": "adapters.kraken_futures.market",
    "kucoin": "adapters.kucoin.market",
    "okx": "adapters.okx.market",
}


def adapters() -> tuple[str, ...]:
    return tuple(sorted(_MARKET_DATA))


def adapter_of(venue: str) -> str:
    """The adapter of a venue by its own name: ours, else the generic one (``ccxt:bitget``); ValueError where there is none."""
    if venue in _MARKET_DATA:
        return venue
    ccxt_id = venue.removeprefix(PREFIX)
    if not has(ccxt_id):
        raise _no_adapter(venue)
    return f"{PREFIX}{ccxt_id}"


def _no_adapter(name: str) -> ValueError:
    return ValueError(
        f"no adapter named {name!r}: one of {', '.join(adapters())}, or ccxt:<id> for any other venue of ccxt.pro"
    )


def market_data(adapter: str) -> MarketData:
    """ValueError names the adapters there are."""
    if adapter.startswith(PREFIX) and has(adapter.removeprefix(PREFIX)):
        return generic(adapter.removeprefix(PREFIX))
    if adapter not in _MARKET_DATA:
        raise _no_adapter(adapter)
    found: MarketData = import_module(_MARKET_DATA[adapter]).MARKET_DATA
    return found
