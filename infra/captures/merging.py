"""Several readers as one stream by receive time."""

import heapq
from collections.abc import Iterable, Iterator
from operator import itemgetter

from infra.captures.item import CaptureError, Item


def merged(readers: Iterable[Iterator[Item]]) -> Iterator[Item]:
    """By receive time, each reader's own order kept. What is wrong with one is raised when all the others have ended."""
    errors: list[CaptureError] = []
    yield from heapq.merge(*[_until_error(reader, errors) for reader in readers], key=itemgetter(0))
    if errors:
        raise errors[0]


def _until_error(reader: Iterator[Item], errors: list[CaptureError]) -> Iterator[Item]:
    try:
        yield from reader
    except CaptureError as error:
        errors.append(error)
