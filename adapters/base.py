"""What a venue adapter offers. The market-data side is pure, but for ``Rest``; an adapter never imports the layers
beside or above it.

Errors of a venue's REST side::

    VenueError
    ├── VenueUnreachable   nothing or nonsense came back: try again
    ├── VenueBusy          the venue asks for fewer requests: try again later
    └── VenueRefused       the request itself is wrong (an unknown symbol): trying again does not help by itself
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from adapters.catalogs import Catalog
from topics.book import Book
from topics.market import (
    BookDelta,
    BookOrderAdded,
    BookOrderChanged,
    BookOrderRemoved,
    BookOrders,
    BookOrdersLost,
    BookSnapshot,
    Funding,
    Instrument,
    InstrumentStatus,
    Liquidation,
    OpenInterest,
    Quote,
    Ticker,
    Trade,
)
from topics.record import InstrumentId, Venue


class VenueError(Exception):
    """One line that says what the venue did."""


class VenueUnreachable(VenueError):
    pass


class VenueBusy(VenueError):
    """``retry_after_s`` is the venue's own word, 0 when it gave none."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class VenueRefused(VenueError):
    pass


class BadFrame(ValueError):
    """A frame that is not what the venue documents; the message says why."""


class Endpoints(NamedTuple):
    """Where a venue is; an empty URL means the adapter's own (the real venue). ``options`` are ccxt's, for the generic adapter. ``orders``: books
    order by order too (``MarketData.has_orders``).
    """

    rest_url: str = ""
    ws_url: str = ""
    sandbox: bool = False
    options: Mapping[str, Any] = {}
    orders: bool = False


class Session(NamedTuple):
    """A connection began: what came before it on another one may have holes, and sequences may have started anew.

    ``beside`` names one that still delivers: then nothing is lost yet, and what comes twice counts once.
    """

    id: str
    beside: str = ""


class Gone(NamedTuple):
    """A connection ended, and ``beside`` still delivers."""

    id: str
    beside: str


class Hole(NamedTuple):
    """Frames of a connection are missing, by its own numbers: whatever they were about is not known."""

    expected: int
    got: int


class Checked(msgspec.Struct, frozen=True, gc=False):
    """A change of the book with what the venue says the book's checksum is after it."""

    change: BookDelta | BookSnapshot
    checksum: int


class Reading(msgspec.Struct, frozen=True, gc=False):
    """How one frame of one instrument is to be read. ``ts_venue`` is the newest time the venue has told for it, and
    stands in where a frame tells none (0: not yet, then ``ts_init`` does). ``memory`` is the parser's own, a part of the
    instrument's state: for venues whose frames cannot be read without what an earlier one said.
    """

    venue: Venue
    instrument: InstrumentId
    ts_init: int
    ts_venue: int
    memory: dict[str, str] = {}


Parsed = (
    BookSnapshot
    | BookDelta
    | Checked
    | BookOrders
    | BookOrderAdded
    | BookOrderChanged
    | BookOrderRemoved
    | BookOrdersLost
    | Trade
    | Quote
    | Ticker
    | Funding
    | OpenInterest
    | Liquidation
    | Instrument
    | InstrumentStatus
    | Session
    | Gone
    | Hole
)


class Snapshots(Enum):
    """Where a book begins."""

    REST = auto()
    """Asked for by a request, and joined to the deltas by sequence numbers; a live book needs none."""
    STREAM = auto()
    """Sent by the venue on its own in the stream of deltas: each begins the book anew."""


class BookRules(NamedTuple):
    """How a venue's books are kept and proved.

    Sequence numbers are the records' own: where a delta says where it begins it must join the one before, where it
    does not it must be newer. ``checksum`` is what the venue computes over a book (``Checked``). ``chained``: a lost
    frame shows at the next one. ``beside`` finds in a frame that cannot be read that it is of another kind than a book: it is a
    gap else. ``compared``: a live book is compared with answers of REST from time to time, since
    nothing else shows that a delta is missing. ``settles``: one event of the venue may come in several frames of one time, and
    between them a book may be crossed.
    """

    snapshots: Snapshots
    chained: bool = True
    checksum: Callable[[Book], int] | None = None
    beside: Callable[[bytes], object] | None = None
    compared: bool = False
    settles: bool = False


