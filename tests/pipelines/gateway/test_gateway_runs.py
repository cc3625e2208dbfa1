"""The gateway as a whole: real broker, simulated exchange, ccxt in between."""

import asyncio
import re
import time
from collections.abc import Callable
from decimal import Decimal

import grpc
import pytest

from infra.errors import Problem
from infra.proto.tapedeck.v1 import gateway_pb2 as pb
from infra.proto.tapedeck.v1 import gateway_pb2_grpc as rpc
from pipelines import operate_orders
from pipelines.gateway.decide import venue_client_id
from tests.adapters.simulated.running import API_KEY, API_SECRET, Client
from tests.pipelines.gateway.platform import BTC, LIMITS, SYMBOL, Platform, control, order, until
from tests.pipelines.gateway.proxy import relay
from topics.catalog import CONTROLS, DEAD_LETTERS, GATEWAY_LEASES, ORDERS_INTENTS
from topics.controls import FIRM, Flatten, Kill, LimitName, Resume, Scope, SetLimit
from topics.orders import (
    CancelOrder,
    CancelRequested,
    ControlDone,
    ExternalOrderSeen,
    ModifyOrder,
    OrderDenied,
    OrderFilled,
    OrderReconciled,
    OrderRequested,
    SubmitOrder,
)
from topics.record import OrderType, Side, TimeInForce


async def test_an_order_becomes_requested_sent_accepted_and_filled(platform: Platform) -> None:
    async with platform.marked(), platform.gateway():
        _, ask = await platform.touch()
        command = order(ask + 50, time_in_force=TimeInForce.IOC)
        platform.write(command)
        facts = await platform.until_facts(
            command.client_order_id, "OrderRequested", "OrderSent", "OrderAccepted", "OrderFilled"
        )
    fills = [f for f in facts if isinstance(f, OrderFilled)]
    assert sum(f.last_qty for f in fills) == Decimal("0.01")
    (requested,) = (f for f in facts if isinstance(f, OrderRequested))
    assert requested.judged_by.values["reconciled"] == "true"


async def test_a_resting_order_is_cancelled_by_command_and_its_redelivery_changes_nothing(platform: Platform) -> None:
    async with platform.marked(), platform.gateway():
        command, cancel = await resting(platform)
        platform.write(cancel)
        await platform.until_facts(command.client_order_id, "CancelRequested", "OrderCanceled")
        before = platform.names()
        platform.write(command, cancel, command)
        probe = await refused_probe(platform)
        assert platform.names() == [*before, "OrderDenied"]
        assert platform.names(probe) == ["OrderDenied"]


async def test_the_same_command_twice_is_one_order(platform: Platform) -> None:
    async with platform.marked(), platform.gateway():
        bid, _ = await platform.touch()
        command = order(bid - 200)
        platform.write(command, command)
        platform.write(command)
        await platform.until_facts(command.client_order_id, "OrderAccepted")
        await refused_probe(platform)
    assert platform.names(command.client_order_id).count("OrderRequested") == 1
    assert venue_orders(platform, command) == 1


async def test_a_limit_that_no_scope_supplies_denies(platform: Platform) -> None:
    missing = {k: v for k, v in LIMITS.items() if k != "max_order_value"}
    bare = platform.again(limits=[{"scope": "firm", **missing}])
    async with bare.marked(), bare.gateway():
        bid, _ = await bare.touch()
        command = order(bid - 200)
        bare.write(command)
        facts = await bare.until_facts(command.client_order_id, "OrderDenied")
        assert (facts[0].check, facts[0].value) == ("max_order_value", "none")
        bare.write(control(SetLimit, FIRM, limit=LimitName.MAX_ORDER_VALUE, value=Decimal(20000)))
        again = await passed(bare, lambda: order(bid - 200))
        await bare.until_facts(again.client_order_id, "OrderAccepted")


