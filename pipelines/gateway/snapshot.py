"""The gateway's book on disk, as folded up to an offset of ``orders.events``: a start reads it and folds only what came later.

It is made by a process of its own (``python -m pipelines.gateway.snapshot``), from the snapshot before and the tape, never
from the gateway's memory: so it holds the fold of what is durable, and the gateway is not held up by it. It is passed
over, and the whole log is folded, when it is of another topic, account or fold code, when the file is not whole, or
when the tape does not reach as far as it.

File: 32 bytes of BLAKE2 over the rest, 4 bytes of the header's length, header and book as MessagePack. Not a record of
the tape: it says nothing that the tape does not, and may be deleted.
"""

import gc
import os
import sys
from collections import deque
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

import pipelines
import topics
from infra import kafka
from pipelines.gateway.state import Book
from pipelines.gateway.sums import Request
from topics import wire
from topics.catalog import ORDERS_EVENTS
from topics.coordinates import HEADER, Coordinate
from topics.record import Account

DIGEST = 32
NICE = 10


class Covered(msgspec.Struct, frozen=True):
    """Whose book it is, by which code, and how far: the next offset, the last coordinate folded, and the count of facts."""

    code: str
    topic_id: str
    account: Account
    offset: int = 0
    last: tuple[int, int] = (-1, -1)
    facts: int = 0


def path_of(run_dir: Path, account: Account) -> Path:
    return run_dir / "state" / f"gateway.{account}.book"


@cache
def fold_code() -> str:
    """Of everything that a book may follow from, and more: what another version folded is folded anew, once."""
    made = blake2b(digest_size=16)
    for package in (pipelines, topics):
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            made.update(path.read_bytes())
    return made.hexdigest()


def load_book(
    conf: kafka.KafkaConf, prefix: str, account: Account, path: Path | None = None
) -> tuple[Book, Covered, Covered]:
    """The book as of now; how far it was folded, and how far the snapshot already was. Blocks while it reads.

    Our own facts, each once: what an earlier process wrote late, behind a newer one's, is passed over by everybody.
    """
    name = kafka.physical(prefix, ORDERS_EVENTS)
    fresh = Covered(fold_code(), kafka.topic_ids(conf, [name])[name], account)
    low, high = kafka.watermarks(conf, [name])[name][0]
    found = None if path is None else read(path, fresh, low, high)
    began, book = found or (fresh, Book())
    offset, last = began.offset, began.last
    for message in kafka.read_all(conf, name, start={0: offset}):
        offset = (message.offset() or 0) + 1
        at = _coordinate(kafka.header(message, HEADER))
        if at is None or at.producer != f"gateway.{account}" or (at.major, at.minor) <= last:
            continue
        last = (at.major, at.minor)
        for fact in _facts(message.value() or b""):
            book.fold(fact)
    return book, msgspec.structs.replace(began, offset=offset, last=last, facts=book.seq), began


def _coordinate(raw: bytes | None) -> Coordinate | None:
    try:
        return None if raw is None else Coordinate.decode(raw)
    except ValueError:
        return None


def _facts(value: bytes) -> list[Any]:
    """A record that cannot be read says nothing to us; the stage that reads the topic writes its dead letter."""
    try:
        return wire.decode(value, ORDERS_EVENTS.types)
    except wire.BadRecord:
        return []


def read(path: Path, wanted: Covered, low: int, high: int) -> tuple[Covered, Book] | None:
    """None unless it is whole, of that topic, account and code, and ends within the log's [low, high]."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    if blake2b(raw[DIGEST:], digest_size=DIGEST).digest() != raw[:DIGEST]:
        return None
    end = DIGEST + 4 + int.from_bytes(raw[DIGEST : DIGEST + 4])
    covered = msgspec.msgpack.decode(raw[DIGEST + 4 : end], type=Covered)
    same = (covered.code, covered.topic_id, covered.account) == (wanted.code, wanted.topic_id, wanted.account)
    if not same or not low <= covered.offset <= high:
        return None
    return covered, decoded(memoryview(raw)[end:])


def encoded(book: Book) -> bytes:
    return msgspec.msgpack.encode(book, enc_hook=list)


def decoded(raw: bytes | memoryview) -> Book:
    gc.disable()  # millions of objects and none to collect: looking for some takes longer than making them
    try:
        return msgspec.msgpack.decode(raw, type=Book, dec_hook=_requests)
    finally:
        gc.enable()


def _requests(kind: type, raw: Any) -> deque[Request]:
    return deque(msgspec.convert(raw, list[Request]))


def write(path: Path, covered: Covered, book: Book) -> None:
    """Replaced as a whole, once it is on disk."""
    header = msgspec.msgpack.encode(covered)
    body = len(header).to_bytes(4) + header + encoded(book)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(blake2b(body, digest_size=DIGEST).digest())
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def take(conf: kafka.KafkaConf, prefix: str, account: Account, path: Path) -> Covered:
    """Bring the snapshot up to the end of the tape as of now."""
    book, covered, began = load_book(conf, prefix, account, path)
    if covered.offset > began.offset:
        write(path, covered, book)
    return covered


def main(arguments: list[str]) -> None:
    """Broker settings as JSON on stdin, since they may hold a password."""
    prefix, account, path = arguments
    os.nice(NICE)
    covered = take(msgspec.json.decode(sys.stdin.buffer.read()), prefix, account, Path(path))
    print(covered.facts)


if __name__ == "__main__":
    main(sys.argv[1:])
