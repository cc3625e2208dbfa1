"""Whose a recording is, for who reads it with the venue's adapter."""

from collections.abc import Sequence
from pathlib import Path

from adapters.base import MarketData
from adapters.registry import adapters, market_data
from infra.captures import venue_hint, venue_of_name
from infra.errors import Hopeless


def recorded_venue(paths: Sequence[Path], said: str = "") -> tuple[str, MarketData]:
    """The adapter's name and the adapter: as ``said``, else as the recording tells. Hopeless where none fits."""
    venue = named(said) if said else venue_hint(paths)
    if not venue:
        raise Hopeless(f"{paths[0]}: cannot tell the venue from it: say --venue, one of {', '.join(adapters())}")
    return venue, adapter_named(venue)


def named(said: str) -> str:
    """An adapter's name, of its own or of one that recorders write (``BINANCE_FUTURES``). Hopeless where there is none."""
    venue = venue_of_name(said) or said
    adapter_named(venue)
    return venue


def adapter_named(venue: str) -> MarketData:
    try:
        return market_data(venue)
    except ValueError as error:
        raise Hopeless(str(error)) from error