async def test_limits_of_the_configuration_are_seeded_once(platform: Platform) -> None:
    async with platform.gateway():
        pass
    async with platform.gateway():
        seeds = platform.read(CONTROLS)
    assert {(str(s.scope), s.limit.value, str(s.value), s.who) for s in seeds} == {
        ("firm", name, value, "config") for name, value in LIMITS.items()
    }
    assert len(seeds) == len(LIMITS)


async def test_killed_between_write_ahead_and_answer_no_second_order_is_sent(platform: Platform) -> None:
    async with platform.marked():
        with platform.gateway_process("--deaf") as process:
            await platform.until_ready()
            bid, _ = await platform.touch()
            command = order(bid - 200)
            platform.write(command)
            await until(lambda: process.stdout and process.stdout.readline(), "the order is at the venue")
            process.kill()
        async with platform.gateway():
            facts = await platform.until_facts(command.client_order_id, "OrderUnknown", "OrderReconciled")
            assert venue_orders(platform, command) == 1
    assert [f.found for f in facts if isinstance(f, OrderReconciled)] == [True]


async def test_killed_before_anything_was_sent_the_order_is_proved_never_to_have_arrived(platform: Platform) -> None:
    async with platform.marked():
        with platform.gateway_process("--mute") as process:
            await platform.until_ready()
            bid, _ = await platform.touch()
            command = order(bid - 200)
            platform.write(command)
            await until(lambda: process.stdout and process.stdout.readline(), "the order is written ahead")
            await platform.until_facts(command.client_order_id, "OrderSent")
            process.kill()
        async with platform.gateway(ready=False):
            facts = await platform.until_facts(command.client_order_id, "OrderUnknown", "OrderReconciled")
    assert [f.found for f in facts if isinstance(f, OrderReconciled)] == [False]
    assert venue_orders(platform, command) == 0


