"""The gateway over gRPC, found by reflection alone, as a client that has no generated code would."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.pipelines.gateway.platform import ACCOUNT, BTC, LIMITS, Platform, until
from topics.catalog import CONTROLS

SERVICE = "tapedeck.v1.OrderGateway"


class Reflected:
    """Calls methods with dicts, by descriptors that the server itself gives."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._pool = descriptor_pool.DescriptorPool()
        self._stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        self._service: Any = None

    async def ask(self, **what: str) -> Any:
        async def one() -> AsyncIterator[Any]:
            yield reflection_pb2.ServerReflectionRequest(**what)

        return await anext(aiter(self._stub.ServerReflectionInfo(one())))

    async def services(self) -> set[str]:
        answer = await self.ask(list_services="")
        return {s.name for s in answer.list_services_response.service}

    async def load(self) -> "Reflected":
        answer = await self.ask(file_containing_symbol=SERVICE)
        for raw in answer.file_descriptor_response.file_descriptor_proto:
            self._pool.Add(descriptor_pb2.FileDescriptorProto.FromString(raw))
        self._service = self._pool.FindServiceByName(SERVICE)
        return self

    def _types(self, name: str) -> tuple[Any, Any]:
        method = self._service.methods_by_name[name]
        return message_factory.GetMessageClass(method.input_type), message_factory.GetMessageClass(method.output_type)

    async def call(self, name: str, **fields: Any) -> Any:
        asked, answered = self._types(name)
        method = self._channel.unary_unary(
            f"/{SERVICE}/{name}", request_serializer=asked.SerializeToString, response_deserializer=answered.FromString
        )
        return await method(asked(**fields), timeout=10)

    def stream(self, name: str, **fields: Any) -> Any:
        asked, answered = self._types(name)
        method = self._channel.unary_stream(
            f"/{SERVICE}/{name}", request_serializer=asked.SerializeToString, response_deserializer=answered.FromString
        )
        return method(asked(**fields), timeout=30)


@pytest.fixture
async def gateway(platform: Platform) -> AsyncIterator[tuple[Platform, Reflected]]:
    async with platform.marked(), platform.gateway(), grpc.aio.insecure_channel(platform.address()) as channel:
        yield platform, await Reflected(channel).load()


async def test_the_service_and_its_health_are_found_by_reflection(gateway: Any) -> None:
    platform, client = gateway
    assert {SERVICE, "grpc.health.v1.Health"} <= await client.services()
    async with grpc.aio.insecure_channel(platform.address()) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_an_order_lives_and_is_cancelled_over_grpc_and_its_events_are_streamed(gateway: Any) -> None:
    platform, client = gateway
    events: list[Any] = []
    stream = client.stream("StreamOrderEvents", strategy="by-hand")
    await stream.initial_metadata()

    async def follow() -> None:
        async for event in stream:
            events.append(event)  # noqa: PERF401 - it is looked at while it grows

    following = asyncio.create_task(follow())
    bid, _ = await platform.touch()
    wish = limit_order(bid - 200)
    first = await client.call("SubmitOrder", **wish)
    assert (first.accepted, first.repeated) == (True, False)
    again = await client.call("SubmitOrder", **wish)
    assert (again.accepted, again.repeated) == (True, True)
    other = await client.call("SubmitOrder", **{**wish, "order_qty": "0.02"})
    assert (other.accepted, other.repeated, other.denial.check) == (False, True, "client_order_id")
    assert (other.denial.value, other.denial.limit) == (
        "other terms: order_qty 0.02",
        "decided before, with order_qty 0.01",
    )
    await until(lambda: "OrderAccepted" in [e.type for e in events], "accepted")
    listed = (await client.call("ListOrders", strategy="by-hand")).orders
    assert [(o.client_order_id, o.status, o.order_qty) for o in listed] == [(wish["client_order_id"], "new", "0.01")]

    asked = await client.call("CancelOrder", command_id="c-1", client_order_id=wish["client_order_id"], reason="done")
    assert asked.order.pending_cancel or asked.order.status == "canceled", (
        "the venue may confirm before we are answered"
    )
    assert not asked.repeated
    await until(lambda: "OrderCanceled" in [e.type for e in events], "canceled")
    found = await client.call("GetOrder", client_order_id=wish["client_order_id"])
    assert (found.status, found.leaves_qty) == ("canceled", "0")
    assert not (await client.call("ListOrders", strategy="by-hand")).orders
    assert len((await client.call("ListOrders", all=True)).orders) == 1
    types = [e.type for e in events]
    assert types[:2] == ["OrderRequested", "OrderSent"]
    assert events[-1].order.status == "canceled"
    following.cancel()


async def test_a_denial_is_an_answer_and_names_the_check(gateway: Any) -> None:
    platform, client = gateway
    bid, _ = await platform.touch()
    wish = limit_order(bid - 200, order_qty="1")
    answer = await client.call("SubmitOrder", **wish)
    assert not answer.accepted
    other = await client.call("SubmitOrder", **{**wish, "order_qty": "0.01"})
    assert (other.accepted, other.repeated, other.denial.check) == (False, True, "client_order_id")
    assert (answer.denial.check, answer.denial.limit) == ("max_order_value", f"{LIMITS['max_order_value']} (firm)")


async def test_cancel_all_reaches_what_works(gateway: Any) -> None:
    platform, client = gateway
    bid, _ = await platform.touch()
    for _ in range(3):
        await client.call("SubmitOrder", **limit_order(bid - 200))
    assert (await client.call("CancelAll", command_id="all", strategy="nobody")).requested == 0
    assert (await client.call("CancelAll", command_id="all-2")).requested == 3
    await until(lambda: platform.names().count("OrderCanceled") == 3, "three cancels")


