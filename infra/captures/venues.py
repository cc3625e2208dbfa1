"""Which venue a recording is from: by its header, by URLs, by names of connections, by shapes of frames, by its name."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from infra.captures import jsonl
from infra.captures.formats import Format, Recording, recordings
from infra.captures.item import CaptureError, Item, Kind
from infra.captures.shapes import venue_of_frame

VENUES = (
    "binance",
    "binance_usdm",
    "binance_coinm",
    "coinbase",
    "kraken",
    "kraken_futures",
    "bybit",
    "okx",
    "deribit",
    "kucoin",
    "gateio",
    "bitstamp",
    "bitmex",
    "hyperliquid",
)
OTHER_NAMES = {
    "binance_futures": "binance_usdm",
    "binance_delivery": "binance_coinm",
    "binance_us": "binance",
    "binance_tr": "binance",
    "okex": "okx",
    "gate": "gateio",
    "coinbase_pro": "coinbase",
    "cm": "binance_coinm",
    "usdm": "binance_usdm",
    "spot": "binance",
}
HOSTS = (  # the first that the host ends with, or begins with before binance's domain
    (r"(fapi|fstream)[\w-]*\.binance\.", "binance_usdm"),
    (r"(dapi|dstream)[\w-]*\.binance\.", "binance_coinm"),
    (r"(^|\.)binance\.", "binance"),
    (r"(^|\.)futures\.kraken\.com$", "kraken_futures"),
    (r"(^|[.-])kraken\.com$", "kraken"),
    (r"(^|\.)coinbase\.com$", "coinbase"),
    (r"(^|\.)(bybit|bytick)[\w-]*\.", "bybit"),
    (r"(^|\.)(okx|okex)\.", "okx"),
    (r"(^|\.)deribit\.com$", "deribit"),
    (r"(^|\.)kucoin\.com$", "kucoin"),
    (r"(^|\.)(gateio\.ws|gate\.io|gateio\.live|gate\.com)$", "gateio"),
    (r"(^|\.)bitstamp\.net$", "bitstamp"),
    (r"(^|\.)bitmex\.com$", "bitmex"),
    (r"(^|\.)hyperliquid(-testnet)?\.xyz$", "hyperliquid"),
)
LOOKED_AT = 1000  # items from the start of a recording


class _Header(msgspec.Struct):
    venue: str = ""
    exchange: str = ""


def venue_hint(paths: Sequence[Path]) -> str:
    """A venue's id, "" where nothing tells. ``CaptureError`` for what is no recording, and for one that plainly is of another
    venue than those before it: several are one stream.
    """
    known, by = "", Path()
    for recording in recordings(paths):
        told = _told(recording)
        if told and known and told != known:
            raise CaptureError(
                recording.paths[0], f"is of {told}, and {by} of {known}: several files are one stream, of one venue"
            )
        if told and not known:
            known, by = told, recording.paths[0]
    return known or _first(venue_of_name(part) for path in paths for part in (path.name, path.parent.name))


def _told(recording: Recording) -> str:
    """By what is in it."""
    found = list(_beginning(recording))
    return (
        _first(_of_header(item.data) for item in found if item.kind is Kind.HEADER)
        or _first(venue_of_url(item.about) for item in found)
        or _first(venue_of_name(item.connection) for item in found)
        or _most(venue_of_frame(item.data) for item in found if item.kind is Kind.FRAME)
    )


def venue_of_url(url: str) -> str:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return next((venue for pattern, venue in HOSTS if re.search(pattern, host)), "")


def venue_of_name(name: str) -> str:
    """``BINANCE_FUTURES.ws.1`` and ``kraken-20260809.jsonl.zst`` begin with a venue's name; ``ccxt:bitget`` is one."""
    if name.lower().startswith("ccxt:"):
        return name.lower()
    words = re.split(r"[._-]", name.lower())
    for length in (2, 1):
        word = "_".join(words[:length])
        if word in VENUES or word in OTHER_NAMES:
            return OTHER_NAMES.get(word, word)
    return ""


def _beginning(recording: Recording) -> Iterator[Item]:
    """The first items, in the order they stand; a break in the file ends them."""
    whole = recording.format in (Format.TAPEDECK, Format.CRYPTOFEED)
    items = jsonl.as_they_stand(recording.paths[0], True) if whole else recording.items(True)
    try:
        yield from (item for item in islice(items, LOOKED_AT) if item.kind is not Kind.BAD_LINE)
    except CaptureError:
        return


def _of_header(data: bytes) -> str:
    try:
        header = msgspec.json.decode(data, type=_Header)
    except ValueError:  # msgspec's errors, and of text that is no UTF-8
        return ""
    return venue_of_name(header.venue) or venue_of_name(header.exchange)


def _first(names: Iterable[str]) -> str:
    return next(filter(None, names), "")


def _most(names: Iterable[str]) -> str:
    return next(chain((name for name, _ in Counter(filter(None, names)).most_common(1)), ("",)))
