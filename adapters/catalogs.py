"""Recorded answers about every instrument of a venue, taken apart: what each says of one, as if only that one had been asked
for. Pure; bytes stay as they came.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec

Rows = list[msgspec.Raw] | dict[str, msgspec.Raw]
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_rows = msgspec.json.Decoder(Rows)


class Catalog(NamedTuple):
    """``ending``: of the path of its URL. ``what``: the name of an answer about one (``rest_frame``). ``path`` leads to the rows,
    a list or an object; each names its instrument with ``key``, after ``market``, if any, of the URL. ``alone``: an
    answer about one is its row alone.
    """

    ending: str
    what: str
    key: str
    path: tuple[str, ...] = ()
    alone: bool = False
    market: Callable[[str], str] | None = None

    def parts(self, url: str, body: bytes) -> Mapping[str, bytes]:
        """By the venue's spelling; empty where it cannot be read."""
        reader: msgspec.json.Decoder[Any] = msgspec.json.Decoder(msgspec.defstruct("Row", [(self.key, str, "")]))
        market = self.market(url) if self.market is not None else ""
        found: dict[str, bytes] = {}
        try:
            heads, rows = self._opened(body)
            for name, row in rows.items() if isinstance(rows, dict) else enumerate(rows):
                if symbol := getattr(reader.decode(row), self.key):
                    one = {name: row} if isinstance(rows, dict) else [row]
                    found[f"{market}{symbol}"] = bytes(row) if self.alone else self._closed(heads, one)
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):
            return {}
        return found

    def _opened(self, body: bytes) -> tuple[list[dict[str, msgspec.Raw]], Rows]:
        heads: list[dict[str, msgspec.Raw]] = []
        raw = msgspec.Raw(body)
        for name in self.path:
            heads.append(_fields.decode(raw))
            raw = heads[-1][name]
        return heads, _rows.decode(raw)

    def _closed(self, heads: list[dict[str, msgspec.Raw]], one: Any) -> bytes:
        encoded = msgspec.json.encode(one)
        for name, head in zip(reversed(self.path), reversed(heads), strict=True):
            encoded = msgspec.json.encode({**head, name: msgspec.Raw(encoded)})
        return encoded


def catalog_of(catalogs: tuple[Catalog, ...], url: str, asked_for_one: tuple[str, ...]) -> Catalog | None:
    """By the URL's path, unless its query asks for one instrument."""
    parts = urlsplit(url)
    if any(name in parse_qs(parts.query) for name in asked_for_one):
        return None
    path = parts.path.rstrip("/")
    return next((catalog for catalog in catalogs if path.endswith(catalog.ending)), None)
