"""The gateway over gRPC (grpc.aio), with health and reflection. The service decides nothing: it hands commands to the
engine.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc

from adapters.execution import Accepted
from infra.errors import Problem
from infra.proto.tapedeck.v1 import gateway_pb2 as pb
from infra.proto.tapedeck.v1 import gateway_pb2_grpc as rpc
from infra.serving import GrpcServer
from pipelines.gateway import messages
from pipelines.gateway.engine import Engine, NotLeased, WrongAccount
from pipelines.gateway.state import Held
from pipelines.gateway.tape import Listener
from topics import orders
from topics.controls import Scope
from topics.orders import ControlDone, ModifyDenied, ModifyRequested, OrderDenied, ReconciliationDifference

SERVICE = pb.DESCRIPTOR.services_by_name["OrderGateway"].full_name

Context = grpc.aio.ServicerContext[Any, Any]
ScopeOf = Callable[[str], Scope]
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


class NoSuchOrder(LookupError):
    pass


def answered(method: F) -> F:
    """Our errors as gRPC's, one line each."""

    @functools.wraps(method)
    async def call(self: "OrderGateway", request: Any, context: Context) -> Any:
        try:
            return await method(self, request, context)
        except ValueError as error:
            wrong_account = isinstance(error, WrongAccount)
            code = grpc.StatusCode.FAILED_PRECONDITION if wrong_account else grpc.StatusCode.INVALID_ARGUMENT
            await context.abort(code, str(error))
        except NoSuchOrder as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except (NotLeased, Problem) as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))

    return call  # type: ignore[return-value]