async def test_an_order_is_modified_in_place_and_by_another_and_a_stop_order_waits(platform: Platform) -> None:
    async with platform.marked(), platform.gateway():
        bid, ask = await platform.touch()
        command = order(bid - 200, qty="0.02")
        stop = order(None, order_type=OrderType.STOP, trigger_price=ask + 1000)
        platform.write(command, stop)
        await platform.until_facts(command.client_order_id, "OrderAccepted")
        await platform.until_facts(stop.client_order_id, "OrderAccepted")
        platform.write(changed(command, "m1", order_qty=Decimal("0.01")))
        await platform.until_facts(command.client_order_id, "OrderModified")
        platform.write(changed(command, "m2", price=bid - 150), changed(stop, "m3", trigger_price=ask + 900))
        for one in (command, stop):
            await platform.until_facts(f"{one.client_order_id}~2", "OrderAccepted")
        with pytest.raises(Problem, match="nothing to change"):
            operate_orders.modify(platform.config, platform.conf, "o", {}, "tester", "a test")
        await tried(platform, bid - 200, None)
        await tried(platform, ask + 1100, ask + 1000)
        await over_grpc(platform, f"{command.client_order_id}~2")
        with pytest.raises(Problem, match="denied by price_collar"):
            await tried(platform, bid / 2 // 1, None)
    assert platform.names(command.client_order_id).count("OrderModified") == 2
    assert venue_orders(platform, command) == 1


async def test_killed_while_its_order_is_replaced_the_next_gateway_ends_what_was_begun(platform: Platform) -> None:
    async with platform.marked():
        with platform.gateway_process("--hang-on-cancel") as process:
            await platform.until_ready()
            bid, _ = await platform.touch()
            command = order(bid - 200)
            platform.write(command)
            await platform.until_facts(command.client_order_id, "OrderAccepted")
            platform.write(changed(command, "m1", price=bid - 150))
            await until(lambda: process.stdout and process.stdout.readline(), "the cancel is at the venue")
            process.kill()
        async with platform.gateway():
            facts = await platform.until_facts(command.client_order_id, "OrderCanceled")
            await until(lambda: "ModifyRequested" in platform.names() and answered(platform), "answered")
        assert [f for f in facts if isinstance(f, OrderRequested)]
    live = [f for f in platform.facts(f"{command.client_order_id}~2") if isinstance(f, OrderRequested | OrderDenied)]
    assert len(live) == 1


async def tried(platform: Platform, price: Decimal, trigger: Decimal | None) -> None:
    """Again where a busy machine was too late for the venue's receive window."""

    def once() -> bool:
        try:
            said = operate_orders.try_order(platform.config, BTC, Side.BUY, Decimal("0.01"), price, trigger)
        except Problem as problem:
            if "-1021" not in str(problem):
                raise
            return False
        return said == "accepted"

    await until(once, "the venue has tested it")


async def over_grpc(platform: Platform, client_order_id: str) -> None:
    """The same command twice gives one answer; another revision than the next is denied."""
    async with grpc.aio.insecure_channel(platform.address()) as channel:
        stub = rpc.OrderGatewayStub(channel)
        ids = {"command_id": "g1", "client_order_id": client_order_id}
        for repeated in (False, True):
            answer = await stub.ModifyOrder(pb.ModifyOrderRequest(order_qty="0.009", revision=1, **ids))
            assert (answer.accepted, answer.revision, answer.repeated) == (True, 1, repeated)
        await platform.until_facts(client_order_id, "OrderModified")
        ids["command_id"] = "g2"
        answer = await stub.ModifyOrder(pb.ModifyOrderRequest(order_qty="0.008", revision=1, **ids))
        assert (answer.accepted, answer.denial.check, answer.order.revision) == (False, "revision", 1)


def answered(platform: Platform) -> bool:
    return bool({"OrderModified", "ModifyRejected"} & set(platform.names()))


def changed(command: SubmitOrder, command_id: str, **terms: Decimal) -> ModifyOrder:
    ids = {"client_order_id": command.client_order_id, "strategy": command.strategy, "account": command.account}
    unique = f"{command_id}-{command.client_order_id}"
    return ModifyOrder(command_id=unique, instrument=command.instrument, ts_init=time.time_ns(), **ids, **terms)


async def test_a_kill_cancels_everything_in_scope_and_survives_a_restart(platform: Platform) -> None:
    async with platform.marked():
        async with platform.gateway():
            first, _ = await resting(platform)
            kill = control(Kill, Scope.parse("strategy:tester"))
            platform.write(kill)
            facts = await platform.until_facts(first.client_order_id, "OrderCanceled")
            assert [f.command_id for f in facts if isinstance(f, CancelRequested)] == [f"kill:{kill.control_id}"]
        async with platform.gateway():
            bid, _ = await platform.touch()
            second, other = order(bid - 200), order(bid - 200, strategy="other")
            platform.write(second, other)
            (denied,) = await platform.until_facts(second.client_order_id, "OrderDenied")
            assert (denied.check, denied.value) == ("trading_state", "halted")
            await platform.until_facts(other.client_order_id, "OrderAccepted")
            platform.write(control(Resume, Scope.parse("strategy:tester")))
            third = await passed(platform, lambda: order(bid - 200))
            await platform.until_facts(third.client_order_id, "OrderAccepted")


async def test_an_order_that_the_platform_did_not_place_is_external_and_its_fills_count(platform: Platform) -> None:
    async with platform.marked(), platform.gateway():
        _, ask = await platform.touch()
        await by_hand(platform, price=ask + 50, timeInForce="IOC", quantity="0.02")
        facts = await until(lambda: [f for f in platform.facts() if isinstance(f, OrderFilled)], "an external fill")
    seen = [f for f in platform.facts() if isinstance(f, ExternalOrderSeen)]
    assert len(seen) == 1
    assert {f.strategy for f in facts} == {"EXTERNAL"}


async def test_what_happened_while_the_gateway_was_away_is_found_at_its_start(platform: Platform) -> None:
    left = platform.again(run={"cancel_on_stop": False})
    async with left.marked():
        async with left.gateway():
            bid, _ = await left.touch()
            command = order(bid - 200)
            left.write(command)
            await left.until_facts(command.client_order_id, "OrderAccepted")
        async with Client(left.exchange) as client:
            status, _ = await client.signed("DELETE", "/api/v3/order", symbol=SYMBOL, origClientOrderId=digest(command))
            assert status == 200
        _, ask = await left.touch()
        await by_hand(left, price=ask + 50, timeInForce="IOC", quantity="0.02")
        async with left.gateway():
            await left.until_facts(command.client_order_id, "OrderCanceled")
            fills = [f for f in left.facts() if isinstance(f, OrderFilled)]
            assert sum(f.last_qty for f in fills) == Decimal("0.02")
            assert {f.strategy for f in fills} == {"EXTERNAL"}


async def test_what_a_cut_stream_missed_is_found_and_nothing_new_passes_until_then(platform: Platform) -> None:
    exchange = platform.exchange
    async with relay(exchange.host, exchange.port) as wire:
        venue = {**platform.raw["venues"]["sim"], "ws_api_url": f"ws://{exchange.host}:{wire.port}/ws-api/v3"}
        cut = platform.again(venues={"sim": venue})
        async with cut.marked(), cut.gateway():
            command, _ = await resting(cut)
            wire.cut()
            await until(lambda: not cut.status()["ready"], "not ready")
            await refused_probe(cut, "reconciled")
            async with Client(exchange) as client:
                await client.signed("DELETE", "/api/v3/order", symbol=SYMBOL, origClientOrderId=digest(command))
            await by_hand(cut, price=(await cut.touch())[1] + 50, timeInForce="IOC", quantity="0.02")
            assert "OrderCanceled" not in cut.names(command.client_order_id)
            wire.open = True
            await cut.until_facts(command.client_order_id, "OrderCanceled")
            await until(lambda: any(isinstance(f, OrderFilled) for f in cut.facts()), "the missed execution")
            await until(lambda: cut.status()["ready"], "ready again")
            await resting(cut)


async def test_flatten_closes_the_position_of_the_strategy_once(platform: Platform) -> None:
    async with platform.marked():
        async with platform.gateway():
            _, ask = await platform.touch()
            command = order(ask + 50, time_in_force=TimeInForce.IOC)
            platform.write(command)
            await platform.until_facts(command.client_order_id, "OrderFilled")
            rest, _ = await resting(platform)
            for _ in range(3):  # another strategy quotes at the touch, where the closing order goes
                platform.write(order((await platform.touch())[0], strategy="other"))
            flatten = control(Flatten, Scope.parse("strategy:tester"))
            platform.write(flatten, control(Kill, Scope.parse("strategy:tester")))
            await platform.until_facts(rest.client_order_id, "OrderCanceled")
            await until(lambda: position(platform) == 0, "flat", lambda: str(platform.names()))
        closing = [f for f in platform.facts() if isinstance(f, OrderRequested) and f.command.cause]
        assert {f.strategy for f in closing} == {"tester"}
        assert all(flatten.control_id in f.command.reason for f in closing)
        async with platform.gateway():
            platform.write(control(Resume, Scope.parse("strategy:tester")))
            ask = (await platform.touch())[1]
            again = await passed(platform, lambda: order(ask + 50, time_in_force=TimeInForce.IOC))
            await platform.until_facts(again.client_order_id, "OrderFilled")
            await refused_probe(platform)
            assert position(platform) == Decimal("0.01")
        done = [f for f in platform.facts() if isinstance(f, ControlDone)]
        assert [(f.control_id, f.outcome) for f in done] == [(flatten.control_id, "closed")]


async def test_a_clean_stop_cancels_what_rests_and_hands_the_lease_over_and_every_private_frame_is_kept(
    platform: Platform,
) -> None:
    async with platform.marked():
        async with platform.gateway():
            command, _ = await resting(platform)
        assert "OrderCanceled" in platform.names(command.client_order_id)
        assert platform.read(GATEWAY_LEASES)[-1].released
    check_frames(platform)


async def test_a_second_gateway_for_the_same_account_gives_up(platform: Platform) -> None:
    async with platform.gateway():
        with platform.gateway_process() as second:
            code = await asyncio.to_thread(second.wait, 20)
            assert code == 1
            assert second.stderr is not None
            assert b"another gateway trades sim.main" in second.stderr.read()
        assert platform.status()["ready"]


def check_frames(platform: Platform) -> None:
    """As received, and without secrets."""
    frames = platform.frames()
    assert any("executionReport" in f for f in frames)
    assert any('"request":"POST order"' in f for f in frames)
    assert all(API_KEY not in f and API_SECRET not in f for f in frames)
    assert not any(re.search(r"signature=[0-9a-f]{8}", f) for f in frames)


async def test_an_unreadable_command_is_a_dead_letter_and_the_next_one_is_obeyed(platform: Platform) -> None:
    async with platform.marked(), platform.gateway():
        platform.write_raw(ORDERS_INTENTS, b'[{"type":"SubmitOrder"}]')
        await resting(platform)
        (letter,) = platform.read(DEAD_LETTERS)
    assert (letter.topic, letter.payload) == ("orders.intents", b'[{"type":"SubmitOrder"}]')


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"secret": "wrong"}, 2, "refuses the API key"),
        ({"url": "http://127.0.0.1:1/api/v3"}, 1, "cannot be reached"),
    ],
)
async def test_a_venue_that_cannot_be_used_is_one_line_and_an_exit_code(
    platform: Platform, changes: dict[str, str], code: int, says: str
) -> None:
    if "url" in changes:
        platform.raw["venues"]["sim"]["rest_url"] = changes["url"]
    with platform.gateway_process(secret=changes.get("secret")) as process:
        assert await asyncio.to_thread(process.wait, 10) == code
        assert process.stderr is not None
        (line,) = process.stderr.read().decode().splitlines()
    assert says in line


