"""Generated flow: the same for the same seed, and lively enough to trade in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise, takewhile

import pytest

from adapters.simulated.core import Core
from adapters.simulated.flow import Action, Place, flow
from adapters.simulated.instruments import TABLE
from adapters.simulated.model import Event, NewOrder, OrderType, Printed, Refused, Side
from adapters.simulated.players import market_order
from adapters.simulated.settlement import MARKET

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
MINUTE = 60_000_000_000


def actions(seed: int, until_ns: int = MINUTE) -> list[Action]:
    instruments = [TABLE[symbol] for symbol in SYMBOLS]
    return list(takewhile(lambda action: action.at_ns <= until_ns, flow(instruments, seed)))


def play(core: Core, seed: int) -> Iterator[tuple[Action, list[Event]]]:
    for action in actions(seed):
        if isinstance(action, Place):
            yield action, core.submit(action.at_ns, market_order(action))
        else:
            yield action, core.cancel(action.at_ns, MARKET, action.symbol, client_order_id=action.client_order_id)


def venue() -> Core:
    return Core([TABLE[symbol] for symbol in SYMBOLS])


def test_a_seed_gives_one_sequence_and_another_seed_another() -> None:
    assert actions(7) == actions(7)
    assert actions(7) != actions(8)


def test_without_clients_a_seed_gives_the_same_trades_and_books() -> None:
    first, second = venue(), venue()
    assert [events for _, events in play(first, 7)] == [events for _, events in play(second, 7)]
    for symbol in SYMBOLS:
        assert first.market(symbol).depth(50) == second.market(symbol).depth(50)


def test_actions_are_in_the_order_of_time_and_every_instrument_trades() -> None:
    times = [action.at_ns for action in actions(7)]
    assert times == sorted(times)
    trades = Counter(event.symbol for _, events in play(venue(), 7) for event in events if isinstance(event, Printed))
    assert all(trades[symbol] > 100 for symbol in SYMBOLS)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_spread_is_small_most_of_the_time_and_the_book_never_empty(symbol: str) -> None:
    core, spreads = venue(), []
    for action, _ in play(core, 7):
        bid, ask = core.market(symbol).best(Side.BUY), core.market(symbol).best(Side.SELL)
        if action.at_ns > 0:
            assert bid is not None
            assert ask is not None
            spreads.append((ask[0] - bid[0]) // TABLE[symbol].tick)
    spreads.sort()
    assert spreads[0] == 1
    assert spreads[len(spreads) // 2] <= 8
    assert len(set(spreads)) > 3


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_post_only_quote_at_the_touch_fills_several_times_a_minute(symbol: str) -> None:
    core = venue()
    core.open_account(0, "us", {"BTC": 10**10, "ETH": 10**11, "SOL": 10**12, "USDT": 10**15})
    quantity = {"BTCUSDT": 100_000, "ETHUSDT": 1_000_000, "SOLUSDT": 10_000_000}[symbol]
    next_quote_ns, number = 0, 0
    for action, _ in play(core, 7):
        if action.at_ns <= next_quote_ns:
            continue
        next_quote_ns = action.at_ns + 1_000_000_000
        core.cancel_all(action.at_ns, "us", symbol)
        for side in Side:
            best, number = core.market(symbol).best(side), number + 1
            assert best is not None
            refused = core.submit(
                action.at_ns,
                NewOrder(
                    account="us",
                    symbol=symbol,
                    side=side,
                    type=OrderType.LIMIT_MAKER,
                    client_order_id=f"q{number}",
                    qty=quantity,
                    price=best[0],
                ),
            )[0]
            assert not isinstance(refused, Refused)
    sides = Counter(one.order.side for one in core.executions("us", symbol))
    assert sides[Side.BUY] >= 5
    assert sides[Side.SELL] >= 5


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_moving_averages_on_one_second_bars_cross_often(symbol: str) -> None:
    core = venue()
    closes: dict[int, int] = {}
    for action, _ in play(core, 7):
        closes[action.at_ns // 1_000_000_000] = core.reference_price(symbol)
    prices = [closes[second] for second in sorted(closes)]
    above = [sum(prices[end - 2 : end]) * 5 > sum(prices[end - 5 : end]) * 2 for end in range(5, len(prices) + 1)]
    crossings = sum(one != other for one, other in pairwise(above))
    assert crossings >= 12