class Parser(Protocol):
    """Pure: the same frame gives the same records, in the venue's own digits."""

    def __call__(self, frame: bytes, reading: Reading, /) -> Sequence[Parsed] | None:
        """What a frame says; None when it is of a kind that is passed over. BadFrame when it cannot be read."""


class Rest(Protocol):
    """Public requests of one venue, one at a time."""

    async def depth(self, venue_symbol: str) -> bytes:
        """A book snapshot, wrapped as a frame: ``{"rest":"depth","symbol":…,"data":<body as received>}``. Raises
        VenueError.
        """

    async def definition(self, venue_symbol: str) -> bytes:
        """One instrument's definition, wrapped as a frame: ``{"rest":"exchangeInfo",…}``. Raises VenueError."""

    async def open_interest(self, venue_symbol: str) -> bytes:
        """One contract's open interest, wrapped as a frame; only of venues that do not stream it. Raises VenueError."""
        raise VenueRefused("open interest of this venue is not asked for")

    async def time_ms(self) -> int:
        """The venue's clock. Raises VenueError."""

    async def close(self) -> None: ...


class Sampler(Protocol):
    """Who watches a venue for us, where we do not read its frames ourselves: what it tells is a sampled view."""

    @property
    def kinds(self) -> Sequence[str]:
        """What can be watched; ``book`` among them."""

    async def next(self, kind: str, venue_symbol: str) -> bytes:
        """What comes next of one kind, as a frame. Raises VenueError."""

    async def close(self) -> None: ...


class Connection(NamedTuple):
    """One websocket: ``subscribe`` are messages to send once it is open; ``ping``, when given, one to send every
    ``ping_s`` seconds; ``most_s`` is how long the venue lets it live (0: no limit). ``has_books``: when it begins anew, the
    books of its symbols do.
    """

    url: str
    symbols: tuple[str, ...]
    subscribe: tuple[str, ...]
    ping: str = ""
    ping_s: float = 0.0
    most_s: float = 0.0
    has_books: bool = True


_Item = TypeVar("_Item")


def in_parts(items: Sequence[_Item], most: int) -> list[tuple[_Item, ...]]:
    """As few as the limit of a message or a connection allows, in order."""
    return [tuple(items[i : i + most]) for i in range(0, len(items), most)]


MARKET_MARK = "|"


def own_symbol(venue_symbol: str) -> str:
    """The venue's own spelling. Where one venue spells instruments of several of its markets alike, we put the market
    before it: ``spot|BTCUSDT``.
    """
    return venue_symbol.rpartition(MARKET_MARK)[2]


class Answer(NamedTuple):
    """What a recorded REST answer is about: the names that ``rest_frame`` wraps it in."""

    what: str
    venue_symbol: str


class MarketData(Protocol):
    """The market-data side of an adapter; what most venues share has its default here.

    ``catalogs``: which recorded answers are about every instrument. ``has_orders``: whether books can be had order by order (L3).
    ``asks_open_interest``: whether it is asked for, since no stream tells it.
    """

    rules: BookRules
    catalogs: tuple[Catalog, ...] = ()
    has_orders: bool = False
    asks_open_interest: bool = False

    @property
    def parse(self) -> Parser: ...

    def venue_symbol(self, instrument: InstrumentId, /) -> str:
        """The venue's spelling. ValueError when the venue cannot have such an instrument."""

    def instrument_of(self, venue: Venue, venue_symbol: str, /) -> InstrumentId:
        """The instrument that a venue's spelling names. ValueError when it names none that is known."""

    def symbols_in(self, frame: bytes, url: str = "") -> Sequence[str]:
        """The venue symbols a frame is about, found by a cheap scan; empty when it names none. Never an exception.

        ``url`` is its connection's, for venues whose frames do not say which of their markets they are of.
        """

    def sequence_in(self, frame: bytes) -> int | None:
        """The frame's number among all of its connection, where the venue counts them: each is one more than the last."""
        return None

    def answer(self, url: str, body: bytes) -> Answer | None:
        """What a recorded answer of the venue's REST side is; None for what no parser reads. ``url`` may be empty.

        An empty symbol: it does not say, and is about the only instrument of its recording.
        """
        return None

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        """What to connect to and subscribe for these symbols, within the venue's limits."""

    async def address(self, rest: Rest, connection: Connection) -> str:
        """Where to connect; asked for where the venue gives each connection an address of its own. Raises VenueError."""
        return connection.url

    def resubscribe(self, venue_symbol: str) -> Sequence[str]:
        """Messages that make the venue send a book anew (Snapshots.STREAM)."""
        return ()

    def sampler(self, endpoints: Endpoints) -> Sampler | None:
        """Takes the place of connections; opened inside a running event loop. ValueError where it cannot be had."""
        return None

    def rest(self, endpoints: Endpoints) -> Rest:
        """A client for the public requests; opened inside a running event loop."""


