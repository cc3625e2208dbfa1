"""Commands to the gateway over gRPC, at once. Every command is on `orders.intents` too, under the same id: what fails
here arrives from there, and the gateway obeys it once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import grpc

from infra.proto.tapedeck.v1 import gateway_pb2 as pb
from infra.proto.tapedeck.v1 import gateway_pb2_grpc as rpc
from pipelines.gateway import messages
from topics.orders import CancelAll, CancelOrder, ModifyOrder, SubmitOrder
from topics.record import Record, Side

TIMEOUT_S = 5.0
MAX_UNDER_WAY = 1000
ORDER_TYPES = {ours: theirs for theirs, ours in messages.ORDER_TYPES.items()}
TIMES_IN_FORCE = {ours: theirs for theirs, ours in messages.TIMES_IN_FORCE.items() if theirs}

log = logging.getLogger(__name__)


class Commands:
    def __init__(self, address: Callable[[], str]) -> None:
        self.sent = 0
        self.failed = 0
        self._address = address
        self._connected_to = ""
        self._channel: grpc.aio.Channel | None = None
        self._stub: Any = None
        self._under_way: set[asyncio.Task[None]] = set()

    def send(self, command: Record) -> None:
        """Begin the call and return. Nothing where there is no gateway, or where what is asked cannot be said over gRPC."""
        call = self._call(command)
        if call is not None:
            task = asyncio.ensure_future(self._carry(call))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def _call(self, command: Record) -> Awaitable[Any] | None:
        if len(self._under_way) >= MAX_UNDER_WAY or not self._connect():
            return None
        match command:
            case SubmitOrder():
                order = submit_request(command)
                return None if order is None else self._stub.SubmitOrder(order, timeout=TIMEOUT_S)
            case ModifyOrder():
                modified = pb.ModifyOrderRequest(
                    command_id=command.command_id,
                    client_order_id=command.client_order_id,
                    order_qty=_text(command.order_qty),
                    price=_text(command.price),
                    trigger_price=_text(command.trigger_price),
                    revision=command.revision,
                    reason=command.reason,
                )
                return self._stub.ModifyOrder(modified, timeout=TIMEOUT_S)  # type: ignore[no-any-return]
            case CancelOrder():
                request = pb.CancelOrderRequest(
                    command_id=command.command_id, client_order_id=command.client_order_id, reason=command.reason
                )
                return self._stub.CancelOrder(request, timeout=TIMEOUT_S)  # type: ignore[no-any-return]
            case CancelAll():
                every = pb.CancelAllRequest(
                    command_id=command.command_id,
                    strategy=command.strategy,
                    instrument=command.instrument,
                    reason=command.reason,
                )
                return self._stub.CancelAll(every, timeout=TIMEOUT_S)  # type: ignore[no-any-return]
        return None

    def _connect(self) -> bool:
        if self._stub is None:
            self._connected_to = self._address()
            if self._connected_to:
                self._channel = grpc.aio.insecure_channel(self._connected_to)
                self._stub = rpc.OrderGatewayStub(self._channel)
        return self._stub is not None

    async def _carry(self, call: Awaitable[Any]) -> None:
        stub = self._stub
        try:
            await call
            self.sent += 1
        except grpc.aio.AioRpcError as error:
            self.failed += 1
            log.warning("gateway: %s %s; the command goes by the tape", error.code().name, error.details())
            if error.code() is grpc.StatusCode.UNAVAILABLE and self._stub is stub:
                await self._look_again()

    async def _look_again(self) -> None:
        """The next gateway listens elsewhere."""
        if self._address() != self._connected_to:
            channel, self._channel, self._stub = self._channel, None, None
            if channel is not None:
                await channel.close(None)

    async def close(self) -> None:
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=1.0)
        if self._channel is not None:
            await self._channel.close(None)


def _text(number: Decimal | None) -> str:
    return "" if number is None else f"{number:f}"


def submit_request(command: SubmitOrder) -> pb.SubmitOrderRequest | None:
    """None for an order that would not arrive as it is."""
    if command.order_type not in ORDER_TYPES:
        return None
    request = pb.SubmitOrderRequest(
        client_order_id=command.client_order_id,
        strategy=command.strategy,
        account=command.account,
        instrument=command.instrument,
        side=pb.SIDE_BUY if command.side is Side.BUY else pb.SIDE_SELL,
        order_type=ORDER_TYPES[command.order_type],
        order_qty=_text(command.order_qty),
        price=_text(command.price),
        time_in_force=TIMES_IN_FORCE[command.time_in_force],
        post_only=command.post_only,
        reduce_only=command.reduce_only,
        reason=command.reason,
        cause=command.cause,
        trigger_price=_text(command.trigger_price),
        ts_event=command.ts_event,
    )
    try:
        return request if messages.submit_order(request, command.account, command.ts_init) == command else None
    except ValueError:
        return None
