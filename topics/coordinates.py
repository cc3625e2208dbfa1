"""Where an output came from. For each (producer, source) these only grow, so a consumer keeps the last one and skips what is not newer."""

from typing import NamedTuple

HEADER = "src"
VERSION_HEADER = "ver"


class Coordinate(NamedTuple):
    """``producer`` is a stage or an edge. A stage's output: source ``<topic>@<topic id>/<partition>``, major the offset, minor the index
    of the output record among all of that input. An edge's: source empty, major its epoch, minor its own growing number."""

    producer: str
    source: str
    major: int
    minor: int

    def encode(self) -> bytes:
        return f"{self.producer}|{self.source}|{self.major}|{self.minor}".encode()

    @classmethod
    def decode(cls, raw: bytes) -> "Coordinate":
        """ValueError when it is none."""
        producer, source, major, minor = raw.decode().split("|")
        return cls(producer, source, int(major), int(minor))


class At(NamedTuple):
    """Where the event being folded stands in the stage's own input: partition, offset, place in the record's array."""

    partition: int
    offset: int
    place: int
