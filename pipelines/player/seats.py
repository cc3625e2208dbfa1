"""Who listens: a seat is a subscriber's websocket. What a subscription is about is told by the spellings in it, whatever the
venue's words around them.
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from aiohttp import web

from adapters.base import Endpoints, MarketData, own_symbol
from topics.record import InstrumentId

_WORD = re.compile(r"[\w.@:/|-]+")


class Seat:
    """``number``: the last frame's, where the venue counts those of a connection. ``due``: whose books are to be sent anew."""

    def __init__(self, socket: web.WebSocketResponse, path: str) -> None:
        self.socket = socket
        self.path = path
        self.instruments: set[InstrumentId] = set()
        self.due: set[InstrumentId] = set()
        self.number: int | None = None


class Spelling:
    """Finds the instruments in a subscriber's message. Where a spelling is one of several markets', the connection's path tells
    which, or the words beside it.
    """

    def __init__(self, adapter: MarketData, symbols: Mapping[InstrumentId, str]) -> None:
        self._named: dict[str, list[InstrumentId]] = {}
        self._paths: dict[InstrumentId, set[str]] = {}
        self._words: dict[InstrumentId, set[str]] = {}
        for instrument, symbol in symbols.items():
            self._named.setdefault(own_symbol(symbol).lower(), []).append(instrument)
            connections = adapter.connections(Endpoints(ws_url="ws://player"), [symbol])
            self._paths[instrument] = {urlsplit(c.url).path or "/" for c in connections}
            self._words[instrument] = {w for c in connections for m in c.subscribe for w in _WORD.findall(m)}
        spelled = "|".join(re.escape(name) for name in sorted(self._named, key=len, reverse=True))
        self._token = re.compile(rf"(?<![a-z0-9/-])(?:{spelled})(?![\w/-])")

    def instruments_in(self, message: str, path: str) -> list[InstrumentId]:
        found: list[InstrumentId] = []
        for token in dict.fromkeys(self._token.findall(message.lower())):
            candidates = self._named[token]
            found += candidates if len(candidates) == 1 else self._chosen(candidates, message, path)
        return found

    def _chosen(self, candidates: list[InstrumentId], message: str, path: str) -> Iterable[InstrumentId]:
        by_path = [i for i in candidates if path in self._paths[i]]
        words = set(_WORD.findall(message))
        most = max((len(words & self._words[i]) for i in by_path), default=0)
        return [i for i in by_path if len(words & self._words[i]) == most]
