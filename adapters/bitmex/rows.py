"""Rows of BitMEX's tables. Page: www.bitmex.com/app/wsAPI. Numbers are JSON numbers, times ISO 8601."""

from decimal import Decimal
from typing import Literal

import msgspec


class BookRow(msgspec.Struct):
    """``orderBookL2``; newer ones tell price and time always.

    ``{"table":"orderBookL2","action":"update","data":[{"symbol":"SOLUSDT","id":54899972558,"side":"Buy","size":3}]}``
    """

    symbol: str
    id: int
    side: Literal["Buy", "Sell"]
    size: Decimal | None = None
    price: Decimal | None = None
    timestamp: str = ""


class TradeRow(msgspec.Struct):
    """``trade``; ``side`` is the taker's.

    ``{"timestamp":"2021-07-22T22:36:32.194Z","symbol":"XBTUSD","side":"Buy","size":100,"price":32184,
    "tickDirection":"PlusTick","trdMatchID":"0ddc259b-355e-9a79-002b-aed7e089f69a","grossValue":310713,
    "homeNotional":0.00310713,"foreignNotional":100}``
    """

    timestamp: str
    symbol: str
    side: str
    size: Decimal
    price: Decimal
    trdMatchID: str


class QuoteRow(msgspec.Struct):
    """``quote``; a side that is empty is null.

    ``{"timestamp":"2021-07-22T22:36:11.237Z","symbol":"BCHUSD","bidSize":440,"bidPrice":438.55,"askPrice":438.6,
    "askSize":856}``
    """

    timestamp: str
    symbol: str
    bidSize: Decimal | None = None
    bidPrice: Decimal | None = None
    askPrice: Decimal | None = None
    askSize: Decimal | None = None


class InstrumentRow(msgspec.Struct):
    """``instrument``: after the first only what changed.

    ``{"table":"instrument","action":"update","data":[{"symbol":"XBTUSD","fundingRate":0.0001,"fundingTimestamp":
    "2021-07-23T04:00:00.000Z","openInterest":574264600,"markPrice":32182.1,"indicativeSettlePrice":32178.9,
    "lastPrice":32175,"timestamp":"2021-07-22T22:36:10.000Z"}]}``
    """

    symbol: str
    timestamp: str = ""
    lastPrice: Decimal | None = None
    markPrice: Decimal | None = None
    indicativeSettlePrice: Decimal | None = None
    openInterest: Decimal | None = None
    fundingRate: Decimal | None = None
    fundingTimestamp: str | None = None


class LiquidationRow(msgspec.Struct):
    """``liquidation``: orders that are put in, of no time.

    ``{"table":"liquidation","action":"insert","data":[{"orderID":"513fc9ac-9c0d-5ba8-…","symbol":"XBTUSD","side":"Buy",
    "price":31992.5,"leavesQty":1000}]}``
    """

    symbol: str
    side: str = ""
    price: Decimal | None = None
    leavesQty: Decimal | None = None
