"""What OKX sends on its public channels. The venue's pages: okx.com/docs-v5/en/#order-book-trading-market-data and
#public-data-websocket. All numbers and times (milliseconds) are texts, "" where there is none.
"""

from decimal import Decimal

import msgspec


class Arg(msgspec.Struct, frozen=True, gc=False):
    """The channel a frame is of; liquidations are of a type of instruments: ``{"channel":"books","instId":"BTC-USDT"}``"""

    channel: str = ""
    instId: str = ""


class WireLevel(msgspec.Struct, array_like=True, gc=False):
    """``["30238.8","2","0","1"]``: price, size, always 0, orders."""

    price: str
    size: str


class BookData(msgspec.Struct, gc=False):
    asks: list[WireLevel]
    bids: list[WireLevel]
    ts: str
    checksum: int = 0
    seqId: int = 0
    prevSeqId: int = 0


class BookFrame(msgspec.Struct, gc=False):
    """The page "Order book channel": sizes are absolute, 0 removes. ``seqId`` names the book after it, ``prevSeqId`` the one before it
    (-1 in a snapshot); both the same in a heartbeat. Older ones have none. ``checksum`` is 0 where none is reckoned.

    ``{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["8476.98","415","0","13"]],
    "bids":[["8476.97","256","0","12"]],"ts":"1597026383085","checksum":-855196043,"prevSeqId":123456,"seqId":123457}]}``
    """

    arg: Arg
    data: list[BookData]
    action: str = "update"


class BestFrame(msgspec.Struct, gc=False):
    """The same page, ``bbo-tbt``: the best level of each side, whenever it changes.

    ``{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[{"asks":[["8446","95","0","3"]],"bids":[["8445","12","0","2"]],
    "ts":"1597026383085","seqId":3235851742}]}``
    """

    arg: Arg
    data: list[BookData]


class TradeData(msgspec.Struct, gc=False):
    instId: str
    tradeId: str
    px: Decimal
    sz: Decimal
    side: str
    ts: str


class TradeFrame(msgspec.Struct, gc=False):
    """The page "Trades channel": ``{"arg":{"channel":"trades","instId":"BTC-USD-220527"},"data":[{"instId":"BTC-USD-220527",
    "tradeId":"7849","px":"30218.8","sz":"1","side":"buy","ts":"1652459199958"}]}``; the first may be from before.
    """

    data: list[TradeData]


class TickerData(msgspec.Struct, gc=False):
    """Of ``tickers``, ``mark-price``, ``funding-rate`` and ``open-interest``; each has its own part."""

    instId: str
    ts: str = ""
    last: str = ""
    bidPx: str = ""
    bidSz: str = ""
    askPx: str = ""
    askSz: str = ""
    markPx: str = ""
    fundingRate: str = ""
    fundingTime: str = ""
    oi: str = ""


class TickerFrame(msgspec.Struct, gc=False):
    """The page "Tickers channel": ``{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instType":"SPOT","instId":"BTC-USDT",
    "last":"31500.1","lastSz":"0.00001754","askPx":"31500.1","askSz":"0.00998144","bidPx":"31500","bidSz":"3.05652439",…,
    "ts":"1626526618762"}]}``

    "Mark price channel": ``"data":[{"instType":"MARGIN","instId":"BTC-USDT","markPx":"42310.6","ts":"1630049139746"}]``

    "Funding rate channel": ``"data":[{"fundingRate":"0.0001875391284828","fundingTime":"1700726400000",
    "instId":"BTC-USD-SWAP",…,"ts":"1700724675402"}]``

    "Open interest channel": ``"data":[{"instType":"SWAP","instId":"LTC-USD-SWAP","oi":"5000","oiCcy":"555.55",
    "ts":"1630338003331"}]``
    """

    data: list[TickerData]


class LiquidationDetail(msgspec.Struct, gc=False):
    side: str
    sz: Decimal
    bkPx: Decimal
    ts: str


class LiquidationData(msgspec.Struct, gc=False):
    instId: str
    details: list[LiquidationDetail]


class LiquidationFrame(msgspec.Struct, gc=False):
    """The page "Liquidation orders channel": ``{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[
    {"bkLoss":"0","bkPx":"0.007831","ccy":"","posSide":"short","side":"buy","sz":"13","ts":"1692266434010"}],
    "instFamily":"IOST-USDT","instId":"IOST-USDT-SWAP","instType":"SWAP","uly":"IOST-USDT"}]}``; ``bkPx`` is the price of
    bankruptcy, which is all that is told.
    """

    data: list[LiquidationData]


class Envelope(msgspec.Struct, gc=False):
    """``{"event":"subscribe","arg":{…}}``, ``{"event":"error","code":"60012","msg":"Invalid request: …"}``"""

    arg: Arg = Arg()
    event: str = ""
    code: str = ""
    msg: str = ""
