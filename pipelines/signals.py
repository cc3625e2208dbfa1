"""market.events → strategy.inbox: one strategy's market callbacks, each instrument with its own view. Key: instrument.

A callback that raises yields nothing for that event and halts the strategy by a ``StrategyHalted`` on its inbox.
Nothing resumes a signals stage, so it goes on calling; while the fault lasts it says so once a second of receive time,
so that a resume in the middle does not hide it.
"""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from strategies.api import Strategy, fault
from topics.book import Book
from topics.catalog import MARKET_EVENTS
from topics.coordinates import At
from topics.market import BookDelta, BookSnapshot, Gap, Quote, Trade
from topics.record import Record, StrategyId
from topics.routes import Subscription
from topics.stage import Outputs, Stage
from topics.strategy import Signal, StrategyHalted

V = TypeVar("V")

HALT_EVERY_NS = 1_000_000_000


class Seen(msgspec.Struct, Generic[V]):
    """``quote`` is None before the first one and after a gap; ``book`` is kept only for a strategy that reads it."""

    view: V
    quote: Quote | None = None
    book: Book | None = None
    halted_at: int = -HALT_EVERY_NS


def signals_stage(strategy_id: StrategyId, strategy: Strategy, subscription: Subscription) -> Stage[Any]:
    def state_key(event: Any) -> str | None:
        instrument = getattr(event, "instrument", None)
        return instrument if instrument in subscription.instruments else None

    def on_event(state: Seen[Any] | None, event: Any, at: At) -> tuple[Seen[Any], Outputs]:
        state = Seen(strategy.View()) if state is None else state
        return state, _fold(strategy_id, strategy, state, event)

    return Stage(
        name=f"signals/{strategy_id}",
        input=MARKET_EVENTS,
        state_type=Seen[strategy.View],  # type: ignore[name-defined]
        state_key=state_key,
        on_event=on_event,
        outputs=(Signal, StrategyHalted),
        reads=_reads(strategy),
    )


def _reads(strategy: Strategy) -> tuple[type[Record], ...]:
    """Quotes always: every signal carries the last one."""
    trades = (Trade,) if strategy.overrides("on_trade") else ()
    book = (BookSnapshot, BookDelta) if strategy.overrides("on_book") else ()
    return (Quote, Gap, *trades, *book)


def _fold(strategy_id: StrategyId, strategy: Strategy, state: Seen[Any], event: Any) -> list[Record]:
    match event:
        case Quote():
            state.quote = event
            return _call(strategy_id, strategy, state, event, "on_quote", event)
        case Trade():
            return _call(strategy_id, strategy, state, event, "on_trade", event)
        case BookSnapshot() | BookDelta():
            _fold_book(strategy, state, event)
            return [] if state.book is None else _call(strategy_id, strategy, state, event, "on_book", state.book)
        case Gap():
            state.quote, state.book = None, None
    return []


def _fold_book(strategy: Strategy, state: Seen[Any], event: BookSnapshot | BookDelta) -> None:
    if not strategy.overrides("on_book"):
        return
    if isinstance(event, BookSnapshot):
        state.book = Book.of(event)
    elif state.book is not None:
        state.book.apply(event)


def _call(
    strategy_id: StrategyId, strategy: Strategy, state: Seen[Any], event: Any, callback: str, seen: object
) -> list[Record]:
    if not strategy.overrides(callback):
        return []
    try:
        return _signals(strategy_id, state.quote, event, getattr(strategy, callback)(state.view, seen))
    except Exception as error:  # noqa: BLE001 a strategy's fault is a record, and stops this strategy alone
        if event.ts_init - state.halted_at < HALT_EVERY_NS:
            return []
        state.halted_at = event.ts_init
        return [StrategyHalted(strategy=strategy_id, where=callback, error=fault(error), ts_init=event.ts_init)]


def _signals(strategy_id: StrategyId, quote: Quote | None, event: Any, yielded: Iterable[Any] | None) -> list[Record]:
    found: list[Record] = []
    for signal in () if yielded is None else yielded:
        if not isinstance(signal, Signal):
            raise TypeError(f"a market callback yields signals, not {type(signal).__name__}")
        found.append(_filled(strategy_id, quote, event, signal))
    return found


def _filled(strategy_id: StrategyId, quote: Quote | None, event: Any, signal: Signal) -> Signal:
    return replace(
        signal,
        strategy=strategy_id,
        instrument=event.instrument,
        best_bid=None if quote is None else quote.best_bid,
        bid_size=None if quote is None else quote.bid_size,
        best_ask=None if quote is None else quote.best_ask,
        ask_size=None if quote is None else quote.ask_size,
        ts_event=event.ts_event,
        ts_init=event.ts_init,
    )
