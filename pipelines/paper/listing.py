"""Definitions as the paper exchange lists them; sizes are in whole steps of the exchange, which may be coarser.

A contract's quote asset is what stands behind the base in its id (``USDT-PERP``): its id is made of its assets, as the exchange's
clients make it. What it is settled in is beside.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from adapters.simulated.instruments import Instrument as Listing
from adapters.simulated.units import SCALE, units
from infra.errors import Problem
from pipelines.settled import terms
from topics.market import Instrument
from topics.record import Currency, InstrumentId

OPENING = Decimal(1_000_000)


def symbol_of(instrument: InstrumentId) -> str:
    return instrument.partition(":")[2].replace("-", "")


def listing(i: Instrument) -> Listing:
    """Bounds that the venue does not set are wide. Problem where it is finer than the exchange reckons."""
    base, _, quote = i.instrument.partition(":")[2].partition("-")
    try:
        how = terms(i)
        tick = units(i.tick_size)
        step = units(i.lot_size if i.inverse else step_of(i.tick_size * (i.multiplier if how else 1), i.lot_size))
    except ValueError as error:
        raise Problem(f"{i.instrument} cannot be traded on paper: {error}") from error
    return Listing(
        symbol=symbol_of(i.instrument),
        base=base,
        quote=quote,
        **how,
        tick=tick,
        step=step,
        min_price=tick,
        max_price=10**9 * SCALE,
        max_qty=units(i.max_qty) if i.max_qty is not None else 10**9 * SCALE,
        min_notional=units(i.min_notional) if i.min_notional is not None else 0,
        max_notional=10**12 * SCALE,
    )


def step_of(tick: Decimal, lot: Decimal) -> Decimal:
    """The lot, or as much coarser as it takes for every amount (price times size) to be a whole number of 1e-8, the finest that
    the exchange reckons.
    """
    while tick * lot * SCALE % 1:
        lot *= 10
    return lot


def opening(listings: Iterable[Listing], chosen: Mapping[Currency, Decimal]) -> dict[Currency, int]:
    """What an account begins with, in the exchange's units."""
    amounts: dict[Currency, Decimal] = {}
    for one in listings:
        amounts |= dict.fromkeys((one.settle,) if one.is_contract else (one.base, one.quote), OPENING)
    return {currency: units(amount) for currency, amount in (amounts | dict(chosen)).items()}
