"""The three examples, on the exchange's matching core: on a recorded capture that they share, and on generated flow."""

import gzip
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from adapters.simulated import model as sim
from adapters.simulated.core import MARKET, Core
from adapters.simulated.flow import Place, flow
from adapters.simulated.instruments import TABLE
from adapters.simulated.units import decimal, units
from strategies import Strategy, load_strategy
from tests.pipelines.in_process import ACCOUNT, Loop, name_of
from topics.market import Quote, Trade
from topics.orders import SubmitOrder
from topics.record import Liquidity, Side
from topics.routes import Subscription

START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
SPEED = 5


def three(buyer: str, quoter: str, cross: str, half_spread_bps: str) -> dict[str, Strategy]:
    """With these order quantities; as in the demo."""
    return {
        "buyer": load_strategy(
            "strategies.spread_buyer:SpreadBuyer",
            {"order_qty": buyer, "max_spread_bps": "1", "min_gain_bps": "0.1", "max_hold_s": 1, "repeg_bps": "0.02"},
        ),
        "quoter": load_strategy(
            "strategies.two_sided_quoter:TwoSidedQuoter",
            {"order_qty": quoter, "max_qty": 5 * Decimal(quoter), "half_spread_bps": half_spread_bps},
        ),
        "cross": load_strategy(
            "strategies.moving_average_cross:MovingAverageCross",
            {
                "fast": 1,
                "slow": 3,
                "order_qty": cross,
                "max_qty": 3 * Decimal(cross),
                "allow_short": True,
                "slippage_bps": "0.1",
            },
        ),
    }


def subscriptions(symbols: dict[str, str]) -> dict[str, Subscription]:
    return {
        s: Subscription(account=ACCOUNT, instruments=(name_of(symbol),), bars=("time-1s",) if s == "cross" else ())
        for s, symbol in symbols.items()
    }


