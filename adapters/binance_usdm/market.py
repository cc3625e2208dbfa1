"""Where Binance's USD-M futures are. Books and their best prices come from another address than the rest:
developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams
"""

from adapters.binance.futures_market import FuturesMarketData, Site, Tier
from adapters.binance.futures_symbols import USDM

MARKET_DATA = FuturesMarketData(
    Site(
        spelling=USDM,
        tiers=(
            Tier("wss://fstream.binance.com/public/stream", ("depth@100ms", "bookTicker")),
            Tier("wss://fstream.binance.com/market/stream", ("aggTrade", "markPrice@1s", "forceOrder")),
        ),
        sandbox_url="wss://stream.binancefuture.com/stream",
        api="fapi",
    )
)
