"""The recorded market data as frames: what a venue sent, when it was received, and REST answers wrapped as ingest wraps them."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa

from adapters.base import rest_frame

REPOSITORY = Path(__file__).parent.parent


def data_folder() -> Path:
    """Where the recordings are; it may be absent."""
    return Path(os.environ.get("TAPEDECK_DATA") or REPOSITORY.parent / "shared" / "data")


class Frame(NamedTuple):
    ts: int
    symbol: str
    data: bytes


def hftbacktest(path: Path) -> Iterator[Frame]:
    """Lines of ``<receive ns> <frame>``; the file is named after its symbol."""
    symbol = path.name.partition("_")[0].upper()
    with gzip.open(path) as lines:
        for line in lines:
            ts, _, frame = line.strip().partition(b" ")
            if frame.startswith(b'{"lastUpdateId"'):
                frame = rest_frame("depth", symbol, frame)
            if frame:
                yield Frame(int(ts), symbol, frame)


def cryptofeed_lines(path: Path) -> list[dict[str, Any]]:
    raw = pa.input_stream(str(path), compression="zstd").read()
    return [json.loads(line) for line in raw.splitlines()]


def cryptofeed_binance(path: Path) -> list[Frame]:
    """Stream frames and depth snapshots in the order they were received."""
    return sorted(_frames(cryptofeed_lines(path)), key=lambda frame: frame.ts)


def _frames(lines: list[dict[str, Any]]) -> Iterator[Frame]:
    for line in lines:
        ts = int(line.get("ts", 0) * 1_000_000_000)
        if line["t"] == "recv":
            symbol = json.loads(line["data"])["data"]["s"]
            yield Frame(ts, symbol, line["data"].encode())
        elif line["t"] == "http" and "/depth" in line["url"]:
            symbol = parse_qs(urlsplit(line["url"]).query)["symbol"][0]
            yield Frame(ts, symbol, rest_frame("depth", symbol, line["data"].encode()))


def cryptofeed_exchange_info(path: Path) -> bytes:
    answers = [x for x in cryptofeed_lines(path) if x["t"] == "http"]
    body: str = next(x["data"] for x in answers if "exchangeInfo" in x["url"])
    return body.encode()


def gocryptotrader_answer(path: Path, route: str) -> bytes:
    """The first recorded answer to GET ``route``."""
    with gzip.open(path) as file:
        return json.dumps(json.load(file)["routes"][route]["GET"][0]["data"]).encode()
