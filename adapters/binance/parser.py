"""Binance's public frames, to records. Pure. Accepted are combined frames ``{"stream":…,"data":…}``, raw ones, and our own
wrappings. What its markets share is here, with spot's kinds of frames; a ``Dialect`` names what a market has
(``adapters.binance.futures`` for the others).

The venue's pages: "Web Socket Streams for Binance"
(developers.binance.com/docs/binance-spot-api-docs/web-socket-streams) and "Market Data endpoints" and "General
endpoints" of its REST API. Numbers come as strings of digits and stay exact. Times are milliseconds.

Passed over (None): kinds that nobody asked for (kline, …), answers to subscriptions, quotes with an empty
side. A frame that breaks the venue's own rules (a trade of nothing, a crossed quote, another instrument's symbol) is a
BadFrame. Whether levels are numbers is the book's to say.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache, partial
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from adapters.base import BadFrame, Parsed, Parser, Reading, read_own
from adapters.binance.definition import ExchangeInfo, definitions
from adapters.binance.symbols import venue_symbol
from adapters.parsing import LEAST, MOST, named
from topics import native
from topics.market import BookDelta, BookSnapshot, Quote, Trade
from topics.record import InstrumentId, Level, Side

Millis = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]  # past the year 2200, and as nanoseconds still 64 bits
Sequence_ = Annotated[int, Meta(ge=0, le=2**62)]
Levels = tuple[Level, ...]


class DepthUpdate(msgspec.Struct, tag_field="e", tag="depthUpdate", gc=False):
    """The page's "Diff. Depth Stream", ``<symbol>@depth@100ms``: sizes are absolute, 0 removes.

    U and u are the first and last update id inside.

    ``{"e":"depthUpdate","E":1723161255308,"s":"BTCUSDT","U":50093239203,"u":50093239207,
    "b":[["55653.87000000","0.00000000"]],"a":[["61838.04000000","0.32332000"],["61844.30000000","0.40163000"]]}``
    """

    E: Millis
    s: str
    U: Sequence_
    u: Sequence_
    b: Levels
    a: Levels


class TradeFrame(msgspec.Struct, tag_field="e", tag="trade", gc=False):
    """The page's "Trade Streams", ``<symbol>@trade``: m says that the buyer was the maker; T is the trade's time.

    ``{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000",
    "T":1723161255342,"m":true,"M":true}``
    """

    s: str
    t: Sequence_
    p: Decimal
    q: Decimal
    T: Millis
    m: bool


class AggregateTrade(msgspec.Struct, tag_field="e", tag="aggTrade", gc=False):
    """The page's "Aggregate Trade Streams", ``<symbol>@aggTrade``: fills of one taker order at one price, f to l.

    ``{"e":"aggTrade","E":1634046522115,"s":"NKNUSDT","a":28404302,"p":"0.35290000","q":"318.00000000","f":43372345,
    "l":43372345,"T":1634046522114,"m":true,"M":true}``
    """

    a: Sequence_
    s: str
    p: Decimal
    q: Decimal
    T: Millis
    m: bool

    @property
    def t(self) -> int:
        return self.a


class BookTicker(msgspec.Struct, gc=False):
    """The page's "Individual Symbol Book Ticker Streams", ``<symbol>@bookTicker``: no time and no kind of its own.

    ``{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}``
    """

    u: Sequence_
    s: str
    b: Decimal
    B: Decimal
    a: Decimal
    A: Decimal


class DepthBody(msgspec.Struct):
    """The page's "Order book", ``GET /api/v3/depth``: names no symbol and no time.

    ``{"lastUpdateId":50093239218,"bids":[["61837.63000000","3.78826000"]],"asks":[["61837.64000000","1.54698000"]]}``
    """

    lastUpdateId: Sequence_
    bids: Levels
    asks: Levels


Data = TypeVar("Data")


class _Combined(msgspec.Struct, Generic[Data]):
    data: Data


class _Envelope(msgspec.Struct):
    """Whatever a frame may say about its own kind, where no stream name does."""

    e: str = ""
    s: str = ""
    B: str = ""
    stream: str = ""
    error: msgspec.Raw = msgspec.Raw(b"")


_envelope = msgspec.json.Decoder(_Envelope)


class Kind(NamedTuple):
    """A kind of frame: how it is decoded, alone and in a combined frame, and what its data say of an instrument, given the
    venue's spelling of it. ``usual`` reads the fields of ``type`` from a combined frame as the venue always writes it.
    """

    alone: Callable[[bytes], Any]
    combined: Callable[[bytes], _Combined[Any]]
    read: Callable[[Any, Reading, str], Sequence[Parsed] | None]
    type: Callable[..., Any]
    usual: native.Read


def kind(
    type_: type[Data],
    read: Callable[[Data, Reading, str], Sequence[Parsed] | None],
    data: bytes = b"",
    stream: bytes = b"",
) -> Kind:
    """``data`` and ``stream`` are patterns: of the fields of ``type_`` in their order, and of the stream's name."""
    wrapped: Any = _Combined[type_]  # type: ignore[valid-type]
    usual = native.template(b'{"stream":"%b","data":%b}' % (stream, data))
    return Kind(msgspec.json.Decoder(type_).decode, msgspec.json.Decoder(wrapped).decode, read, type_, usual)


