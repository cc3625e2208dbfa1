"""What a version of this software makes of recorded inputs: run in this process, or as a script in another checkout.

As a script it gets a folder: ``request.json``, ``tapedeck.toml`` and ``inputs`` (framed rows), and leaves ``outputs``.
It touches nothing of the other checkout but the names imported below, so that other versions can be asked too.
"""

import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from infra.config import Config, load
from infra.shell.processor import Inbound
from pipelines.archive_reader import Row
from pipelines.compose import routed
from pipelines.folding import Fold
from pipelines.workers import stage_of
from topics.catalog import Topic

Input = tuple[str, int, int, int, bytes | None, bytes | None, str | None, str | None]
"""A topic's name and a ``Row``."""


class Request(msgspec.Struct):
    """``limits`` are [scope, name, value]; ``topic_id`` is that of the stage's recorded input."""

    name: str
    topic_id: str = ""
    limits: list[tuple[str, str, str]] = []


class Made(NamedTuple):
    """Outputs of one input record; of a gateway, the decision instead of the one that stands there."""

    partition: int
    offset: int
    topic: str
    value: bytes


def fold(config: Config, name: str, topic_id: str, rows: Iterable[Row]) -> Iterator[Made]:
    """A stage, from the start."""
    stage, subscriptions = stage_of(name, config), config.subscriptions()
    made: list[Made] = []

    def publish(outputs: list[Any], partition: int, offset: int) -> None:
        for topic, _, value, _ in routed(stage, outputs, partition, offset, topic_id, subscriptions):
            made.append(Made(partition, offset, topic.name, value))

    folding = Fold(stage, publish)
    for row in rows:
        folding.feed(Inbound(row.partition, row.offset, row.key, row.value, row.headers))
        yield from made
        made.clear()


class Kept:
    """Recorded topics held in memory."""

    grows = False

    def __init__(self, inputs: Iterable[Input]) -> None:
        self._rows: dict[str, dict[int, list[Row]]] = {}
        for one in inputs:
            row = Row(*one[1:])
            self._rows.setdefault(one[0], {}).setdefault(row.partition, []).append(row)

    def topic_id(self, topic: Topic) -> str:
        return ""

    def partitions(self, topic: Topic) -> list[int]:
        return sorted(self._rows.get(topic.name, {}))

    def rows(self, topic: Topic, partition: int, first: int = 0) -> Iterator[Row]:
        return (row for row in self._rows.get(topic.name, {}).get(partition, ()) if row.offset >= first)


def judge(account: str, limits: list[tuple[str, str, str]], run: Any) -> Iterator[Made]:
    """A gateway's decisions on its recorded inputs."""
    from pipelines.replay_gateway import rejudged
    from topics import wire

    for one in rejudged(account, run, limits):
        if one.decided is not None:
            yield Made(one.row.partition, one.row.offset, "orders.events", wire.encode([one.decided]))


def write_frames(path: Path, values: Iterable[Any]) -> None:
    encode = msgspec.msgpack.Encoder().encode
    with path.open("wb") as file:
        for value in values:
            raw = encode(value)
            file.write(struct.pack(">I", len(raw)) + raw)


def read_frames(path: Path, kind: Any) -> Iterator[Any]:
    decoder = msgspec.msgpack.Decoder(kind)
    with path.open("rb") as file:
        while head := file.read(4):
            yield decoder.decode(file.read(struct.unpack(">I", head)[0]))


def main(folder: Path) -> None:
    request = msgspec.json.decode((folder / "request.json").read_bytes(), type=Request)
    config, inputs = load(folder / "tapedeck.toml", {}), read_frames(folder / "inputs", Input)
    kind, _, which = request.name.partition("/")
    made = (
        judge(which, request.limits, Kept(inputs))
        if kind == "gateway"
        else fold(config, request.name, request.topic_id, (Row(*one[1:]) for one in inputs))
    )
    write_frames(folder / "outputs", made)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
