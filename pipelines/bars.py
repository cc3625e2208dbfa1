"""bars: ``market.events`` to ``market.bars``, keyed by instrument.

    time-5s        the trades of [ts_open, ts_close) by the venue's clock, edges on whole multiples of the length
    tick-100       so many trades
    volume-2.5     trades until their sizes come to that much
    notional-1000  trades until their values (price times size) do

A time bar closes on the venue's clock: at the first trade at or past ``ts_close``, or, when trades are few, at a book
change or a tick of ours that is ``LATENESS_NS`` past it (streams of one connection overtake each other by some
milliseconds). Our clock is set against the venue's by the newest event's receive time, since a venue's clock may be off
by seconds. An interval without trades makes no bar. A trade whose bar was closed before it came is counted as late and
is in no time bar; so is one dated more than a minute after we received it.

The others take every trade, in the order of the tape, whatever its time; a trade is never split, the one that fills a bar is
its last, and the next bar begins with nothing. None of them knows of midnight.

A bar says how many of the book's gaps touched it: between a gap and the next snapshot trades may be missing too.
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
from topics.market import Bar, BookDelta, BookSnapshot, Gap, Tick, Trade
from topics.record import InstrumentId, Record
from topics.stage import EVERY, Outputs, Stage

LATENESS_NS: Final = 500_000_000


class OpenBar(msgspec.Struct):
    """``ts_close`` of a time bar is its edge, not yet reached; of another one the time of its last trade."""

    ts_open: int
    ts_close: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    notional: Decimal
    trades: int
    gaps: int = 0


class BarsState(msgspec.Struct):
    """``closed_to``: bars that end by then are closed; ``behind``: our receive time minus the venue's, of the newest
    event. ``broken``: the book has a gap that no snapshot has ended yet. ``missed``: gaps told to no bar yet, by rule:
    where the time bar begins that they fall into (0: the next one), and how many.
    """

    instrument: InstrumentId
    open: dict[str, OpenBar] = {}
    closed_to: int = 0
    behind: int = 0
    late: int = 0
    broken: bool = False
    missed: dict[str, tuple[int, int]] = {}


class TimeRule(msgspec.Struct, frozen=True):
    length_ns: int

    def start(self, ts: int) -> int:
        return ts - ts % self.length_ns


class TickRule(msgspec.Struct, frozen=True):
    trades: int

    def fills(self, bar: OpenBar) -> bool:
        return bar.trades >= self.trades


class VolumeRule(msgspec.Struct, frozen=True):
    volume: Decimal

    def fills(self, bar: OpenBar) -> bool:
        return bar.volume >= self.volume


class NotionalRule(msgspec.Struct, frozen=True):
    notional: Decimal

    def fills(self, bar: OpenBar) -> bool:
        return bar.notional >= self.notional


Filled = TickRule | VolumeRule | NotionalRule
Rule = TimeRule | Filled
AMOUNT = r"(?=.*[1-9])((?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,18})?)"
RULES: Final[tuple[tuple[re.Pattern[str], Callable[[str], Rule]], ...]] = (
    (re.compile(r"time-([1-9][0-9]{0,6})s"), lambda n: TimeRule(int(n) * 1_000_000_000)),
    (re.compile(r"tick-([1-9][0-9]{0,8})"), lambda n: TickRule(int(n))),
    (re.compile(f"volume-{AMOUNT}"), lambda amount: VolumeRule(Decimal(amount))),
    (re.compile(f"notional-{AMOUNT}"), lambda amount: NotionalRule(Decimal(amount))),
)
"""The spelling of a rule and what it makes of it."""


def rule_of(spec: str) -> Rule:
    """ValueError says what a specification looks like."""
    for pattern, make in RULES:
        found = pattern.fullmatch(spec)
        if found is not None:
            return make(found[1])
    raise ValueError(
        f"not a bar: {spec!r} (time-<seconds>s, tick-<trades>, volume-<size>, notional-<value>, like time-5s)"
    )


class Rules(msgspec.Struct, frozen=True):
    """Of one instrument, by specification, in its order."""

    timed: dict[str, TimeRule] = {}
    filled: dict[str, Filled] = {}

    @classmethod
    def of(cls, specs: tuple[str, ...]) -> "Rules":
        found = {spec: rule_of(spec) for spec in sorted(specs)}
        timed = {spec: rule for spec, rule in found.items() if isinstance(rule, TimeRule)}
        return cls(timed, {spec: rule for spec, rule in found.items() if not isinstance(rule, TimeRule)})


def bars_stage(specs: Mapping[InstrumentId, tuple[str, ...]]) -> Stage[BarsState]:
    """``specs``: the bars of each instrument; one without any is passed over."""
    rules = {instrument: Rules.of(wanted) for instrument, wanted in specs.items() if wanted}

    def state_key(event: Any) -> str | None:
        if isinstance(event, Tick):
            return EVERY
        return event.instrument if event.instrument in rules else None

    def on_event(state: BarsState | None, event: Any, at: At) -> tuple[BarsState, Outputs]:
        state = BarsState(event.instrument) if state is None else state
        return state, list(_fold(state, rules.get(state.instrument, Rules()), event))

    return Stage(
        name="bars",
        input=MARKET_EVENTS,
        state_type=BarsState,
        state_key=state_key,
        on_event=on_event,
        outputs=(Bar,),
        reads=(Trade, BookDelta, BookSnapshot, Gap, Tick) if rules else (),
    )


def _fold(state: BarsState, rules: Rules, event: Any) -> Iterator[Record]:
    match event:
        case Trade():
            if believed(event.ts_event, event.ts_init):
                state.behind = event.ts_init - event.ts_event
                yield from _on_timed(state, rules, event)
            elif rules.timed:
                state.late += 1
            yield from _on_filled(state, rules, event)
        case BookDelta() if believed(event.ts_event, event.ts_init):
            state.behind = event.ts_init - event.ts_event
            yield from _close(state, rules, event.ts_event - LATENESS_NS, event.ts_init)
        case Tick():
            yield from _close(state, rules, event.ts_init - state.behind - LATENESS_NS, event.ts_init)
        case Gap():
            _on_gap(state, rules, event.ts_init - state.behind)
        case BookSnapshot():
            state.broken = False


# --- bars of time -----------------------------------------------------------------------------------------------------


def _on_timed(state: BarsState, rules: Rules, trade: Trade) -> Iterator[Record]:
    if not rules.timed:
        return
    yield from _close(state, rules, trade.ts_event, trade.ts_init)
    starts = {spec: (rule.start(trade.ts_event), rule.length_ns) for spec, rule in rules.timed.items()}
    for spec, (start, length) in starts.items():
        if start + length > state.closed_to:
            _add(state, spec, trade, start, start + length)
    state.late += any(start + length <= state.closed_to for start, length in starts.values())
    state.closed_to = max(state.closed_to, trade.ts_event)


def _close(state: BarsState, rules: Rules, ts_venue: int, ts_init: int) -> Iterator[Record]:
    """Every bar whose edge lies at or before ``ts_venue``."""
    for spec in rules.timed:
        bar = state.open.get(spec)
        if bar is not None and bar.ts_close <= ts_venue:
            del state.open[spec]
            state.closed_to = max(state.closed_to, bar.ts_close)
            yield _told(state.instrument, spec, bar, ts_init)


# --- bars that are filled ---------------------------------------------------------------------------------------------


def _on_filled(state: BarsState, rules: Rules, trade: Trade) -> Iterator[Record]:
    for spec, rule in rules.filled.items():
        bar = _add(state, spec, trade, trade.ts_event, trade.ts_event)
        bar.ts_close = trade.ts_event
        if rule.fills(bar):
            yield _told(state.instrument, spec, state.open.pop(spec), trade.ts_init)


# --- gaps -------------------------------------------------------------------------------------------------------------


def _on_gap(state: BarsState, rules: Rules, ts_venue: int) -> None:
    state.broken = True
    for spec in (*rules.timed, *rules.filled):
        timed = rules.timed.get(spec)
        bar = state.open.get(spec)
        if bar is not None and (timed is None or ts_venue < bar.ts_close):
            bar.gaps += 1
        else:
            start = 0 if timed is None else timed.start(ts_venue)
            before = state.missed.get(spec)
            state.missed[spec] = (start, before[1] + 1 if before is not None and before[0] == start else 1)


def _missed(state: BarsState, spec: str, start: int) -> int:
    """The gaps that the bar which opens now has missed, an open one at least."""
    begins, gaps = state.missed.pop(spec, (0, 0))
    return max(gaps if begins in (0, start) else 0, int(state.broken))


# --- one bar ----------------------------------------------------------------------------------------------------------


def _add(state: BarsState, spec: str, trade: Trade, start: int, end: int) -> OpenBar:
    """The trade in its bar, which opens with it where there is none."""
    price, value = trade.price, EXACT.multiply(trade.price, trade.size)
    bar = state.open.get(spec)
    if bar is None:
        gaps = _missed(state, spec, start)
        bar = state.open[spec] = OpenBar(start, end, price, price, price, price, trade.size, value, 1, gaps)
        return bar
    bar.high = max(bar.high, price)
    bar.low = min(bar.low, price)
    bar.close = price
    bar.volume = EXACT.add(bar.volume, trade.size)
    bar.notional = EXACT.add(bar.notional, value)
    bar.trades += 1
    return bar


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
        gaps=bar.gaps,
        ts_open=bar.ts_open,
        ts_close=bar.ts_close,
        ts_init=ts_init,
    )
