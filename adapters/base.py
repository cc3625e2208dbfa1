"""What a venue adapter offers. The market-data side is pure, but for ``Rest``; an adapter never imports the layers
beside or above it.

Errors of a venue's REST side::

    VenueError
    ├── VenueUnreachable   nothing or nonsense came back: try again
    ├── VenueBusy          the venue asks for fewer requests: try again later
    └── VenueRefused       the request itself is wrong (an unknown symbol): trying again does not help by itself
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from topics.market import BookDelta, BookSnapshot, Instrument, InstrumentStatus, Quote, Trade
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
    """Where a venue is; an empty URL means the adapter's own (the real venue)."""

    rest_url: str = ""
    ws_url: str = ""
    sandbox: bool = False


class Session(NamedTuple):
    """A connection began: what came before it on another one may have holes, and sequences may have started anew."""

    id: str


class Reading(NamedTuple):
    """How one frame of one instrument is to be read. ``ts_venue`` is the newest time the venue has told for it, and
    stands in where a frame tells none (0: not yet, then ``ts_init`` does).
    """

    venue: Venue
    instrument: InstrumentId
    ts_init: int
    ts_venue: int


Parsed = BookSnapshot | BookDelta | Trade | Quote | Instrument | InstrumentStatus | Session


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

    async def time_ms(self) -> int:
        """The venue's clock. Raises VenueError."""

    async def close(self) -> None: ...


class MarketData(Protocol):
    """The market-data side of an adapter."""

    @property
    def parse(self) -> Parser: ...

    def venue_symbol(self, instrument: InstrumentId) -> str:
        """The venue's spelling. ValueError when the venue cannot have such an instrument."""

    def instrument_of(self, venue: Venue, venue_symbol: str) -> InstrumentId:
        """The instrument that a venue's spelling names. ValueError when it names none that is known."""

    def symbol_in(self, frame: bytes) -> str:
        """The venue symbol a frame is about, found by a cheap scan that never parses; empty when it names none."""

    def stream_url(self, endpoints: Endpoints) -> str: ...

    def subscribe(self, venue_symbols: Iterable[str]) -> Sequence[str]:
        """Messages to send once the connection is open."""

    def rest(self, endpoints: Endpoints) -> Rest:
        """A client for the public requests; opened inside a running event loop."""


def session_frame(session: str, venue_symbol: str) -> bytes:
    """What ingest writes to every instrument's raw stream when a connection begins."""
    return msgspec.json.encode({"session": session, "symbol": venue_symbol})


def rest_frame(what: str, venue_symbol: str, body: bytes) -> bytes:
    """A REST answer as it stands in ``market.raw``: the body verbatim, with the symbol that it does not name. It need
    not be JSON: its reader will say so.
    """
    return b'{"rest":"%b","symbol":"%b","data":%b}' % (what.encode(), venue_symbol.encode(), body)