class Dialect(NamedTuple):
    """A market's kinds of frames: by the name of a stream, by the name of an event, and answers of REST. ``often``: whose
    frames are tried first.
    """

    venue_symbol: Callable[[InstrumentId], str]
    streams: Mapping[str, Kind]
    events: Mapping[str, Kind]
    answers: Mapping[str, Kind]
    often: Sequence[Kind]


def parser(dialect: Dialect) -> Parser:
    often = [(kind.usual, kind.type, kind.read) for kind in dialect.often]
    wanted = lru_cache(4096)(partial(_wanted, dialect))

    def parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
        """See ``adapters.base.Parser``."""
        try:
            for usual, type_, read in often:
                if (fields := usual(frame)) is not None:
                    return read(type_(*fields), reading, wanted(reading.instrument))
            if frame.startswith(b'{"stream":"'):
                return _stream(dialect, frame[11 : frame.find(b'"', 11, 100)], frame, reading)
            return _other(dialect, frame, reading)
        except (msgspec.MsgspecError, UnicodeDecodeError, InvalidOperation, RecursionError) as error:
            raise BadFrame(f"not a frame of this venue: {error}") from error

    return parse


@lru_cache(4096)
def _kind_of(stream: bytes) -> str:
    """``btcusdt@depth@100ms`` is ``depth``; ``!bookTicker`` and ``!forceOrder@arr`` are of all symbols, one a frame."""
    if stream.partition(b"@")[0] in (b"!bookTicker", b"!forceOrder"):
        return stream[1:].partition(b"@")[0].decode()
    return stream.partition(b"@")[2].partition(b"@")[0].decode("ascii", "replace")


