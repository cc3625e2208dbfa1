"""Two chained toy stages with a repartition between them, small enough to be folded in the head."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from topics.catalog import MARKET_EVENTS, STRATEGY_INBOX
from topics.coordinates import At
from topics.market import Tick, Trade
from topics.record import Record, Side
from topics.stage import EVERY, Stage
from topics.strategy import Signal, StrategyRecord


class Count(msgspec.Struct):
    """Of one instrument."""

    trades: int = 0
    volume: Decimal = Decimal(0)
    ticks: int = 0


class Tally(msgspec.Struct):
    """Of one strategy: signals by instrument."""

    signals: dict[str, int] = {}


def trade(instrument: str, number: int) -> Trade:
    return Trade(
        instrument=instrument,
        trade_id=str(number),
        price=Decimal("10.00"),
        size=Decimal(number) / 100,
        aggressor=Side.BUY,
        ts_event=number,
        ts_init=number,
    )


def trades(first: int, last: int) -> Iterator[Trade]:
    """Numbers [first, last), of twelve instruments in turn."""
    return (trade(f"x:{'ABCDEFGHIJKL'[n % 12]}", n) for n in range(first, last))


def _count_key(event: Any) -> str | None:
    if isinstance(event, Tick):
        return EVERY
    return event.instrument if isinstance(event, Trade) else None


def _count(state: Count | None, event: Any, at: At) -> tuple[Count, Iterator[Record]]:
    state = state or Count()
    if isinstance(event, Tick):
        state.ticks += 1
        return state, iter(())
    if event.trade_id == "poison":
        raise ArithmeticError("the toy does not like this trade")
    state.trades += 1
    state.volume += event.size
    strategy = f"s{sum(event.instrument.encode()) % 5}"
    data = {"volume": str(state.volume), "ticks": str(state.ticks)}
    signal = Signal(name="count", value=float(state.trades), data=data, strategy=strategy, instrument=event.instrument)
    return state, iter((signal,))


def _tally_key(event: Any) -> str | None:
    return event.strategy if isinstance(event, Signal) else None


def _tally(state: Tally | None, event: Any, at: At) -> tuple[Tally, Iterator[Record]]:
    state = state or Tally()
    n = state.signals[event.instrument] = state.signals.get(event.instrument, 0) + 1
    data = {"n": str(n), "count": str(int(event.value)), **event.data}
    return state, iter((StrategyRecord(strategy=event.strategy, name=event.instrument, data=data, ts_init=n),))


COUNT = Stage("count", MARKET_EVENTS, Count, _count_key, _count, outputs=(Signal,))
TALLY = Stage("tally", STRATEGY_INBOX, Tally, _tally_key, _tally, outputs=(StrategyRecord,))
STAGES: dict[str, Stage[Any]] = {s.name: s for s in (COUNT, TALLY)}