def check(loop: Loop) -> None:
    assert loop.halts == []
    assert loop.self_trades == 0
    for strategy in loop.strategies:
        fills = [f for f in loop.fills if f.strategy == strategy]
        assert len(fills) >= 20, strategy
        assert {f.side for f in fills} == {Side.BUY, Side.SELL}, strategy
        orders = [c for c in loop.commands if isinstance(c, SubmitOrder) and c.strategy == strategy]
        assert max(Counter(c.ts_init // SECOND for c in orders).values()) <= 5, strategy
    passive = [f for f in loop.fills if f.strategy == "quoter" and f.liquidity is Liquidity.MAKER]
    assert len(passive) >= 10


# --- a recorded capture, five times as fast ---------------------------------------------------------------------------


class Frame(msgspec.Struct):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    lastUpdateId: int = 0
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []


def frames(path: Path) -> Iterator[tuple[int, Frame]]:
    """With the time of each since the first, divided by the speed."""
    first = None
    with gzip.open(path, "rb") as lines:
        for line in lines:
            at, _, raw = line.partition(b" ")
            first = int(at) if first is None else first
            yield (int(at) - first) // SPEED, msgspec.json.decode(raw, type=Frame)


def levels(side: list[list[str]] | list[tuple[str, str]]) -> list[tuple[int, int]]:
    return [(units(price), units(qty)) for price, qty in side]


def recorded(frame: Frame) -> sim.Recorded:
    """As the exchange's own capture reader has it."""
    if not frame.stream:
        return sim.BookSnapshot(frame.lastUpdateId, levels(frame.bids), levels(frame.asks))
    d = msgspec.json.decode(frame.data)
    if frame.stream.endswith("bookTicker"):
        return sim.BestQuote(d["u"], units(d["b"]), units(d["B"]), units(d["a"]), units(d["A"]))
    if frame.stream.endswith("trade"):
        return sim.MarketTrade(units(d["p"]), units(d["q"]), d["m"])
    return sim.BookDelta(d["U"], d["u"], levels(d["b"]), levels(d["a"]))


def publish(loop: Loop, symbol: str, event: sim.Recorded, n: int) -> None:
    name, now = name_of(symbol), loop.now
    match event:
        case sim.BestQuote():
            loop.publish(quote(name, (event.bid, event.bid_qty), (event.ask, event.ask_qty), now))
        case sim.MarketTrade():
            side = Side.SELL if event.buyer_is_maker else Side.BUY
            loop.publish(trade(name, n, event.price, event.qty, side, now))


def quote(name: str, bid: tuple[int, int], ask: tuple[int, int], now: int) -> Quote:
    return Quote(
        instrument=name,
        best_bid=decimal(bid[0]),
        bid_size=decimal(bid[1]),
        best_ask=decimal(ask[0]),
        ask_size=decimal(ask[1]),
        ts_event=now,
        ts_init=now,
    )


def trade(name: str, n: int, price: int, qty: int, side: Side, now: int) -> Trade:
    return Trade(
        instrument=name,
        trade_id=str(n),
        price=decimal(price),
        size=decimal(qty),
        aggressor=side,
        ts_event=now,
        ts_init=now,
    )


@pytest.mark.parametrize(("symbol", "qty"), [("BTCUSDT", "0.01"), ("ETHUSDT", "0.2")])
def test_on_a_capture_that_they_share_each_buys_and_sells_and_none_meets_another(
    data_dir: Path, symbol: str, qty: str
) -> None:
    core = Core([TABLE[symbol]], recorded=[symbol])
    strategies = three(qty, qty, qty, half_spread_bps="0.2")
    loop = Loop(core, strategies, subscriptions(dict.fromkeys(strategies, symbol)), START)
    path = data_dir / "hftbacktest" / "spot" / f"{symbol.lower()}_20240808.gz"
    for n, (elapsed, frame) in enumerate(frames(path)):
        if elapsed > 60 * SECOND:
            break
        loop.run_to(START + elapsed)
        event = recorded(frame)
        loop.told(core.feed(loop.now, symbol, event))
        publish(loop, symbol, event, n)
    check(loop)


# --- generated flow ---------------------------------------------------------------------------------------------------


def play_flow(seed: int, seconds: int, recode_every: int | None = None) -> Loop:
    symbols = {"buyer": "BTCUSDT", "quoter": "ETHUSDT", "cross": "SOLUSDT"}
    instruments = [TABLE[symbol] for symbol in symbols.values()]
    core = Core(instruments)
    strategies = three("0.01", "0.2", "5", half_spread_bps="0.05")
    loop = Loop(core, strategies, subscriptions(symbols), START, recode_every)
    touch: dict[str, tuple[object, object]] = {}
    for action in flow(instruments, seed):
        if action.at_ns > seconds * SECOND:
            return loop
        loop.run_to(START + action.at_ns)
        if isinstance(action, Place):
            events = core.submit(loop.now, market_order(action))
        else:
            events = core.cancel(loop.now, MARKET, action.symbol, client_order_id=action.client_order_id)
        loop.told(events)
        for e in events:
            if isinstance(e, sim.Printed):
                side = Side.SELL if e.buyer_is_maker else Side.BUY
                loop.publish(trade(name_of(e.symbol), e.trade_id, e.price, e.qty, side, loop.now))
        book = core.market(action.symbol)
        bid, ask = book.best(sim.Side.BUY), book.best(sim.Side.SELL)
        if bid is not None and ask is not None and touch.get(action.symbol) != (bid, ask):
            touch[action.symbol] = (bid, ask)
            loop.publish(quote(name_of(action.symbol), bid, ask, loop.now))
    raise AssertionError("flow does not end")


def market_order(place: Place) -> sim.NewOrder:
    return sim.NewOrder(
        account=MARKET,
        symbol=place.symbol,
        side=place.side,
        type=place.type,
        client_order_id=place.client_order_id,
        time_in_force=place.time_in_force,
        qty=place.qty,
        price=place.price,
        self_trade_prevention=sim.SelfTradePrevention.NONE,
    )


def test_on_generated_flow_each_buys_and_sells_on_its_instrument() -> None:
    check(play_flow(seed=7, seconds=60))


def test_the_same_flow_makes_the_same_commands_whether_state_was_kept_live_or_stored() -> None:
    live, stored = play_flow(seed=7, seconds=8), play_flow(seed=7, seconds=8, recode_every=1)
    assert live.commands == stored.commands
    assert len(live.commands) > 20
