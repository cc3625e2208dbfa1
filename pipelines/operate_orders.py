"""What operators do to single orders: other terms for one that works, and a new one tried out without sending it."""

import json
import time
import uuid
from decimal import Decimal, InvalidOperation

from infra import kafka
from infra.config import Config
from infra.errors import Problem
from infra.kafka import KafkaConf
from pipelines import denials
from pipelines.operate import orders
from topics import catalog, wire
from topics.orders import ModifyDenied, ModifyOrder, ModifyRejected, OrderModified
from topics.record import Account, InstrumentId, OrderType, Side, venue_of

TYPES = {"market": 1, "limit": 2, "stop": 3, "stop_limit": 4}
"""As numbered in gateway.proto."""
Answer = OrderModified | ModifyRejected | ModifyDenied


def number(text: str | None, name: str) -> Decimal | None:
    """Problem when it is none."""
    if text is None:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise Problem(f"{name} is not a number: {text!r}") from None
    if not value.is_finite() or value <= 0:
        raise Problem(f"{name} is a number above 0, not {text}")
    return value


def modify(
    config: Config,
    conf: KafkaConf,
    client_order_id: str,
    terms: dict[str, Decimal | None],
    who: str,
    why: str,
    timeout_s: float = 8.0,
) -> Answer:
    """Ask for other terms and wait for what came of it; Problem when there is no such working order, or no answer."""
    if all(value is None for value in terms.values()):
        raise Problem("nothing to change: give --qty, --price or --trigger")
    order = next((o for o in orders(config, conf) if o.client_order_id == client_order_id), None)
    if order is None or order.status.is_terminal:
        raise Problem(f"no working order {client_order_id}: see 'tapedeck orders'")
    command = ModifyOrder(
        command_id=f"operator-{uuid.uuid4().hex}",
        client_order_id=client_order_id,
        strategy=order.strategy,
        account=order.account,
        instrument=order.instrument,
        reason=f"{who}: {why}",
        order_qty=terms.get("order_qty"),
        price=terms.get("price"),
        trigger_price=terms.get("trigger_price"),
        ts_init=time.time_ns(),
    )
    facts = kafka.physical(config.prefix, catalog.ORDERS_EVENTS)
    start = kafka.watermarks(conf, [facts])[facts][0][1]
    kafka.publish(conf, config.prefix, [command], config.subscriptions())
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = _answer(conf, facts, start, command.command_id)
        if found is not None:
            return found
        time.sleep(0.2)
    raise Problem(f"the modification is recorded but not answered after {timeout_s:g} s: is the gateway up?")


def _answer(conf: KafkaConf, topic: str, start: int, command_id: str) -> Answer | None:
    for message in kafka.read_all(conf, topic, start={0: start}):
        for fact in wire.decode(message.value() or b"", catalog.ORDERS_EVENTS.types):
            if isinstance(fact, ModifyDenied) and fact.command.command_id == command_id:
                return fact
            if isinstance(fact, OrderModified | ModifyRejected) and fact.command_id == command_id:
                return fact
    return None


def try_order(
    config: Config,
    instrument: InstrumentId,
    side: Side,
    qty: Decimal,
    price: Decimal | None,
    trigger: Decimal | None,
    account: Account = "",
) -> str:
    """All checks of the running gateway, then the venue's own test; what it said. Problem when either denies it."""
    import grpc

    from infra.proto.tapedeck.v1 import gateway_pb2 as pb
    from infra.proto.tapedeck.v1 import gateway_pb2_grpc as rpc

    request = pb.SubmitOrderRequest(
        client_order_id=f"test-{uuid.uuid4().hex}",
        instrument=instrument,
        side=pb.SIDE_BUY if side is Side.BUY else pb.SIDE_SELL,
        order_type=TYPES[_kind(price, trigger)],  # type: ignore[arg-type]
        order_qty=f"{qty:f}",
        price="" if price is None else f"{price:f}",
        trigger_price="" if trigger is None else f"{trigger:f}",
        validate_only=True,
    )
    with grpc.insecure_channel(_address(config, account or _account_of(config, instrument))) as channel:
        try:
            answer = rpc.OrderGatewayStub(channel).SubmitOrder(request, timeout=10)
        except grpc.RpcError as error:
            raise Problem(f"the gateway does not answer: {error.details()}") from None
    if answer.HasField("denial"):
        d = answer.denial
        raise Problem(f"denied by {denials.told(d.check, d.value, d.limit)}; the venue was not asked")
    if not answer.accepted:
        raise Problem(f"the venue: {answer.tested}")
    return str(answer.tested)


def _kind(price: Decimal | None, trigger: Decimal | None) -> OrderType:
    if trigger is None:
        return OrderType.MARKET if price is None else OrderType.LIMIT
    return OrderType.STOP if price is None else OrderType.STOP_LIMIT


def _account_of(config: Config, instrument: InstrumentId) -> Account:
    found = [a for a in config.accounts if venue_of(a) == venue_of(instrument)]
    if len(found) != 1:
        raise Problem(f"{len(found)} accounts on {venue_of(instrument)!r}: name one with --account")
    return found[0]


def _address(config: Config, account: Account) -> str:
    try:
        return str(json.loads((config.run_dir / f"gateway.{account}.json").read_bytes())["address"])
    except (OSError, ValueError, KeyError):
        raise Problem(f"no gateway of {account} runs in {config.run_dir}: 'tapedeck up' starts it") from None