async def test_controls_are_recorded_with_who_and_why_and_are_in_force(gateway: Any) -> None:
    platform, client = gateway
    common = {"scope": "strategy:by-hand", "who": "anna", "why": "a look"}
    with pytest.raises(grpc.aio.AioRpcError, match="no strategy named 'by-hand': one of EXTERNAL, MANUAL"):
        await client.call("SetControl", control_id="early", kill={}, **common)
    bid, _ = await platform.touch()
    await client.call("SubmitOrder", **limit_order(bid - 200))  # from then on it is known
    await client.call(
        "SetControl", control_id=uuid.uuid4().hex, limit={"name": "max_order_value", "value": "5"}, **common
    )
    await client.call("SetControl", control_id=uuid.uuid4().hex, kill={}, **common)

    async def state() -> Any:
        answer = await client.call("GetControls")
        return {f.scope: f for f in answer.in_force}.get("strategy:by-hand")

    deadline = time.monotonic() + 10
    while (found := await state()) is None or found.state != "halted":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert dict(found.limits) == {"max_order_value": "5"}
    last = platform.read(CONTROLS)[-1]
    assert (last.who, last.why) == ("anna", "a look")


@pytest.mark.parametrize(
    ("method", "fields", "code", "says"),
    [
        ("GetOrder", {"client_order_id": "nobody"}, grpc.StatusCode.NOT_FOUND, "no order 'nobody'"),
        ("SubmitOrder", {}, grpc.StatusCode.INVALID_ARGUMENT, "side is required"),
        ("SubmitOrder", {"side": 1, "order_type": 2}, grpc.StatusCode.INVALID_ARGUMENT, "client_order_id is required"),
        (
            "SubmitOrder",
            {"side": 1, "order_type": 2, "client_order_id": "x", "instrument": BTC, "order_qty": "many"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "order_qty is not a number: 'many'",
        ),
        *(
            ("SubmitOrder", {"side": 1, "order_type": 2, **fields}, grpc.StatusCode.INVALID_ARGUMENT, says)
            for fields, says in (
                ({"client_order_id": "x" * 5000}, "client_order_id is not 1 to 128 printable ASCII"),
                ({"client_order_id": "two\nlines"}, "client_order_id is not 1 to 128 printable ASCII"),
                ({"client_order_id": "x", "strategy": "EXTERNAL"}, "strategy EXTERNAL is the gateway's own"),
                ({"client_order_id": "x", "strategy": "größe"}, "strategy is not 1 to 64 printable ASCII"),
                ({"client_order_id": "x", "instrument": BTC, "order_qty": "٣"}, "order_qty is not a number"),
                ({"client_order_id": "x", "instrument": BTC, "order_qty": "1_0"}, "order_qty is not a number"),
            )
        ),
        (
            "SubmitOrder",
            {
                "side": 1,
                "order_type": 1,
                "client_order_id": "x",
                "instrument": BTC,
                "order_qty": "1",
                "account": "sim.b",
            },
            grpc.StatusCode.FAILED_PRECONDITION,
            "account sim.b is not sim.main",
        ),
        ("CancelAll", {}, grpc.StatusCode.INVALID_ARGUMENT, "command_id is required"),
        ("SetControl", {"control_id": "c", "scope": "moon"}, grpc.StatusCode.INVALID_ARGUMENT, "not a scope: 'moon'"),
        (
            "SetControl",
            {"control_id": "c", "scope": "firm", "who": "a", "kill": {}},
            grpc.StatusCode.INVALID_ARGUMENT,
            "why is required",
        ),
    ],
)
async def test_what_is_wrong_with_a_call_is_a_status_and_one_line(
    served: Reflected, method: str, fields: dict[str, Any], code: Any, says: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.call(method, **fields)
    assert caught.value.code() is code
    details = caught.value.details() or ""
    assert details.startswith(says)
    assert "\n" not in details


@pytest.fixture
async def served() -> AsyncIterator[Reflected]:
    """The service on an engine that holds nothing: enough for calls that do not come to it."""
    from pipelines.gateway.engine import Engine
    from pipelines.gateway.service import Server
    from pipelines.gateway.state import State

    engine = Engine(State.empty(ACCOUNT), None, None, None)  # type: ignore[arg-type]
    server = Server(engine)
    await server.start("127.0.0.1", 0)
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield await Reflected(channel).load()
    await server.stop(0)


def limit_order(price: Decimal, **changes: Any) -> dict[str, Any]:
    return {
        "client_order_id": f"g{uuid.uuid4().hex[:10]}",
        "strategy": "by-hand",
        "instrument": BTC,
        "side": 1,
        "order_type": 2,
        "order_qty": "0.01",
        "price": str(price),
        **changes,
    }


def test_the_generated_code_is_of_the_proto_as_it_stands(tmp_path: Path) -> None:
    """`make proto` writes it; only what the file says is compared, not the generator's own words."""
    from grpc_tools import protoc

    from infra.proto.tapedeck.v1 import gateway_pb2

    root = Path(__file__).parents[3]
    written = tmp_path / "gateway.bin"
    source = "infra/proto/tapedeck/v1/gateway.proto"
    assert protoc.main(["protoc", f"-I{root}", f"--descriptor_set_out={written}", str(root / source)]) == 0
    (fresh,) = descriptor_pb2.FileDescriptorSet.FromString(written.read_bytes()).file
    committed = descriptor_pb2.FileDescriptorProto.FromString(gateway_pb2.DESCRIPTOR.serialized_pb)
    for message in fresh.message_type:  # protoc derives these names, the generated code leaves them out
        without_json_names(message)
    assert committed == fresh


def without_json_names(message: Any) -> None:
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        without_json_names(nested)
