"""bars: ``market.events`` to ``market.bars``, keyed by instrument. ``time-<n>s`` bars; the other rules have their
place in ``RULES``.

A bar holds the trades of [ts_open, ts_close) by the venue's clock, its edges on whole multiples of its length, and it
closes on that clock too: at the first trade at or past ``ts_close``, or, when trades are few, at a book change or a
tick of ours that is ``LATENESS_NS`` past it (streams of one connection overtake each other by some milliseconds). Our
clock is set against the venue's by the newest event's receive time, since a venue's clock may be off by seconds. An
interval without trades makes no bar. A trade whose bar was closed before it came is counted as late and is in none;
so is one dated more than a minute after we received it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from pipelines.clock_skew import believed
from pipelines.exact import EXACT
from topics.catalog import MARKET_EVENTS
from topics.coordinates import At
from topics.market import Bar, BookDelta, Tick, Trade
from topics.record import InstrumentId, Record
from topics.stage import EVERY, Outputs, Stage

LATENESS_NS: Final = 500_000_000


class OpenBar(msgspec.Struct):
    """``ts_close`` is its edge, not yet reached."""

    ts_open: int
    ts_close: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    notional: Decimal
    trades: int


class BarsState(msgspec.Struct):
    """``closed_to``: bars that end by then are closed; ``behind``: our receive time minus the venue's, of the newest
    event.
    """

    instrument: InstrumentId
    open: dict[str, OpenBar] = {}
    closed_to: int = 0
    behind: int = 0
    late: int = 0


class TimeRule(msgspec.Struct, frozen=True):
    length_ns: int

    def interval(self, ts: int) -> tuple[int, int]:
        start = ts - ts % self.length_ns
        return start, start + self.length_ns


RULES: Final[tuple[tuple[re.Pattern[str], Callable[[str], TimeRule]], ...]] = (
    (re.compile(r"time-([1-9][0-9]{0,6})s"), lambda n: TimeRule(int(n) * 1_000_000_000)),
)
"""The spelling of a rule and what it makes of it. Tick, volume and notional bars belong here."""


def rule_of(spec: str) -> TimeRule:
    """ValueError says what a specification looks like."""
    for pattern, make in RULES:
        found = pattern.fullmatch(spec)
        if found is not None:
            return make(found[1])
    raise ValueError(f"not a bar: {spec!r} (time-<seconds>s, like time-5s)")


def bars_stage(specs: Mapping[InstrumentId, tuple[str, ...]]) -> Stage[BarsState]:
    """``specs``: the bars of each instrument; one without any is passed over."""
    rules = {
        instrument: {spec: rule_of(spec) for spec in sorted(wanted)} for instrument, wanted in specs.items() if wanted
    }

    def state_key(event: Any) -> str | None:
        if isinstance(event, Tick):
            return EVERY
        return event.instrument if event.instrument in rules else None

    def on_event(state: BarsState | None, event: Any, at: At) -> tuple[BarsState, Outputs]:
        state = BarsState(event.instrument) if state is None else state
        return state, list(_fold(state, rules.get(state.instrument, {}), event))

    return Stage(
        name="bars",
        input=MARKET_EVENTS,
        state_type=BarsState,
        state_key=state_key,
        on_event=on_event,
        outputs=(Bar,),
        reads=(Trade, BookDelta, Tick) if rules else (),
    )


def _fold(state: BarsState, rules: Mapping[str, TimeRule], event: Any) -> Iterator[Record]:
    match event:
        case Trade() if believed(event.ts_event, event.ts_init):
            state.behind = event.ts_init - event.ts_event
            yield from _on_trade(state, rules, event)
        case Trade():
            state.late += 1
        case BookDelta() if believed(event.ts_event, event.ts_init):
            state.behind = event.ts_init - event.ts_event
            yield from _close(state, event.ts_event - LATENESS_NS, event.ts_init)
        case Tick():
            yield from _close(state, event.ts_init - state.behind - LATENESS_NS, event.ts_init)


def _on_trade(state: BarsState, rules: Mapping[str, TimeRule], trade: Trade) -> Iterator[Record]:
    yield from _close(state, trade.ts_event, trade.ts_init)
    intervals = {spec: rule.interval(trade.ts_event) for spec, rule in rules.items()}
    for spec, (start, end) in intervals.items():
        if end > state.closed_to:
            _add(state.open, spec, start, end, trade)
    state.late += any(end <= state.closed_to for _, end in intervals.values())
    state.closed_to = max(state.closed_to, trade.ts_event)


def _close(state: BarsState, ts_venue: int, ts_init: int) -> Iterator[Record]:
    """Every bar whose edge lies at or before ``ts_venue``."""
    for spec in sorted(s for s, bar in state.open.items() if bar.ts_close <= ts_venue):
        bar = state.open.pop(spec)
        state.closed_to = max(state.closed_to, bar.ts_close)
        yield _told(state.instrument, spec, bar, ts_init)


def _add(bars: dict[str, OpenBar], spec: str, start: int, end: int, trade: Trade) -> None:
    value = EXACT.multiply(trade.price, trade.size)
    bar = bars.get(spec)
    if bar is None:
        bars[spec] = OpenBar(start, end, trade.price, trade.price, trade.price, trade.price, trade.size, value, 1)
        return
    bar.high = max(bar.high, trade.price)
    bar.low = min(bar.low, trade.price)
    bar.close = trade.price
    bar.volume = EXACT.add(bar.volume, trade.size)
    bar.notional = EXACT.add(bar.notional, value)
    bar.trades += 1


def _told(instrument: InstrumentId, spec: str, bar: OpenBar, ts_init: int) -> Bar:
    return Bar(
        instrument=instrument,
        spec=spec,
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
        notional=bar.notional,
        trades=bar.trades,
        ts_open=bar.ts_open,
        ts_close=bar.ts_close,
        ts_init=ts_init,
    )
