"""The venue's filters and refusals. https://developers.binance.com/docs/binance-spot-api-docs/filters"""

from __future__ import annotations

from adapters.simulated.instruments import Instrument
from adapters.simulated.model import NewOrder, OrderType, Refused
from adapters.simulated.units import notional

INSUFFICIENT_BALANCE = Refused(-2010, "Account has insufficient balance for requested action.")
WOULD_TAKE = Refused(-2010, "Order would immediately match and take.")
DUPLICATE = Refused(-2010, "Duplicate order sent.")
UNKNOWN_ORDER = Refused(-2011, "Unknown order sent.")
NO_SUCH_ORDER = Refused(-2013, "Order does not exist.")
INVALID_SYMBOL = Refused(-1121, "Invalid symbol.")
MULTIPLIER_UP, MULTIPLIER_DOWN = 5, 5


def refusal(instrument: Instrument, new: NewOrder, reference: int, open_orders: int) -> Refused | None:
    """The first filter that the order fails; `reference` is the current price, 0 when there is none."""
    checks = (
        ("PRICE_FILTER", _price_fits(instrument, new)),
        ("PERCENT_PRICE_BY_SIDE", _price_is_near(new, reference)),
        ("LOT_SIZE", _quantity_fits(instrument, new)),
        ("NOTIONAL", _value_fits(instrument, new, reference)),
        ("MAX_NUM_ORDERS", open_orders < instrument.max_num_orders),
    )
    for name, passed in checks:
        if not passed:
            return Refused(-1013, f"Filter failure: {name}")
    return None


def _price_fits(instrument: Instrument, new: NewOrder) -> bool:
    if new.type is OrderType.MARKET:
        return True
    return instrument.min_price <= new.price <= instrument.max_price and new.price % instrument.tick == 0


def _price_is_near(new: NewOrder, reference: int) -> bool:
    """Five times up and a fifth down, for either side."""
    if new.type is OrderType.MARKET or reference == 0:
        return True
    return reference <= new.price * MULTIPLIER_DOWN and new.price <= reference * MULTIPLIER_UP


def _quantity_fits(instrument: Instrument, new: NewOrder) -> bool:
    if new.quote_qty > 0:
        return True
    return instrument.step <= new.qty <= instrument.max_qty and new.qty % instrument.step == 0


def _value_fits(instrument: Instrument, new: NewOrder, reference: int) -> bool:
    """A market order is valued at the current price; its upper limit does not apply (applyMaxToMarket false)."""
    if new.type is not OrderType.MARKET:
        return instrument.min_notional <= notional(new.price, new.qty) <= instrument.max_notional
    if reference == 0:
        return True
    value = new.quote_qty if new.quote_qty > 0 else notional(reference, new.qty)
    return value >= instrument.min_notional
