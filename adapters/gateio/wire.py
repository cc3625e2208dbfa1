"""Gate.io's spot frames as they come. Pages: www.gate.com/docs/developers/apiv4/ws/en. Numbers are strings of digits."""

from decimal import Decimal

import msgspec

from adapters.parsing import Millis, Number
from topics.record import Level


class BookUpdate(msgspec.Struct):
    """``spot.order_book_update``: sizes are absolute, 0 removes; U and u are the first and last number inside. ``full``:
    it is the whole book.

    ``{"t":1619093562998,"e":"depthUpdate","E":1619093562,"s":"DIS_USDT","U":1750488,"u":1750488,
    "b":[["121.5","0.148"],["73.5","0"]],"a":[]}``
    """

    t: Millis
    s: str
    U: Number
    u: Number
    b: tuple[Level, ...]
    a: tuple[Level, ...]
    full: bool = False


class TradeData(msgspec.Struct):
    """``spot.trades``; ``side`` is the taker's. The time is a text of milliseconds and their parts.

    ``{"id":816995772,"create_time":1619093543,"create_time_ms":"1619093543708.2642","side":"sell",
    "currency_pair":"DIS_USDT","amount":"0.2010000000","price":"121.5800000000"}``
    """

    id: Number
    create_time_ms: Decimal
    side: str
    currency_pair: str
    amount: Decimal
    price: Decimal


class BookTicker(msgspec.Struct):
    """``spot.book_ticker``; a side that is empty is "".

    ``{"t":1606293275123,"u":48733182,"s":"BTC_USDT","b":"19177.79","B":"0.0003341504","a":"19179.38","A":"0.09"}``
    """

    t: Millis
    u: Number
    s: str
    b: str
    B: str
    a: str
    A: str


class TickerData(msgspec.Struct):
    """``spot.tickers``

    ``{"currency_pair":"NEO_BTC","last":"0.0018716","lowest_ask":"0.0018734","highest_bid":"0.0018697",
    "change_percentage":"2.9256","base_volume":"1138.01640718","quote_volume":"2.048263365803126",
    "high_24h":"0.0018754","low_24h":"0.0017148"}``
    """

    currency_pair: str
    last: Decimal | None = None


class BookBody(msgspec.Struct):
    """``GET /api/v4/spot/order_book?currency_pair=…&with_id=true``; older ones tell no time (``update``).

    ``{"id":123456,"current":1623898993123,"update":1623898993121,"asks":[["1.52","1.151"]],"bids":[["1.17","201.863"]]}``
    """

    id: Number
    asks: tuple[Level, ...]
    bids: tuple[Level, ...]
    update: Millis = 0
