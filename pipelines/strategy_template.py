"""What ``tapedeck strategy new NAME`` writes: a strategy that trades, its test, and its section of a configuration."""

import importlib.util
import keyword
import re
from pathlib import Path

from infra.errors import Hopeless


def write_strategy(name: str, folder: Path) -> list[Path]:
    """``NAME.py``, ``test_NAME.py`` and ``NAME.toml``. Problem where the name cannot be a module's, or is taken."""
    _check(name)
    files = {f"{name}.py": STRATEGY, f"test_{name}.py": TEST, f"{name}.toml": CONFIG}
    for file in files:
        if (folder / file).exists():
            raise Hopeless(f"{folder / file} exists already: choose another name or --dir")
    if importlib.util.find_spec(name) is not None:
        raise Hopeless(f"{name!r} is the name of an installed module: choose another one")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file).write_text(_filled(text, name))
    return [folder / file for file in files]


def _check(name: str) -> None:
    if keyword.iskeyword(name):
        raise Hopeless(f"{name!r} cannot be a strategy's module: it is a keyword of Python")
    if re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) is None:
        raise Hopeless(
            f"{name!r} cannot be a strategy's module: up to 40 small letters, digits and '_', a letter first, like dip_buyer"
        )


def _filled(text: str, name: str) -> str:
    words = [word for word in name.split("_") if word]
    filled = text.replace("@NAME@", name).replace("@CLASS@", "".join(word.capitalize() for word in words))
    return filled.replace("@TITLE@", " ".join(words).capitalize())


STRATEGY = '''"""@TITLE@: buys when the price has fallen a step, sells when it has risen one. A beginning: change all of it.

Two halves of pure callbacks, run by two workers. The market half (on_quote, on_trade, on_book) sees one instrument and
yields Signals. The decision half (on_signal, on_bar, on_order, on_position, on_tick, on_params, on_start) sees the desk
and yields commands. Neither may read a clock, a file or a random number: the time is `desk.now` or an event's `ts_init`.
That is why the very same code trades, papers, backtests, and replays to the same bytes.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from strategies import BPS, Decision, Desk, OrderStatus, OrderUpdated, Pace, Quote, Side, Signal, Strategy, Tick


class @CLASS@(Strategy):
    # What the configuration may set. Quantities and prices are Decimal, written as strings in TOML to keep their digits.
    class Params(msgspec.Struct, frozen=True):
        order_qty: Decimal
        step_bps: Decimal = Decimal(5)  # basis points of the price
        max_age_ms: int = 5000  # an older quote than this is no quote
        requote_ms: int = 1000  # at most one new order in this time

        def __post_init__(self) -> None:  # what is refused here is refused at the start, in one line
            if self.order_qty <= 0 or self.step_bps <= 0:
                raise ValueError("order_qty and step_bps must be above 0")

    # What the market half remembers of one instrument. Every field has a default; there is no other memory.
    class View(msgspec.Struct):
        reference: Decimal | None = None

    # What the decision half remembers. Positions, orders and quotes are on the desk already.
    class State(msgspec.Struct):
        pace: Pace = msgspec.field(default_factory=Pace)

    params: Params

    def on_quote(self, view: View, quote: Quote) -> Iterator[Signal]:
        """Yield little: each signal is a record on the tape, and one more decision to make."""
        if view.reference is None:
            view.reference = quote.mid
        move = (quote.mid - view.reference) / view.reference
        if abs(move) >= self.params.step_bps * BPS:
            view.reference = quote.mid
            yield Signal("move", float(move))

    def on_signal(self, state: State, desk: Desk, signal: Signal) -> Iterator[Decision]:
        instrument, held = signal.instrument, desk.quantity(signal.instrument)
        quote = desk.quote(instrument, self.params.max_age_ms)
        if quote is None or desk.working(instrument) or not state.pace.ready(instrument, desk.now):
            return
        if signal.value < 0 and held == 0:
            side, price, qty = Side.BUY, quote.best_bid, self.params.order_qty
        elif signal.value > 0 and held > 0:
            side, price, qty = Side.SELL, quote.best_ask, desk.round_qty(instrument, held)
        else:
            return
        if not desk.may_trade(instrument, side) or not desk.valid_qty(instrument, qty, price):
            return
        state.pace.hold(instrument, desk.now, self.params.requote_ms)
        yield self.record("step", instrument=instrument, move=signal.value)  # its own reasons, for you to read later
        yield desk.limit(instrument, side, price, qty, post_only=True, reason=f"moved {signal.value:+.6f}")

    def on_order(self, state: State, desk: Desk, order: OrderUpdated) -> Iterator[Decision]:
        """After a refusal wait longer: what was refused once will be refused again."""
        if order.status in (OrderStatus.DENIED, OrderStatus.REJECTED):
            state.pace.hold(order.instrument, desk.now, 5 * self.params.requote_ms)
        yield from ()

    def on_tick(self, state: State, desk: Desk, tick: Tick) -> Iterator[Decision]:
        """Ten a second. Without a fresh quote it is blind, and what rests is withdrawn."""
        for instrument in sorted(desk.instruments):
            if desk.quote(instrument, self.params.max_age_ms) is None:
                for order in desk.working(instrument):
                    if not order.pending_cancel:
                        yield desk.cancel(order, reason="blind")
'''

