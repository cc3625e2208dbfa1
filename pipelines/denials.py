"""What a denial means and what to do about it, in a sentence for people. On the tape stand the check, the value and the limit."""

import re

from topics.controls import LimitName

MISSING = "no scope supplies it"
_REASON = re.compile(r"([a-z_]+): (.*) against (.*)", re.DOTALL)

RAISE = "or raise the limit: 'tapedeck limits SCOPE {check} VALUE --why …'"
ADVICE: dict[str, str] = {
    "trading_state": "trading is {value}, {limit} pass: look why (tapedeck limits), then 'tapedeck resume SCOPE --why …'",
    "reconciled": "the gateway has not compared its orders with the venue's yet: wait until it is ready (tapedeck top); its log says why not",
    "instrument_halted": "the instrument takes no new risk: {value}: look, then 'tapedeck resume instrument:… --why …'",
    "command_age": "decided {value} s before it came here, the limit is {limit}: the platform lags (tapedeck top), or max_data_age is too short",
    "order_type": "{value} orders are not taken here: {limit}",
    "order_qty": "{value} is no quantity: give one {limit}",
    "price": "the price {value} is none that this order can have: {limit}",
    "trigger_price": "the trigger {value} cannot be: {limit}",
    "post_only": "post-only does not go with this order: {limit}",
    "time_in_force": "{value} does not go with this order: {limit}",
    "client_order_id": "…{value} is an id that only the gateway gives: choose one with {limit}",
    "replaces": "no order {value} is to be replaced by this one: use modify",
    "cause": "{limit}: leave the cause empty",
    "order": "the order is {value}: only an order of this platform can be modified",
    "status": "the order is {value}: only {limit} can be modified so",
    "pending_cancel": "the order is being cancelled: nothing of it can be modified any more",
    "pending_replace": "a modification of it is under way: wait for what comes of it",
    "modify": "it has these terms already: say what is to change",
    "unjudgeable": "its numbers cannot be reckoned with ({value}): give {limit}",
    "revision": "the order has changed since ({value}, {limit}): look at it again and modify what it is now",
    "instrument_known": "the tape has no definition of {value}: name it in [venues], and wait until the venue has told it",
    "contract_value": "nobody can say what it is worth ({value}, wanted {limit}): trade a contract that pays in one of its own currencies",
    "instrument_tradable": "the venue does not trade it now: wait until it does",
    "tick_size": "the price {value} is no multiple of the tick {limit}: round it (desk.round_price)",
    "lot_size": "the quantity {value} is no multiple of the lot {limit}: round it (desk.round_qty)",
    "min_qty": "the quantity {value} is below the venue's least, {limit}: make it larger",
    "max_qty": "the quantity {value} is above the venue's most, {limit}: make it smaller",
    "min_notional": "a value of {value} is below the venue's least, {limit}: make the order larger",
    "max_notional": "a value of {value} is above the venue's most, {limit}: make the order smaller",
    "reduce_only": "it would not only reduce the {limit}: make it smaller, or not reduce-only",
    "self_match": "at {value} it could trade with our own order {limit}: cancel that one first, or stay on your side of it",
    "free_holdings": "it needs {value}, and {limit} are free beside what open orders may spend: fund the account, cancel, or make it smaller",
    LimitName.MAX_DATA_AGE: "the market's last word is {value} s old, the limit is {limit}: the feed is quiet or lags (tapedeck top)",
    LimitName.PRICE_COLLAR: "the price is {value} of the mid away, the limit is {limit}: move it nearer, " + RAISE,
    LimitName.MAX_ORDER_VALUE: "the order is worth {value}, the limit is {limit}: make it smaller, " + RAISE,
    LimitName.MAX_POSITION_VALUE: "with all open orders filled the position would be worth {value}, the limit is {limit}: reduce, cancel, "
    + RAISE,
    LimitName.MAX_ORDERS_PER_SECOND: "it is number {value} within a second, the limit is {limit}: send fewer, " + RAISE,
}
NO_LIMIT = "no scope has a limit for it, and without one everything is denied: set one in [[limits]], or 'tapedeck limits firm {check} VALUE --why …'"
NO_MARK = "the tape has no price of this market yet: wait for the feed, or look why it is silent ('tapedeck top')"


def told(check: str, value: str, limit: str) -> str:
    """One line that begins with the check."""
    if limit == MISSING:
        text = NO_LIMIT
    elif check == LimitName.MAX_DATA_AGE and value == "no mark":
        text = NO_MARK
    elif check == "trigger_price" and limit.startswith("beyond"):
        text = "the market has reached the trigger {value} already: place it {limit}"
    else:
        text = ADVICE.get(check, "{value} against {limit}")
    return f"{check}: {text.format(check=check, value=value, limit=limit)}"


def of_reason(reason: str) -> str:
    """The same of a reason as it stands with a denied order; anything else stays as it is."""
    found = _REASON.fullmatch(reason)
    return told(*found.groups()) if found is not None else reason
