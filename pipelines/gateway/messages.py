"""Between the gRPC messages and our records. ValueError, in one line, for a request that is malformed."""

from collections.abc import Callable
from decimal import Decimal

from adapters.execution import Accepted, NotSent, Outcome, Refused, Unknown
from infra.proto.tapedeck.v1 import gateway_pb2 as pb
from pipelines.controls import ControlsState
from pipelines.exact import is_sane, text
from pipelines.gateway.checks import FLATTEN_CAUSE
from pipelines.gateway.state import Held
from topics import wire
from topics.controls import AnyControl, Flatten, Kill, LimitName, Resume, Scope, SetLimit
from topics.names import is_ident, is_plain_decimal, is_strategy_name
from topics.orders import (
    CancelAll,
    CancelOrder,
    ControlDone,
    Fact,
    ModifyDenied,
    ModifyOrder,
    OrderDenied,
    ReconciliationDifference,
    SubmitOrder,
)
from topics.record import EXTERNAL, MANUAL, Account, OrderType, Side, StrategyId, TimeInForce

SIDES = {pb.SIDE_BUY: Side.BUY, pb.SIDE_SELL: Side.SELL}
ORDER_TYPES = {
    pb.ORDER_TYPE_MARKET: OrderType.MARKET,
    pb.ORDER_TYPE_LIMIT: OrderType.LIMIT,
    pb.ORDER_TYPE_STOP: OrderType.STOP,
    pb.ORDER_TYPE_STOP_LIMIT: OrderType.STOP_LIMIT,
}
TIMES_IN_FORCE = {
    pb.TIME_IN_FORCE_UNSPECIFIED: TimeInForce.GTC,
    pb.TIME_IN_FORCE_GTC: TimeInForce.GTC,
    pb.TIME_IN_FORCE_IOC: TimeInForce.IOC,
    pb.TIME_IN_FORCE_FOK: TimeInForce.FOK,
}


TERMS: dict[type, tuple[str, ...]] = {
    SubmitOrder: (
        "strategy",
        "instrument",
        "side",
        "order_type",
        "order_qty",
        "price",
        "trigger_price",
        "time_in_force",
        "post_only",
        "reduce_only",
    ),
    ModifyOrder: ("client_order_id", "order_qty", "price", "trigger_price", "revision"),
}
"""What makes two commands the same; when and why they were given does not."""


def required(value: str, name: str) -> str:
    if not value.strip():
        raise ValueError(f"{name} is required")
    return value


def ident(value: str, name: str) -> str:
    if not is_ident(required(value, name)):
        raise ValueError(f"{name} is not 1 to 128 printable ASCII characters: {value[:40]!a}")
    return value


def strategy(name: str) -> StrategyId:
    """As it may stand on an order; none is MANUAL. It need not be configured."""
    if name == EXTERNAL:
        raise ValueError(f"strategy {EXTERNAL} is the gateway's own, for orders that the platform did not place")
    if name and not is_strategy_name(name):
        raise ValueError(f"strategy is not 1 to 64 printable ASCII characters without '|' and '/': {name[:40]!a}")
    return name or MANUAL


def decimal(value: str, name: str) -> Decimal:
    if not is_plain_decimal(value):
        raise ValueError(f"{name} is not a number: {value[:40]!a} (they are like 0.00010)")
    number = Decimal(value)
    if not is_sane(number):
        raise ValueError(f"{name} has too many digits: {value[:40]}")
    return number


def _given(value: str, name: str) -> Decimal | None:
    return decimal(value, name) if value else None


def submit_order(request: pb.SubmitOrderRequest, account: Account, now_ns: int) -> SubmitOrder:
    if request.side not in SIDES:
        raise ValueError("side is required: SIDE_BUY or SIDE_SELL")
    if request.order_type not in ORDER_TYPES:
        raise ValueError("order_type is required: one of ORDER_TYPE_MARKET, _LIMIT, _STOP, _STOP_LIMIT")
    if request.time_in_force not in TIMES_IN_FORCE:
        raise ValueError(f"time_in_force is none that is known: {request.time_in_force}")
    if request.cause.startswith(FLATTEN_CAUSE):
        raise ValueError(f"a cause that begins with {FLATTEN_CAUSE} is the gateway's own")
    return SubmitOrder(
        client_order_id=ident(request.client_order_id, "client_order_id"),
        strategy=strategy(request.strategy),
        account=request.account or account,
        instrument=required(request.instrument, "instrument"),
        side=SIDES[request.side],
        order_type=ORDER_TYPES[request.order_type],
        order_qty=decimal(request.order_qty, "order_qty"),
        price=_given(request.price, "price"),
        trigger_price=_given(request.trigger_price, "trigger_price"),
        time_in_force=TIMES_IN_FORCE[request.time_in_force],
        post_only=request.post_only,
        reduce_only=request.reduce_only,
        reason=request.reason,
        cause=request.cause,
        ts_event=request.ts_event,
        ts_init=now_ns,
    )


def modify_order(request: pb.ModifyOrderRequest, held: Held, now_ns: int) -> ModifyOrder:
    f = held.facts
    return ModifyOrder(
        command_id=ident(request.command_id, "command_id"),
        client_order_id=f.client_order_id,
        strategy=f.strategy,
        account=f.account,
        instrument=f.instrument,
        order_qty=_given(request.order_qty, "order_qty"),
        price=_given(request.price, "price"),
        trigger_price=_given(request.trigger_price, "trigger_price"),
        revision=request.revision,
        reason=request.reason,
        ts_init=now_ns,
    )


