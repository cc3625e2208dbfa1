"""Recordings of market data as one stream of typed items, whoever wrote them; and a writer of our own.

``read`` tells the format by content. ``docs/recordings.md`` describes the formats.
"""

from infra.captures.formats import Format, Recording, each_once, format_of, read, recordings
from infra.captures.item import CaptureError, Item, Kind
from infra.captures.venues import VENUES, venue_hint, venue_of_name
from infra.captures.writer import Writer

__all__ = [
    "VENUES",
    "CaptureError",
    "Format",
    "Item",
    "Kind",
    "Recording",
    "Writer",
    "each_once",
    "format_of",
    "read",
    "recordings",
    "venue_hint",
    "venue_of_name",
]