class _Own(msgspec.Struct, omit_defaults=True):
    """Our own frames in ``market.raw``."""

    session: str = ""
    gone: str = ""
    beside: str = ""
    expected: int = -1
    got: int = -1
    symbol: str = ""
    rest: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


_own = msgspec.json.Decoder(_Own)
EDGES = (b'{"session":', b'{"gone":', b'{"expected":')
"""How the frames begin that the edge wrote itself."""
ANSWER = b'{"rest":'
"""How an answer of REST begins."""
OURS = (*EDGES, ANSWER)


def session_frame(session: str, venue_symbol: str, beside: str = "") -> bytes:
    """What ingest writes to every instrument's raw stream when a connection begins."""
    return msgspec.json.encode(_Own(session=session, beside=beside, symbol=venue_symbol))


def gone_frame(session: str, venue_symbol: str, beside: str) -> bytes:
    """What ingest writes to every instrument's raw stream when a connection ended and ``beside`` still delivers."""
    return msgspec.json.encode(_Own(gone=session, beside=beside, symbol=venue_symbol))


def hole_frame(expected: int, got: int, venue_symbol: str) -> bytes:
    """What ingest writes to every instrument's raw stream when a connection's own numbers do not follow each other."""
    return msgspec.json.encode(_Own(expected=expected, got=got, symbol=venue_symbol))


def rest_frame(what: str, venue_symbol: str, body: bytes) -> bytes:
    """A REST answer as it stands in ``market.raw``: the body verbatim, with the symbol that it does not name. It need
    not be JSON: its reader will say so.
    """
    return b'{"rest":"%b","symbol":"%b","data":%b}' % (what.encode(), venue_symbol.encode(), body)


ANSWERED = "tapedeck:"


def answer_url(what: str, venue_symbol: str) -> str:
    """How our own captures name a REST answer, whose URL is the client's own affair."""
    return f"{ANSWERED}{what}/{venue_symbol}"


def answered(url: str) -> Answer | None:
    """The reverse of ``answer_url``; None for a venue's URL."""
    if not url.startswith(ANSWERED):
        return None
    what, _, symbol = url.removeprefix(ANSWERED).partition("/")
    return Answer(what, symbol)


_json = msgspec.json.Decoder(msgspec.Raw)


def is_damaged(frame: bytes) -> bool:
    """Neither JSON nor a word (``pong``): what it was about cannot be told."""
    try:
        _json.decode(frame)
    except msgspec.MsgspecError:
        return not frame.isalpha()
    return False


class Own(NamedTuple):
    """One of our own frames, read: ``event`` for what the edge saw, else the REST answer ``what`` with its ``body``."""

    symbol: str
    event: Session | Gone | Hole | None
    what: str
    body: bytes


def read_own(frame: bytes) -> Own | None:
    """None when the frame is the venue's. msgspec.MsgspecError when it begins as ours and is not."""
    if not frame.startswith(OURS):
        return None
    own = _own.decode(frame)
    if own.session:
        return Own(own.symbol, Session(own.session, own.beside), "", b"")
    if own.gone:
        return Own(own.symbol, Gone(own.gone, own.beside), "", b"")
    if own.rest:
        return Own(own.symbol, None, own.rest, bytes(own.data))
    return Own(own.symbol, Hole(own.expected, own.got), "", b"")