TEST = '''"""A strategy is tested by calling it: no broker, no clock, no mocks. Run: python -m pytest test_@NAME@.py"""

from decimal import Decimal

import pytest
from @NAME@ import @CLASS@

from strategies import (
    Desk,
    Instrument,
    OrderStatus,
    OrderType,
    OrderUpdated,
    PositionChanged,
    Quote,
    Side,
    Signal,
    Tick,
)

BTC = "sim:BTC-USDT"
SECOND = 1_000_000_000
STRATEGY = @CLASS@(@CLASS@.Params(order_qty=Decimal("0.01"), step_bps=Decimal(10)))
DEFINITION = Instrument(
    instrument=BTC,
    venue="sim",
    venue_symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00001"),
    min_notional=Decimal(5),
    ts_init=0,
)


def quote(bid: str, ask: str, ts: int = 0) -> Quote:
    sizes = {"bid_size": Decimal(1), "ask_size": Decimal(1)}
    return Quote(instrument=BTC, best_bid=Decimal(bid), best_ask=Decimal(ask), **sizes, ts_event=ts, ts_init=ts)


def order(status: OrderStatus) -> OrderUpdated:
    return OrderUpdated(
        client_order_id="one",
        account="sim.main",
        instrument=BTC,
        strategy="@NAME@",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        order_qty=Decimal("0.01"),
        price=Decimal("60000.00"),
        status=status,
        leaves_qty=Decimal("0.01"),
        fact="OrderAccepted",
        ts_init=0,
    )


def long(quantity: str) -> PositionChanged:
    held = Decimal(quantity)
    return PositionChanged(
        account="sim.main",
        strategy="@NAME@",
        instrument=BTC,
        base="BTC",
        quote="USDT",
        quantity=held,
        bought_qty=held,
        avg_px=Decimal(60000),
        last_px=Decimal(60000),
        ts_event=0,
        ts_init=0,
    )


def move(value: float) -> Signal:
    return Signal("move", value, instrument=BTC)


NOW = quote("60000.00", "60000.02")


def test_a_signal_comes_when_the_price_has_moved_a_step() -> None:
    view = STRATEGY.View()
    assert list(STRATEGY.on_quote(view, NOW)) == []
    assert list(STRATEGY.on_quote(view, quote("60010.00", "60010.02"))) == []
    (signal,) = STRATEGY.on_quote(view, quote("59930.00", "59930.02"))
    assert signal.value == pytest.approx(-70 / 60000, rel=1e-3)


def test_it_joins_the_bid_when_the_price_fell() -> None:
    desk = Desk.of([DEFINITION], quotes=[NOW])
    record, bought = STRATEGY.on_signal(STRATEGY.State(), desk, move(-0.001))
    assert record.name == "step"
    assert (bought.side, bought.price, bought.order_qty) == (Side.BUY, Decimal("60000.00"), Decimal("0.01"))


def test_it_sells_what_it_holds_when_the_price_rose() -> None:
    desk = Desk.of([DEFINITION], quotes=[NOW], positions=[long("0.007")])
    _, sold = STRATEGY.on_signal(STRATEGY.State(), desk, move(0.001))
    assert (sold.side, sold.price, sold.order_qty) == (Side.SELL, Decimal("60000.02"), Decimal("0.007"))


def test_it_has_one_order_at_a_time_and_keeps_its_pace() -> None:
    state = STRATEGY.State()
    working = Desk.of([DEFINITION], quotes=[NOW], orders=[order(OrderStatus.NEW)])
    assert list(STRATEGY.on_signal(state, working, move(-0.001))) == []
    free = Desk.of([DEFINITION], quotes=[NOW])
    assert len(list(STRATEGY.on_signal(state, free, move(-0.001)))) == 2
    assert list(STRATEGY.on_signal(state, free, move(-0.001))) == []


def test_after_a_denial_it_waits() -> None:
    state, desk = STRATEGY.State(), Desk.of([DEFINITION], quotes=[NOW])
    list(STRATEGY.on_order(state, desk, order(OrderStatus.DENIED)))
    assert list(STRATEGY.on_signal(state, desk, move(-0.001))) == []


def test_blind_it_withdraws_what_rests() -> None:
    later = 60 * SECOND
    desk = Desk.of([DEFINITION], quotes=[NOW], orders=[order(OrderStatus.NEW)], now=later)
    (cancel,) = STRATEGY.on_tick(STRATEGY.State(), desk, Tick(n=1, ts_init=later))
    assert cancel.client_order_id == "one"


def test_parameters_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        STRATEGY.Params(order_qty=Decimal(0))
'''

CONFIG = """\
# Put this into tapedeck.toml, with your account and instruments. The module is found in the folders of PYTHONPATH.
# First:  PYTHONPATH=. tapedeck backtest @NAME@:@CLASS@ --params '{"order_qty": "0.001"}' --from <capture>

[strategies.@NAME@]
class = "@NAME@:@CLASS@"
account = "binance.main"
instruments = ["binance:BTC-USDT"]

[strategies.@NAME@.params]
order_qty = "0.001"           # base units
step_bps = "5"
"""