def cancel_order(request: pb.CancelOrderRequest, held: Held, now_ns: int) -> CancelOrder:
    f = held.facts
    return CancelOrder(
        command_id=ident(request.command_id, "command_id"),
        client_order_id=f.client_order_id,
        strategy=f.strategy,
        account=f.account,
        instrument=f.instrument,
        reason=request.reason,
        ts_init=now_ns,
    )


def cancel_all(request: pb.CancelAllRequest, account: Account, now_ns: int) -> CancelAll:
    return CancelAll(
        command_id=ident(request.command_id, "command_id"),
        account=account,
        strategy=request.strategy,
        instrument=request.instrument,
        reason=request.reason,
        ts_init=now_ns,
    )


def control(request: pb.SetControlRequest, scope_of: Callable[[str], Scope], now_ns: int) -> AnyControl:
    control_id, scope = ident(request.control_id, "control_id"), scope_of(request.scope)
    who, why = required(request.who, "who"), required(request.why, "why")
    match request.WhichOneof("control"):
        case "limit":
            limit, value = _limit(request.limit)
            return SetLimit(
                control_id=control_id, scope=scope, who=who, why=why, ts_init=now_ns, limit=limit, value=value
            )
        case "kill":
            return Kill(control_id=control_id, scope=scope, who=who, why=why, ts_init=now_ns)
        case "resume":
            return Resume(control_id=control_id, scope=scope, who=who, why=why, ts_init=now_ns)
        case "flatten":
            return Flatten(control_id=control_id, scope=scope, who=who, why=why, ts_init=now_ns)
    raise ValueError("control is required: limit, kill, resume or flatten")


def _limit(limit: pb.Limit) -> tuple[LimitName, Decimal]:
    if limit.name not in set(LimitName):
        raise ValueError(f"no limit named {limit.name!r}: one of {', '.join(LimitName)}")
    value = decimal(limit.value, "limit.value")
    if value < 0:
        raise ValueError(f"a limit is at least 0, not {limit.value}")
    return LimitName(limit.name), value


def denial(fact: OrderDenied | ModifyDenied) -> pb.Denial:
    return pb.Denial(check=fact.check, value=fact.value, limit=fact.limit)


def other_terms(given: SubmitOrder | ModifyOrder | None, asked: SubmitOrder | ModifyOrder) -> pb.Denial | None:
    """What differs between a command that was decided and one that comes under its id; None where nothing does."""
    fields = TERMS[type(asked)]
    found = [n for n in fields if given is not None and getattr(given, n) != getattr(asked, n)]
    if not found:
        return None
    check = "client_order_id" if isinstance(asked, SubmitOrder) else "command_id"
    told = ", ".join(f"{name} {_shown(getattr(asked, name))}" for name in found)
    first = ", ".join(f"{name} {_shown(getattr(given, name))}" for name in found)
    return pb.Denial(check=check, value=f"other terms: {told}", limit=f"decided before, with {first}")


def _shown(value: object) -> str:
    return "none" if value is None else text(value) if isinstance(value, Decimal) else str(value)


def order(held: Held) -> pb.Order:
    """Empty but for its id where only facts that ran ahead of its terms are known."""
    view = held.facts.view()
    if view is None:
        return pb.Order(client_order_id=held.client_order_id)
    return pb.Order(
        client_order_id=view.client_order_id,
        account=view.account,
        instrument=view.instrument,
        strategy=view.strategy,
        side=pb.SIDE_BUY if view.side is Side.BUY else pb.SIDE_SELL,
        order_type=view.order_type,
        order_qty=text(view.order_qty),
        price="" if view.price is None else text(view.price),
        time_in_force=view.time_in_force,
        post_only=view.post_only,
        status=view.status,
        pending_cancel=view.pending_cancel,
        venue_order_id=view.venue_order_id,
        cum_qty=text(view.cum_qty),
        leaves_qty=text(view.leaves_qty),
        avg_px="" if view.avg_px is None else text(view.avg_px),
        fees={currency: text(fee) for currency, fee in view.fees.items()},
        reason=view.reason,
        ts_init=view.ts_init,
        trigger_price="" if view.trigger_price is None else text(view.trigger_price),
        pending_replace=view.pending_replace,
        revision=view.revision,
        replaces=view.replaces,
        replaced_by=view.replaced_by,
    )


def tested(outcome: Outcome) -> str:
    """The venue's word on an order that goes nowhere."""
    match outcome:
        case Accepted():
            return "accepted"
        case Refused(code, reason):
            return f"refused: {code} {reason}"
        case NotSent(reason):
            return f"not_sent: {reason}"
        case Unknown(reason):
            return f"unknown: {reason}"


def event(fact: Fact | ReconciliationDifference | ControlDone, held: Held | None) -> pb.OrderEvent:
    words = pb.OrderEvent(type=type(fact).__name__, fact=wire.encode([fact])[1:-1], ts_init=fact.ts_init)
    if not isinstance(fact, ControlDone):
        words.instrument = fact.instrument
    if not isinstance(fact, ReconciliationDifference | ControlDone):
        words.client_order_id, words.strategy, words.ts_event = fact.client_order_id, fact.strategy, fact.ts_event
    if held is not None:
        words.order.CopyFrom(order(held))
    return words


def in_force(state: ControlsState) -> list[pb.InForce]:
    return [
        pb.InForce(
            scope=scope, state=one.state, limits={name: text(value) for name, value in sorted(one.limits.items())}
        )
        for scope, one in sorted(state.scopes.items())
    ]
