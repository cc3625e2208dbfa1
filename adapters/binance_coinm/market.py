"""Where Binance's COIN-M futures are:
developers.binance.com/docs/derivatives/coin-margined-futures/websocket-market-streams
"""

from adapters.binance.futures_market import FuturesMarketData, Site, Tier
from adapters.binance.futures_symbols import COINM

STREAMS = ("depth@100ms", "bookTicker", "aggTrade", "markPrice@1s", "forceOrder")

MARKET_DATA = FuturesMarketData(
    Site(
        spelling=COINM,
        tiers=(Tier("wss://dstream.binance.com/stream", STREAMS),),
        sandbox_url="wss://dstream.binancefuture.com/stream",
        api="dapi",
    )
)
