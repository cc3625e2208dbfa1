"""Backtests of contracts: what a run has earned is what a plain recomputation from its executions comes to."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipelines.backtest import Settings
from pipelines.backtest_plan import plan
from pipelines.backtest_run import run_backtest
from pipelines.backtest_source import open_source
from strategies.api import Decision, Strategy
from strategies.desk import Desk
from tests.pipelines.backtests import events
from tests.pipelines.test_backtest_recordings import begun, recording
from topics.catalog import ACCOUNT_EVENTS, FILLS, ORDERS_EVENTS, PORTFOLIO_STATE, POSITIONS
from topics.market import Quote
from topics.orders import OrderDenied, OrderRejected
from topics.portfolio import BalanceChanged
from topics.record import Payoff, Side
from topics.strategy import Signal


class BothWays(Strategy):
    """Long, short and flat in turn, at the market, some contracts more each time."""

    class Params(msgspec.Struct, frozen=True):
        pass

    class View(msgspec.Struct):
        seen: int = 0

    class State(msgspec.Struct):
        turns: int = 0

    def on_quote(self, view: Any, quote: Quote) -> Iterator[Signal]:
        view.seen += 1
        if view.seen % 40 == 0:
            yield Signal("now", 1.0, data={"bid": str(quote.best_bid), "ask": str(quote.best_ask)})

    def on_signal(self, state: Any, desk: Desk, signal: Signal) -> Iterator[Decision]:
        if desk.working(signal.instrument):
            return
        held = desk.quantity(signal.instrument)
        target = (1, -1, 0)[state.turns % 3] * Decimal(10 + state.turns)
        if held != target:
            state.turns += 1
            side = Side.BUY if target > held else Side.SELL
            price = signal.data["ask" if side is Side.BUY else "bid"]
            away = Decimal("1.002") if side is Side.BUY else Decimal("0.998")
            limit = desk.round_price(signal.instrument, Decimal(price) * away, side)
            yield desk.limit(signal.instrument, side, limit, abs(target - held))


@pytest.mark.parametrize(
    ("name", "payoff", "size", "settle"),
    [
        ("hftbacktest/cm/btcusd_perp_20240808.gz", Payoff.INVERSE, 100, "BTC"),
        ("hftbacktest/usdm/ethusdt_20240808.gz", Payoff.LINEAR, 1, "USDT"),
    ],
)
def test_a_backtest_of_contracts_earns_what_its_executions_say(
    tmp_path: Path, name: str, payoff: Payoff, size: int, settle: str
) -> None:
    path = begun(recording(name), tmp_path, 0, 8_000)
    made = plan(None, f"{__name__}:BothWays", [path], {}, "contracts", tmp_path)
    fee = Decimal("0.0005")
    run_backtest(made.config, open_source([path], "sim"), Settings(maker=fee, taker=fee))
    run = made.config.run_dir
    fills, facts = events(run, FILLS), events(run, ORDERS_EVENTS)
    assert not [
        (getattr(f, "check", ""), getattr(f, "value", f)) for f in facts if isinstance(f, OrderDenied | OrderRejected)
    ]
    assert len(fills) >= 12
    assert {f.side for f in fills} == set(Side)
    assert {(f.payoff, f.multiplier, f.settle, f.fee_currency) for f in fills} == {(payoff, size, settle, settle)}

    def unit(px: Decimal) -> Fraction:
        return Fraction(-size) / Fraction(px) if payoff is Payoff.INVERSE else size * Fraction(px)

    held = sum((f.side.sign * Fraction(f.last_qty) for f in fills), Fraction(0))
    paid = sum((f.side.sign * Fraction(f.last_qty) * unit(f.last_px) for f in fills), Fraction(0))
    fees = sum((Fraction(f.fee) for f in fills), Fraction(0))
    line = [p for p in events(run, PORTFOLIO_STATE) if not p.strategy and not p.instrument][-1]
    mark = [p.mark for p in events(run, PORTFOLIO_STATE) if p.instrument][-1]
    slack = Fraction(len(fills) + 2, 10**18)
    assert (line.currency, line.complete) == (settle, True)
    assert abs(Fraction(line.total_pnl) - (held * unit(mark) - paid - fees)) <= slack
    assert abs(Fraction(line.net_exposure) - held * abs(unit(mark))) <= slack
    assert sum((abs(f.fee - abs(f.value) * fee) for f in fills), Decimal(0)) <= Decimal(len(fills)) / 10**8

    position, balances = (
        events(run, POSITIONS)[-1],
        [b for b in events(run, ACCOUNT_EVENTS) if isinstance(b, BalanceChanged)],
    )
    assert {b.currency for b in balances} == {settle}
    gained = Fraction(balances[-1].free + balances[-1].locked) - Fraction(balances[0].free + balances[0].locked)
    rounding = Fraction(3 * len(fills), 10**8)
    assert abs(gained - (Fraction(position.realized_pnl) - fees)) <= rounding
    tied_up = abs(held * unit(position.avg_px)) if position.avg_px is not None else Fraction(0)
    assert abs(Fraction(balances[-1].locked) - tied_up) <= rounding