class OrderGateway(rpc.OrderGatewayServicer):
    """A write is answered once it is durable, whatever becomes of the call that asked for it."""

    def __init__(self, engine: Engine, scope_of: ScopeOf) -> None:
        self._engine, self._scope_of = engine, scope_of

    @answered
    async def SubmitOrder(self, request: pb.SubmitOrderRequest, context: Context) -> pb.SubmitOrderResponse:
        command = messages.submit_order(request, self._engine.state.account, self._engine.clock())
        if request.validate_only:
            return await self._validate(command)
        decided = self._engine.submit(command)
        if decided.durable is not None:
            await asyncio.shield(decided.durable)
        if not decided.is_new and (other := self._differs(command)) is not None:
            return pb.SubmitOrderResponse(client_order_id=command.client_order_id, denial=other, repeated=True)
        denied = isinstance(decided.fact, OrderDenied)
        return pb.SubmitOrderResponse(
            client_order_id=command.client_order_id,
            accepted=not denied,
            denial=messages.denial(decided.fact) if isinstance(decided.fact, OrderDenied) else None,
            repeated=not decided.is_new,
        )

    def _differs(self, command: orders.SubmitOrder) -> pb.Denial | None:
        held = self._engine.state.book.orders.get(command.client_order_id)
        if held is None:
            return None
        return messages.other_terms(held.command if held.denied is None else held.denied.command, command)

    async def _validate(self, command: orders.SubmitOrder) -> pb.SubmitOrderResponse:
        fact, outcome = await self._engine.validate(command)
        return pb.SubmitOrderResponse(
            client_order_id=command.client_order_id,
            accepted=isinstance(outcome, Accepted),
            denial=messages.denial(fact) if isinstance(fact, OrderDenied) else None,
            repeated=fact is None,
            tested="" if outcome is None else messages.tested(outcome),
        )

    @answered
    async def ModifyOrder(self, request: pb.ModifyOrderRequest, context: Context) -> pb.ModifyOrderResponse:
        held = self._find(request.client_order_id)
        command = messages.modify_order(request, held, self._engine.clock())
        decided = self._engine.modify(command)
        if decided.durable is not None:
            await asyncio.shield(decided.durable)
        fact = decided.fact
        requested = fact if isinstance(fact, ModifyRequested) else None
        if not decided.is_new and requested is not None:
            other = messages.other_terms(requested.command, command)
            if other is not None:
                return pb.ModifyOrderResponse(order=messages.order(held), denial=other, repeated=True)
        return pb.ModifyOrderResponse(
            order=messages.order(held),
            accepted=requested is not None,
            denial=messages.denial(fact) if isinstance(fact, ModifyDenied) else None,
            repeated=not decided.is_new,
            revision=0 if requested is None else requested.revision,
            replacement="" if requested is None else requested.replacement,
        )

    @answered
    async def CancelOrder(self, request: pb.CancelOrderRequest, context: Context) -> pb.CancelOrderResponse:
        held = self._find(request.client_order_id)
        durable = self._engine.cancel(messages.cancel_order(request, held, self._engine.clock()))
        await (self._engine.tape.settled() if durable is None else asyncio.shield(durable))
        return pb.CancelOrderResponse(order=messages.order(held), repeated=durable is None)

    @answered
    async def CancelAll(self, request: pb.CancelAllRequest, context: Context) -> pb.CancelAllResponse:
        command = messages.cancel_all(request, self._engine.state.account, self._engine.clock())
        count, durable = self._engine.cancel_all(command)
        await (self._engine.tape.settled() if durable is None else asyncio.shield(durable))
        return pb.CancelAllResponse(requested=count)

    @answered
    async def GetOrder(self, request: pb.GetOrderRequest, context: Context) -> pb.Order:
        return messages.order(self._find(request.client_order_id))

    @answered
    async def ListOrders(self, request: pb.ListOrdersRequest, context: Context) -> pb.ListOrdersResponse:
        book = self._engine.state.book
        chosen = [
            book.orders[cid]
            for cid in sorted(book.orders if request.all else book.working)
            if request.strategy in ("", book.orders[cid].facts.strategy)
            and request.instrument in ("", book.orders[cid].facts.instrument)
        ]
        return pb.ListOrdersResponse(orders=[messages.order(held) for held in chosen])

    async def StreamOrderEvents(
        self, request: pb.StreamOrderEventsRequest, context: Context
    ) -> AsyncIterator[pb.OrderEvent]:
        listener = self._engine.tape.listen()
        try:
            await context.send_initial_metadata(())  # from here on nothing is missed
            async for event in self._events(listener, request, context):
                yield event
        finally:
            self._engine.tape.forget(listener)

    async def _events(
        self, listener: Listener, request: pb.StreamOrderEventsRequest, context: Context
    ) -> AsyncIterator[pb.OrderEvent]:
        while (fact := await listener.get()) is not None:
            if listener.overrun:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{listener.maxsize} events behind: ask again")
            if isinstance(fact, ControlDone):
                if request.strategy == request.instrument == "":
                    yield messages.event(fact, None)
            elif request.instrument not in ("", fact.instrument):
                continue
            elif isinstance(fact, ReconciliationDifference):
                yield messages.event(fact, None)
            elif request.strategy in ("", fact.strategy):
                yield messages.event(fact, self._engine.state.book.orders.get(fact.client_order_id))

    @answered
    async def SetControl(self, request: pb.SetControlRequest, context: Context) -> pb.SetControlResponse:
        control = messages.control(request, self._scope_of, self._engine.clock())
        await asyncio.shield(self._engine.tape.write([control]))
        return pb.SetControlResponse(control_id=control.control_id)

    @answered
    async def GetControls(self, request: pb.GetControlsRequest, context: Context) -> pb.GetControlsResponse:
        state = self._engine.state
        halts = {instrument: state.halt(instrument) for instrument in sorted(state.book.halts)}
        return pb.GetControlsResponse(
            in_force=messages.in_force(state.rules.state),
            ready=state.ready,
            halted={instrument: halt.why for instrument, halt in halts.items() if halt is not None},
        )

    def _find(self, client_order_id: str) -> Held:
        held = self._engine.state.book.orders.get(client_order_id)
        if held is None:
            raise NoSuchOrder(f"no order {client_order_id!r}")
        return held


class Server(GrpcServer):
    """``scope_of`` reads a control's scope; ValueError for one that this configuration does not know."""

    def __init__(self, engine: Engine, scope_of: ScopeOf = Scope.parse) -> None:
        super().__init__(SERVICE, "gateway")
        rpc.add_OrderGatewayServicer_to_server(OrderGateway(engine, scope_of), self.server)