# --- helpers -------------------------------------------------------------------------------------------------------


def digest(command: SubmitOrder) -> str:
    return venue_client_id(command.client_order_id, command.account)


async def resting(platform: Platform) -> tuple[SubmitOrder, CancelOrder]:
    """An order that the venue has accepted, away from the market, and the command that would cancel it."""
    bid, _ = await platform.touch()
    command = order(bid - 200)
    platform.write(command)
    await platform.until_facts(command.client_order_id, "OrderAccepted")
    return command, CancelOrder(
        command_id=f"cancel-{command.client_order_id}",
        client_order_id=command.client_order_id,
        strategy=command.strategy,
        account=command.account,
        instrument=command.instrument,
        ts_init=time.time_ns(),
    )


async def passed(platform: Platform, make: Callable[[], SubmitOrder]) -> SubmitOrder:
    """An order that passes the checks: asked anew until what was put in force a moment ago is."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        command = make()
        platform.write(command)
        (first, *_) = await until(lambda cid=command.client_order_id: platform.facts(cid), "a decision")
        if isinstance(first, OrderRequested):
            return command
    raise AssertionError(f"denied by {first.check}")


async def refused_probe(platform: Platform, check: str = "tick_size") -> str:
    """A command that is denied: once its answer is there, everything before it was dealt with."""
    command = order(Decimal("0.001"), strategy="probe")
    platform.write(command)
    (denied,) = await platform.until_facts(command.client_order_id, "OrderDenied")
    assert denied.check == check
    return command.client_order_id


async def by_hand(platform: Platform, **params: str | Decimal) -> None:
    async with Client(platform.exchange) as client:
        wanted = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "newClientOrderId": "by-hand", **params}
        status, answer = await client.signed("POST", "/api/v3/order", **wanted)
    assert status == 200, answer


def venue_orders(platform: Platform, command: SubmitOrder) -> int:
    """How many orders the venue has ever taken for a command, by its own ledger."""
    return sum(digest(command) in str(line) for line in platform.exchange.ledger().orders.values())


def position(platform: Platform) -> Decimal:
    fills = [f for f in platform.facts() if isinstance(f, OrderFilled) and f.strategy == "tester"]
    return sum((f.side.sign * f.last_qty for f in fills), Decimal(0))
