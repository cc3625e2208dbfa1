"""What proves that Binance refused a command. Everything that is not in this table is unknown.

https://developers.binance.com/docs/binance-spot-api-docs/errors; tried against ccxt 4.5.90. The exception that ccxt
raises is not enough: it depends on the text, and an answer without sense raises none at all. So the raw answer is
judged: HTTP status, code and message.
"""

from typing import Any

import msgspec

from adapters.execution import Accepted, Outcome, Refused, Unknown


class Answer(msgspec.Struct):
    """What came back for one request: whether it was sent at all, then status and body where an answer arrived."""

    sent: bool = False
    status: int | None = None
    body: str = ""

    def json(self) -> Any:
        """The body as JSON with its digits kept as text; None where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return None

    @property
    def error(self) -> tuple[int, str] | None:
        body = self.json()
        if not isinstance(body, dict) or not isinstance(body.get("code"), int):
            return None
        return body["code"], str(body.get("msg", ""))


REFUSED = frozenset(
    {
        -1002,  # not authorized
        -1003,  # too many requests
        -1013,  # filters
        -1015,  # too many orders
        -1020,  # unsupported operation
        -1021,  # outside of the receive window
        -1022,  # signature
        *range(-1199, -1099),  # malformed requests
        -2014,  # key format
        -2015,  # key, address or permissions
    }
)
"""The request did not reach the matching engine, whatever was asked."""

KEYS = frozenset({-1002, -1022, -2014, -2015})
CLOCK = frozenset({-1021})

AMEND_REJECTED, AMEND_GONE = -2038, "Unknown order sent."
"""An amendment that changed nothing; of an order that is gone it says nothing about what became of it."""

NEW_ORDER_REJECTED = -2010
DUPLICATE = "Duplicate order sent."
REJECTED_BECAUSE = (
    "Account has insufficient balance for requested action.",
    "Order would immediately match and take.",
    "Order would trigger immediately.",
    "Market is closed.",
    "This action is disabled on this account.",
    "This account may not place or cancel orders.",
    "Unsupported order combination",
    "Stop price would trigger immediately.",
    "Rest API trading is not enabled.",
    "This symbol is not permitted for this account.",
    "This symbol is restricted for this account.",
    "The operation is not supported",
    "Filter failure:",
    "The relationship of the prices for the orders is not correct.",
)
"""Messages of -2010 that say what the matching engine did not like."""

NO_SUCH_ORDER = frozenset({-2011, -2013})
"""To a query: not known (yet). To a cancel: ask for the order, an earlier send of the cancel may have worked."""


def outcome(answer: Answer) -> Outcome:
    """What the answer to a new order or a cancel proves."""
    if answer.status is None:
        return Unknown("no answer")
    if answer.status in (418, 429):
        return Refused(str(answer.status), "the venue's rate limit")
    error = answer.error
    if error is not None:
        return _refusal(*error) if 400 <= answer.status < 500 else Unknown(f"{answer.status}: {error[0]} {error[1]}")
    if answer.status != 200:
        return Unknown(f"HTTP status {answer.status}")
    return _acceptance(answer.json())


def tested(answer: Answer) -> Outcome:
    """What the answer to an order that goes nowhere says: an empty object, or the commissions."""
    if answer.status == 200 and answer.error is None and isinstance(answer.json(), dict):
        return Accepted("")
    return outcome(answer)


def _acceptance(body: Any) -> Outcome:
    """An id is required: HTML, nothing, ``{}`` and cut JSON are no answer."""
    order = body.get("amendedOrder", body) if isinstance(body, dict) else None
    if not isinstance(order, dict) or not isinstance(order.get("orderId"), int):
        return Unknown("an answer without an order id")
    return Accepted(str(order["orderId"]), int(body.get("transactTime", 0)) * 1_000_000)


def _refusal(code: int, message: str) -> Outcome:
    if code in REFUSED:
        return Refused(str(code), message)
    if code == AMEND_REJECTED and message != AMEND_GONE:
        return Refused(str(code), message)
    if code == NEW_ORDER_REJECTED and message != DUPLICATE and message.startswith(REJECTED_BECAUSE):
        return Refused(str(code), message)
    return Unknown(f"{code} {message}")
