"""KuCoin's spot frames as they come. Pages: www.kucoin.com/docs. Numbers are strings of digits."""

from decimal import Decimal

import msgspec

from adapters.parsing import Millis, Number
from topics.record import Level

Rows = tuple[tuple[str, str, str], ...]


class Changes(msgspec.Struct):
    asks: Rows
    bids: Rows


class Level2(msgspec.Struct):
    """Price, size (0 removes) and the change's own number; a price of 0 says that nothing changed but the number. Older
    ones tell no time.

    ``{"data":{"sequenceStart":1613277183875,"symbol":"BCHSV-USDT","changes":{"asks":[["244.351","150",
    "1613277183875"]],"bids":[]},"sequenceEnd":1613277183875},"subject":"trade.l2update",
    "topic":"/market/level2:BCHSV-USDT","type":"message"}``
    """

    sequenceStart: Number
    sequenceEnd: Number
    symbol: str
    changes: Changes
    time: Millis = 0


class Match(msgspec.Struct):
    """``side`` is the taker's.

    ``{"symbol":"DAPPT-BTC","sequence":"1612701563869","side":"buy","size":"81.8814","price":"0.0000001117",
    "takerOrderId":"6085c097587c2000060cde57","time":"1619378327739050725","type":"match",
    "makerOrderId":"6085c06144b3790006512a4d","tradeId":"6085c09769bc506996295e36"}``
    """

    symbol: str
    side: str
    size: Decimal
    price: Decimal
    time: str
    tradeId: str


class TickerData(msgspec.Struct):
    """The best bid and ask, and the last trade; of one symbol by its topic. A side that is empty is null or 0.

    ``{"sequence":"1612844051653","bestAsk":"0.00028717","size":"0.01745248","bestBidSize":"3.70422021",
    "price":"0.00028676","time":1619378326323,"bestAskSize":"14.04274325","bestBid":"0.00028678"}``
    """

    sequence: str
    price: Decimal | None = None
    bestBid: Decimal | None = None
    bestBidSize: Decimal | None = None
    bestAsk: Decimal | None = None
    bestAskSize: Decimal | None = None
    time: Millis = 0


class Indicator(msgspec.Struct):
    """``{"symbol":"USDT-BTC","granularity":5000,"timestamp":1551770400000,"value":0.0001092}``"""

    symbol: str
    timestamp: Millis
    value: Decimal


class FullBook(msgspec.Struct):
    """``GET /api/v3/market/orderbook/level2``, and in part ``/api/v1/market/orderbook/level2_100``.

    ``{"code":"200000","data":{"time":1619378326628,"sequence":"1613277183892","bids":[["242.649","5"]],
    "asks":[["242.951","4.51280965"]]}}``
    """

    time: Millis
    sequence: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
