"""Adapters by the name that a venue's configuration gives. Imported when asked for: ccxt is large."""

from importlib import import_module

from adapters.base import MarketData

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


def market_data(adapter: str) -> MarketData:
    """ValueError names the adapters there are."""
    if adapter not in _MARKET_DATA:
        raise ValueError(f"no adapter named {adapter!r}: one of {', '.join(adapters())}")
    found: MarketData = import_module(_MARKET_DATA[adapter]).MARKET_DATA
    return found
