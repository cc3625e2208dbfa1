"""What a strategy is: one class whose callbacks turn market events into signals, and what is on its desk into commands.

A user declares three structs and overrides the callbacks needed:

- ``Params``: frozen, decoded strictly from configuration, read as ``self.params``;
- ``View``: per instrument, kept by the signals stage, given to the market callbacks;
- ``State``: per strategy, kept by the intents stage, given to the decision callbacks.

Every field of ``View`` and ``State`` has a default. They are kept as MessagePack, so a fold must not depend on the
identity of objects in them, nor on the order of a dict; sets and untyped fields are refused. Nothing else remembers:
attributes cannot be assigned, and class attributes are constants.

A callback yields (or returns a list of, or None) what is to happen; when it raises, nothing of it happens and the
strategy is halted until a named resume. It may have changed its state by then: ``on_start`` is called again after the
resume.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from strategies.declared import check_class, check_struct
from strategies.desk import Desk
from topics.book import Book
from topics.market import Bar, Quote, Tick, Trade
from topics.orders import CancelAll, CancelOrder, ModifyOrder, OrderUpdated, SubmitOrder
from topics.portfolio import PositionChanged
from topics.record import InstrumentId
from topics.strategy import Signal, StrategyRecord

Decision = SubmitOrder | ModifyOrder | CancelOrder | CancelAll | StrategyRecord
Signals = Iterable[Signal] | None
Decisions = Iterable[Decision] | None

BPS = Decimal("0.0001")
"""A basis point, as a fraction."""

MARKET_CALLBACKS = ("on_quote", "on_trade", "on_book")
"""Run by the signals stage; all others by the intents stage."""


class StrategyError(ValueError):
    """A strategy or its parameters cannot be used; one line that says why."""


class Strategy:
    """Immutable: new parameters make a new instance (``with_params``)."""

    Params: ClassVar[type[msgspec.Struct]] = msgspec.defstruct("Params", (), frozen=True)
    View: ClassVar[type[msgspec.Struct]] = msgspec.defstruct("View", ())
    State: ClassVar[type[msgspec.Struct]] = msgspec.defstruct("State", ())

    params: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_class(cls)

    def __init__(self, params: msgspec.Struct | None = None) -> None:
        params = self.Params() if params is None else params
        if not isinstance(params, self.Params):
            raise TypeError(f"{type(self).__name__} wants its own Params, not {type(params).__name__}")
        check_struct(self.View)
        check_struct(self.State)
        object.__setattr__(self, "params", params)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"{type(self).__name__}.{name}: a strategy has no attributes of its own; declare a field of State or View"
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is read-only")

    def with_params(self, params: msgspec.Struct) -> "Strategy":
        return type(self)(params)

    def overrides(self, callback: str) -> bool:
        return getattr(type(self), callback) is not getattr(Strategy, callback)

    def record(self, name: str, /, *, instrument: InstrumentId = "", **data: object) -> StrategyRecord:
        """Something about its own reasons to write down; yield it. Values are kept as text; the host fills the rest."""
        return StrategyRecord(
            strategy="", name=name, data={k: str(v) for k, v in data.items()}, instrument=instrument, ts_init=0
        )

    # --- market callbacks: one instrument's view and event, in order -----------------------------------------------

    def on_quote(self, view: Any, quote: Quote) -> Signals:
        """A new best bid or ask, or a new size there."""

    def on_trade(self, view: Any, trade: Trade) -> Signals:
        """A public trade."""

    def on_book(self, view: Any, book: Book) -> Signals:
        """The book after a change; kept only where this is overridden. Silent between a gap and the next snapshot."""

    # --- decision callbacks: everything of one strategy, in the order of its inbox ---------------------------------

    def on_start(self, state: Any, desk: Desk) -> Decisions:
        """Before the first other callback, and again after every resume."""

    def on_signal(self, state: Any, desk: Desk, signal: Signal) -> Decisions:
        """A signal of its own market callbacks."""

    def on_bar(self, state: Any, desk: Desk, bar: Bar) -> Decisions:
        """A closed bar of a kind it subscribes to: each once, ``ts_open`` growing; what comes late for it is not told here."""

    def on_order(self, state: Any, desk: Desk, order: OrderUpdated) -> Decisions:
        """One of its orders after one more fact; the desk has it already."""

    def on_position(self, state: Any, desk: Desk, position: PositionChanged) -> Decisions:
        """Its position on one instrument after an execution."""

    def on_tick(self, state: Any, desk: Desk, tick: Tick) -> Decisions:
        """The clock, ten a second."""

    def on_params(self, state: Any, desk: Desk, before: Any) -> Decisions:
        """Other parameters are in force: ``self.params``, no longer ``before``."""


def fault(error: Exception) -> str:
    """One line about what a callback raised: the same in every run of one version."""
    where = ""
    if error.__traceback__ is not None:
        last = error.__traceback__
        while last.tb_next is not None:
            last = last.tb_next
        file = re.split(r"[\\/]", last.tb_frame.f_code.co_filename)[-1]
        where = f" ({file}:{last.tb_lineno})"
    text = re.sub(r"\b0x[0-9a-f]+\b", "0x…", str(error))
    return f"{type(error).__name__}: {text}{where}".replace("\n", " ")
