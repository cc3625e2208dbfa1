"""How the simulated exchange settles an instrument, and what an account needs to trade it."""

from typing import Any

from adapters.simulated.units import units
from topics.market import Instrument
from topics.record import Currency, Payoff


def terms(i: Instrument) -> dict[str, Any]:
    """How the exchange settles it. ValueError for a contract's size that is finer than it reckons."""
    if i.payoff is Payoff.SPOT:
        return {}
    return {"payoff": i.payoff.value, "multiplier": units(i.multiplier), "settle": i.settled_in}


def currencies(i: Instrument) -> tuple[Currency, ...]:
    """Of a contract that which it is settled in alone."""
    return (i.base, i.quote) if i.payoff is Payoff.SPOT else (i.settled_in,)