def _stream(dialect: Dialect, stream: bytes, frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    found = dialect.streams.get(_kind_of(stream))
    if found is None:
        return None
    return found.read(found.combined(frame).data, reading, _wanted(dialect, reading.instrument))


def _wanted(dialect: Dialect, instrument: InstrumentId) -> str:
    """No symbol is that of a line about no instrument."""
    return "" if instrument.endswith(":") else dialect.venue_symbol(instrument)


def _other(dialect: Dialect, frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    own = read_own(frame)
    if own is not None:
        wanted = _wanted(dialect, reading.instrument)
        named(own.symbol, wanted, reading)
        if own.event is not None:
            return (own.event,)
        answer = dialect.answers.get(own.what)
        return None if answer is None else answer.read(answer.alone(own.body), reading, wanted)
    head = _envelope.decode(frame)
    if head.stream:
        return _stream(dialect, head.stream.encode(), frame, reading)
    if bytes(head.error):
        raise BadFrame(f"the venue says: {bytes(head.error).decode(errors='replace')}")
    found = dialect.events.get("bookTicker" if head.B and not head.e else head.e)
    if found is None:
        return None
    return found.read(found.alone(frame), reading, _wanted(dialect, reading.instrument))


def _defined(info: ExchangeInfo, reading: Reading, wanted: str) -> Sequence[Parsed]:
    return definitions(info, reading)


def _delta(d: DepthUpdate, reading: Reading, wanted: str) -> Sequence[Parsed]:
    if d.s != wanted:
        named(d.s, wanted, reading)
    if d.u < d.U:
        raise BadFrame(f"update ids run backwards: {d.U} to {d.u}")
    return (
        BookDelta(
            instrument=reading.instrument,
            bids=d.b,
            asks=d.a,
            first_sequence=d.U,
            sequence=d.u,
            ts_event=d.E * 1_000_000,
            ts_init=reading.ts_init,
        ),
    )


def _snapshot(d: DepthBody, reading: Reading, wanted: str) -> Sequence[Parsed]:
    return (
        BookSnapshot(
            instrument=reading.instrument,
            bids=d.bids,
            asks=d.asks,
            sequence=d.lastUpdateId,
            ts_event=reading.ts_venue or reading.ts_init,
            ts_init=reading.ts_init,
        ),
    )


def single(d: TradeFrame, reading: Reading, wanted: str) -> Sequence[Parsed] | None:
    return traded(d, "trade", reading, wanted)


def aggregated(d: AggregateTrade, reading: Reading, wanted: str) -> Sequence[Parsed] | None:
    return traded(d, "aggTrade", reading, wanted)


def traded(d: TradeFrame | AggregateTrade, kind: str, reading: Reading, wanted: str) -> Sequence[Parsed] | None:
    """Of a stream that has both kinds, the kind that came first: else each trade would count twice."""
    if reading.memory.setdefault("trades", kind) != kind:
        return None
    named(d.s, wanted, reading)
    if not (LEAST <= d.p < MOST and LEAST <= d.q < MOST):
        raise BadFrame(f"trade {d.t}: no price or no quantity: {d.p} x {d.q}")
    return (
        Trade(
            instrument=reading.instrument,
            trade_id=str(d.t),
            price=d.p,
            size=d.q,
            aggressor=Side.SELL if d.m else Side.BUY,
            ts_event=d.T * 1_000_000,
            ts_init=reading.ts_init,
        ),
    )


def _quote(d: BookTicker, reading: Reading, wanted: str) -> Sequence[Parsed] | None:
    return quoted(d, reading.ts_venue or reading.ts_init, reading, wanted)


def quoted(d: BookTicker, ts_event: int, reading: Reading, wanted: str) -> Sequence[Parsed] | None:
    if d.s != wanted:
        named(d.s, wanted, reading)
    if not d.b or not d.a:
        return None  # how the venue writes an empty side: there is no best price to tell
    if not (LEAST <= d.b < d.a < MOST and LEAST <= d.B < MOST and LEAST <= d.A < MOST):
        raise BadFrame(f"not a quote: {d.B} at {d.b} / {d.A} at {d.a}")
    return (
        Quote(
            instrument=reading.instrument,
            best_bid=d.b,
            bid_size=d.B,
            best_ask=d.a,
            ask_size=d.A,
            sequence=d.u,
            ts_event=ts_event,
            ts_init=reading.ts_init,
        ),
    )


LEVELS = b'%[["%p","%q"]%]'
BEST = b'"u":%d,"s":"%s","b":"%D","B":"%D","a":"%D","A":"%D"'
AGGREGATE = kind(
    AggregateTrade,
    aggregated,
    b'{"e":"aggTrade","E":%#,"a":%d,"s":"%s","p":"%D","q":"%D","f":%#,"l":%#,"T":%m,"m":%b}',
    b"%*@aggTrade",
)
_KINDS = {
    "trade": kind(
        TradeFrame,
        single,
        b'{"e":"trade","E":%#,"s":"%s","t":%d,"p":"%D","q":"%D","T":%m,"m":%b,"M":true}',
        b"%*@trade",
    ),
    "aggTrade": AGGREGATE,
    "bookTicker": kind(BookTicker, _quote, b"{" + BEST + b"}", b"%*@bookTicker"),
}
_DEPTH = kind(
    DepthUpdate,
    _delta,
    b'{"e":"depthUpdate","E":%m,"s":"%s","U":%d,"u":%d,"b":' + LEVELS + b',"a":' + LEVELS + b"}",
    b"%*@depth@%*",
)
SPOT = Dialect(
    venue_symbol=venue_symbol,
    streams=_KINDS | {"depth": _DEPTH},
    events=_KINDS | {"depthUpdate": _DEPTH},
    answers={"depth": kind(DepthBody, _snapshot), "exchangeInfo": kind(ExchangeInfo, _defined)},
    often=(_DEPTH, _KINDS["bookTicker"], _KINDS["trade"], AGGREGATE),
)
parse = parser(SPOT)
