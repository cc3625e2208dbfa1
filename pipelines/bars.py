"""bars: ``market.events`` to ``market.bars``, keyed by instrument.

    time-5s        the trades of [ts_open, ts_close) by the venue's clock, edges on whole multiples of the length
    tick-100       so many trades
    volume-2.5     trades until their sizes come to that much
    notional-1000  trades until their values (price times size) do

A time bar closes on the venue's clock: at the first trade at or past ``ts_close``, or, when trades are few, at a book
change or a tick of ours that is ``LATENESS_NS`` past it (streams of one connection overtake each other by some
milliseconds). Our clock is set against the venue's by the newest event's receive time, since a venue's clock may be off
by seconds. An interval without trades makes no bar.

What was told stays told. A trade that comes after its bar was closed (a connection stalled) tells the bar again, whole,
with ``revision`` one more; where its interval was passed over without a bar, it makes one of revision 1. So revision 0
comes in turn, each interval once, ``ts_open`` growing; of an interval the highest revision is what a query over all
trades makes of it. Open and close are its first and its last trade on the tape, whatever their times. A closed bar is
kept until the venue's time is ``KEPT_NS`` past its end. A trade for an older one, and one dated more than a minute after
we received it, are in no time bar: the next bar that comes in turn tells how many these were (``late``).

The others take every trade, in the order of the tape, whatever its time; a trade is never split, the one that fills a bar is
its last, and the next bar begins with nothing. None of them knows of midnight.

A bar says how many of the book's gaps touched it: between a gap and the next snapshot trades may be missing too.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from pipelines.bar_tally import Tally
from pipelines.clock_skew import BELIEVED_NS, believed
from topics.catalog import MARKET_EVENTS
from topics.coordinates import At
from topics.market import Bar, BookDelta, BookSnapshot, Gap, Tick, Trade
from topics.record import InstrumentId, Record
from topics.stage import EVERY, Outputs, Stage

LATENESS_NS: Final = 500_000_000
KEPT_NS: Final = BELIEVED_NS
"""As far as a trade may be dated ahead, and so close bars early."""


class BarsState(msgspec.Struct):
    """By rule: the ``open`` bar; the time bars ``kept`` since they were closed, as they were told; how many trades came
    ``too_late`` and were told to no bar yet; ``missed``: gaps told to no bar yet, where the time bar begins that they
    fall into (0: the next one), and how many.

    ``closed_to``: bars that end by then are closed; ``behind``: our receive time minus the venue's, of the newest
    event. ``broken``: the book has a gap that no snapshot has ended yet.
    """

    instrument: InstrumentId
    open: dict[str, Tally] = {}
    kept: dict[str, list[Tally]] = {}
    closed_to: int = 0
    behind: int = 0
    too_late: dict[str, int] = {}
    broken: bool = False
    missed: dict[str, tuple[int, int]] = {}


class TimeRule(msgspec.Struct, frozen=True):
    length_ns: int

    def start(self, ts: int) -> int:
        return ts - ts % self.length_ns


class TickRule(msgspec.Struct, frozen=True):
    trades: int

    def fills(self, bar: Tally) -> bool:
        return bar.trades >= self.trades


class VolumeRule(msgspec.Struct, frozen=True):
    volume: Decimal

    def fills(self, bar: Tally) -> bool:
        return bar.volume >= self.volume


class NotionalRule(msgspec.Struct, frozen=True):
    notional: Decimal

    def fills(self, bar: Tally) -> bool:
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
            else:
                _count_late(state, rules.timed)
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
    for spec, rule in rules.timed.items():
        start = rule.start(trade.ts_event)
        end = start + rule.length_ns
        if end > state.closed_to:
            _add(state, spec, trade, start, end)
        elif end > state.closed_to - KEPT_NS:
            yield _revised(state, spec, trade, start, end)
        else:
            _count_late(state, (spec,))
    state.closed_to = max(state.closed_to, trade.ts_event)


def _close(state: BarsState, rules: Rules, ts_venue: int, ts_init: int) -> Iterator[Record]:
    """Every bar whose edge lies at or before ``ts_venue``."""
    for spec in rules.timed:
        bar = state.open.get(spec)
        if bar is not None and bar.ts_close <= ts_venue:
            del state.open[spec]
            state.closed_to = max(state.closed_to, bar.ts_close)
            bar.late = state.too_late.pop(spec, 0)
            _keep(state, spec, bar)
            yield bar.told(state.instrument, spec, ts_init)


def _revised(state: BarsState, spec: str, trade: Trade, start: int, end: int) -> Bar:
    """A closed bar with one trade more; where there was none, one of this trade."""
    bar = next((bar for bar in state.kept.get(spec, ()) if bar.ts_open == start), None)
    if bar is None:
        bar = Tally.of(trade, start, end, _missed(state, spec, start))
        _keep(state, spec, bar)
    else:
        bar.count(trade)
    bar.revision += 1
    return bar.told(state.instrument, spec, trade.ts_init)


def _keep(state: BarsState, spec: str, bar: Tally) -> None:
    oldest = state.closed_to - KEPT_NS
    state.kept[spec] = [kept for kept in state.kept.get(spec, ()) if kept.ts_close > oldest] + [bar]


def _count_late(state: BarsState, specs: Iterable[str]) -> None:
    for spec in specs:
        state.too_late[spec] = state.too_late.get(spec, 0) + 1


# --- bars that are filled ---------------------------------------------------------------------------------------------


def _on_filled(state: BarsState, rules: Rules, trade: Trade) -> Iterator[Record]:
    for spec, rule in rules.filled.items():
        bar = _add(state, spec, trade, trade.ts_event, trade.ts_event)
        bar.ts_close = trade.ts_event
        if rule.fills(bar):
            yield state.open.pop(spec).told(state.instrument, spec, trade.ts_init)


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
    """The gaps that the bar which opens now has missed, an open one at least; those of a later interval wait for it."""
    begins, gaps = state.missed.get(spec, (0, 0))
    if begins <= start:
        state.missed.pop(spec, None)
    return max(gaps if begins in (0, start) else 0, int(state.broken))


# --- one bar ----------------------------------------------------------------------------------------------------------


def _add(state: BarsState, spec: str, trade: Trade, start: int, end: int) -> Tally:
    """The trade in the open bar, which opens with it where there is none."""
    bar = state.open.get(spec)
    if bar is None:
        bar = state.open[spec] = Tally.of(trade, start, end, _missed(state, spec, start))
    else:
        bar.count(trade)
    return bar
