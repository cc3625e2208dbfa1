"""The venue's filters and refusals. https://developers.binance.com/docs/binance-spot-api-docs/filters"""

from __future__ import annotations

from adapters.simulated.instruments import Instrument
from adapters.simulated.model import Amendment, NewOrder, Order, Refused

INSUFFICIENT_BALANCE = Refused(-2010, "Account has insufficient balance for requested action.")
WOULD_TRIGGER = Refused(-2010, "Order would trigger immediately.")
WOULD_TAKE = Refused(-2010, "Order would immediately match and take.")
DUPLICATE = Refused(-2010, "Duplicate order sent.")
UNKNOWN_ORDER = Refused(-2011, "Unknown order sent.")
NO_SUCH_ORDER = Refused(-2013, "Order does not exist.")
CANNOT_GROW = Refused(-2038, "Order amend (quantity increase) is not supported.")
CHANGES_NOTHING = Refused(-2038, "The requested action would change no state; rejecting.")
TOO_MANY_AMENDS = Refused(-2038, "Filter failure: MAX_NUM_ORDER_AMENDS")
AMENDS_UNKNOWN = Refused(-2038, UNKNOWN_ORDER.message)
AMENDS_TO_DUPLICATE = Refused(-2038, DUPLICATE.message)
INVALID_SYMBOL = Refused(-1121, "Invalid symbol.")
IN_CONTRACTS = Refused(-1013, "Contracts are ordered by their number, not by what they cost.")
MULTIPLIER_UP, MULTIPLIER_DOWN = 5, 5


def refusal(instrument: Instrument, new: NewOrder, reference: int, open_orders: int, open_stops: int) -> Refused | None:
    """The first filter that the order fails; `reference` is the current price, 0 when there is none."""
    checks = (
        ("PRICE_FILTER", _price_fits(instrument, new)),
        ("PERCENT_PRICE_BY_SIDE", _price_is_near(new, reference)),
        ("LOT_SIZE", _quantity_fits(instrument, new)),
        ("NOTIONAL", _value_fits(instrument, new, reference)),
        ("MAX_NUM_ORDERS", open_orders < instrument.max_num_orders),
        ("MAX_NUM_ALGO_ORDERS", not new.type.waits or open_stops < instrument.max_num_algo_orders),
    )
    for name, passed in checks:
        if not passed:
            return Refused(-1013, f"Filter failure: {name}")
    return None


def amend_refusal(instrument: Instrument, order: Order, amendment: Amendment) -> Refused | None:
    """Why this open order cannot be made that small: only a smaller quantity that leaves something is allowed."""
    if amendment.qty > order.orig_qty:
        return CANNOT_GROW
    if amendment.qty == order.orig_qty:
        return CHANGES_NOTHING
    leaves = amendment.qty - order.executed - order.prevented
    if leaves < instrument.step or amendment.qty % instrument.step:
        return Refused(-1013, "Filter failure: LOT_SIZE")
    if order.type.priced and instrument.notional(order.price, amendment.qty) < instrument.min_notional:
        return Refused(-1013, "Filter failure: NOTIONAL")
    return TOO_MANY_AMENDS if order.amendments >= instrument.max_num_order_amends else None


def _price_fits(instrument: Instrument, new: NewOrder) -> bool:
    prices = [new.price] * new.type.priced + [new.stop_price] * new.type.waits
    return all(
        instrument.min_price <= price <= instrument.max_price and price % instrument.tick == 0 for price in prices
    )


def _price_is_near(new: NewOrder, reference: int) -> bool:
    """Five times up and a fifth down, for either side."""
    if not new.type.priced or reference == 0:
        return True
    return reference <= new.price * MULTIPLIER_DOWN and new.price <= reference * MULTIPLIER_UP


def _quantity_fits(instrument: Instrument, new: NewOrder) -> bool:
    if new.quote_qty > 0:
        return True
    return instrument.step <= new.qty <= instrument.max_qty and new.qty % instrument.step == 0


def _value_fits(instrument: Instrument, new: NewOrder, reference: int) -> bool:
    """An order without a limit is valued at the current price; no upper limit for it (applyMaxToMarket false)."""
    if new.type.priced:
        return instrument.min_notional <= instrument.notional(new.price, new.qty) <= instrument.max_notional
    if reference == 0:
        return True
    value = new.quote_qty if new.quote_qty > 0 else instrument.notional(reference, new.qty)
    return value >= instrument.min_notional
