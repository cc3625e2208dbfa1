"""Operators' commands and what is in force by them. Key: scope and kind, so that a later limit never erases a kill."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from topics.record import Record


class ScopeKind(StrEnum):
    FIRM = "firm"
    VENUE = "venue"
    ACCOUNT = "account"
    STRATEGY = "strategy"
    INSTRUMENT = "instrument"


class Scope(msgspec.Struct, frozen=True, order=True):
    """What a control applies to; ``id`` is empty for the firm. Written ``firm``, ``strategy:quoter``, ``instrument:sim:BTC-USDT``."""

    kind: ScopeKind
    id: str = ""

    def __str__(self) -> str:
        return self.kind if self.kind is ScopeKind.FIRM else f"{self.kind}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Scope":
        """ValueError says what a scope looks like."""
        kind, _, ident = text.partition(":")
        if kind not in set(ScopeKind) or bool(ident) == (kind == ScopeKind.FIRM):
            raise ValueError(
                f"not a scope: {text!r} (firm, venue:VENUE, account:ACCOUNT, strategy:NAME or instrument:VENUE:BASE-QUOTE)"
            )
        return cls(ScopeKind(kind), ident)


FIRM = Scope(ScopeKind.FIRM)


class LimitName(StrEnum):
    PRICE_COLLAR = "price_collar"  # fraction of the mid that a price may lie away from it
    MAX_ORDER_VALUE = "max_order_value"  # in quote currency
    MAX_POSITION_VALUE = "max_position_value"  # in quote currency, open and unknown orders counted as if filled
    MAX_ORDERS_PER_SECOND = "max_orders_per_second"
    MAX_DATA_AGE = "max_data_age"  # seconds since the mark was received


class TradingState(StrEnum):
    ACTIVE = "active"
    REDUCING = "reducing"  # only orders that reduce a position
    HALTED = "halted"  # only cancels


class Control(Record, frozen=True, kw_only=True):
    """Base of every command; ``control_id`` is made at the edge, and the same one twice counts once."""

    control_id: str
    scope: Scope
    who: str
    why: str
    ts_init: int


class SetLimit(Control, frozen=True, kw_only=True):
    limit: LimitName
    value: Decimal


class RemoveLimit(Control, frozen=True, kw_only=True):
    """The scope no longer supplies this limit; a check whose limit no scope supplies denies. The configuration does not seed it again."""

    limit: LimitName


class Kill(Control, frozen=True, kw_only=True):
    """Stop new risk in scope, cancel everything in it, keep trying until the venue confirms. Survives restarts."""


class Resume(Control, frozen=True, kw_only=True):
    """Re-enable what a kill, a halt or a failed strategy stopped; names a person and a reason."""


class Flatten(Control, frozen=True, kw_only=True):
    """Cancel everything in scope and close its positions at the market; booked to the strategy that is flattened."""


class SetParams(Control, frozen=True, kw_only=True):
    """Scope is one strategy; ``params`` is JSON of its ``Params``, whole or in part."""

    params: msgspec.Raw


AnyControl = SetLimit | RemoveLimit | Kill | Resume | Flatten | SetParams


class InForce(Record, frozen=True, kw_only=True):
    """Everything in force for one scope after ``control_id``: state and limits. Published by the controls stage."""

    scope: Scope
    state: TradingState = TradingState.ACTIVE
    limits: dict[LimitName, Decimal] = {}
    control_id: str
    who: str
    why: str
    ts_init: int
