"""portfolio.inbox -> portfolio.state. One state for everything: global exposure is a serial point on purpose.

A line per (account, strategy, instrument) that ever traded, one per (account, strategy), one per account; the sums add
up their lines, so the gross exposure of an account does not net one strategy against another. All values are in the
account's reporting currency, converted at the mids of the venue's own spot marks (directly, inversely, or through one
currency between); ``mark`` stays in the instrument's quote. Exposure is what a
position is worth where it is settled, with the sign of its quantity. What lacks a mark or a rate is left out and the line says
so with ``complete`` False; such a line's peak and drawdown stay what they were, since its total is not one.

A change of position is told at once, with the sums above it. Marks are told at ticks, at most once a second of the
ticks' time, for the lines that changed. Balances (what is held) and controls pass by: a line tells what was traded.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import reduce
from typing import NamedTuple

import msgspec

from pipelines.contracts import can_be_valued, exposure, value
from pipelines.exact import EXACT, ZERO, localcontext, ratio
from topics.catalog import PORTFOLIO_INBOX
from topics.controls import InForce
from topics.coordinates import At
from topics.market import Instrument, Mark, Tick
from topics.portfolio import BalanceChanged, PortfolioLine, PositionChanged
from topics.record import Account, Currency, InstrumentId, StrategyId, Venue, venue_of
from topics.stage import Outputs, Stage

PERIOD_NS = 1_000_000_000

LineKey = tuple[Account, StrategyId, InstrumentId]
Inbox = PositionChanged | BalanceChanged | Mark | Instrument | Tick | InForce


class Portfolio(msgspec.Struct):
    """``pairs``: the spot instrument of a venue's (base, quote); ``marks``: mids; ``lines``: as last told;
    ``flushed_ts``: the tick that marks were last told at; ``stale``: marks or definitions came since."""

    positions: dict[LineKey, PositionChanged] = {}
    marks: dict[InstrumentId, Decimal] = {}
    pairs: dict[tuple[Venue, Currency, Currency], InstrumentId] = {}
    currencies: dict[Account, Currency] = {}
    """What an account's first position is settled in: its reporting currency where none is configured."""
    lines: dict[LineKey, PortfolioLine] = {}
    flushed_ts: int = 0
    stale: bool = False

    def rate(self, venue: Venue, currency: Currency, into: Currency) -> Decimal | None:
        """What one unit of ``currency`` is worth; None where the venue's marks do not say."""
        direct = self._direct_rate(venue, currency, into)
        if direct is not None:
            return direct
        between = sorted({c for v, base, quote in self.pairs if v == venue for c in (base, quote)})
        for middle in between:
            first, second = self._direct_rate(venue, currency, middle), self._direct_rate(venue, middle, into)
            if first is not None and second is not None:
                return EXACT.multiply(first, second)
        return None

    def _direct_rate(self, venue: Venue, currency: Currency, into: Currency) -> Decimal | None:
        if currency == into:
            return Decimal(1)
        forth = self.marks.get(self.pairs.get((venue, currency, into), ""), ZERO)
        back = self.marks.get(self.pairs.get((venue, into, currency), ""), ZERO)
        if forth > 0:
            return forth
        return ratio(Decimal(1), back) if back > 0 else None


class Worth(NamedTuple):
    """Values in the reporting currency; they add up."""

    gross: Decimal = ZERO
    net: Decimal = ZERO
    realized: Decimal = ZERO
    unrealized: Decimal = ZERO
    fees: Decimal = ZERO
    complete: bool = True

    @classmethod
    def of(cls, state: Portfolio, position: PositionChanged, into: Currency) -> "Worth":
        """Unrealized is the total less what is realized, so that the two add up to the exact sums."""
        venue, mark = venue_of(position.account), state.marks.get(position.instrument)
        rate = state.rate(venue, position.settle or position.quote, into)
        fees, fees_complete = _fees(state, venue, position.fees, into)
        if rate is None:
            return cls(fees=fees, complete=False)
        realized, flat = position.realized_pnl * rate, position.quantity == 0
        worth = ZERO if flat else _worth(position, mark)
        if worth is None:
            return cls(realized=realized, fees=fees, complete=False)
        earned = (position.sold_value - position.bought_value + worth) * rate
        net = exposure(position.payoff, worth) * rate
        return cls(abs(net), net, realized, earned - realized, fees, fees_complete)

    def plus(self, other: "Worth") -> "Worth":
        amounts = (self.gross + other.gross, self.net + other.net, self.realized + other.realized)
        rest = (self.unrealized + other.unrealized, self.fees + other.fees, self.complete and other.complete)
        return Worth(*amounts, *rest)


def _worth(position: PositionChanged, mark: Decimal | None) -> Decimal | None:
    """In its settlement currency; None where no mark says."""
    if mark is None or not can_be_valued(position.payoff, position.multiplier, mark):
        return None
    return value(position.payoff, position.multiplier, position.quantity, mark)


def _fees(state: Portfolio, venue: Venue, fees: Mapping[Currency, Decimal], into: Currency) -> tuple[Decimal, bool]:
    rates = {currency: state.rate(venue, currency, into) for currency, fee in fees.items() if fee != 0}
    total = sum((fees[currency] * rate for currency, rate in rates.items() if rate is not None), ZERO)
    return total, all(rate is not None for rate in rates.values())


def _told(state: Portfolio, account: Account, into: Currency, told: Iterable[LineKey] | None, ts: int) -> Outputs:
    """The account's lines that differ from what was told last: instruments, then strategies, then the account.

    ``told`` narrows them (None: all).
    """
    positions = {key: state.positions[key] for key in sorted(state.positions) if key[0] == account}
    worths = {key: Worth.of(state, position, into) for key, position in positions.items()}
    sums: dict[LineKey, Worth] = {}
    for (_, strategy, _), worth in worths.items():
        sums[account, strategy, ""] = sums.get((account, strategy, ""), Worth()).plus(worth)
    whole: dict[LineKey, Worth] = {(account, "", ""): reduce(Worth.plus, sums.values(), Worth())}
    wanted = None if told is None else set(told)
    for key, worth in (worths | sums | whole).items():
        line = _line(state, key, worth, into, ts)
        if (wanted is None or key in wanted) and line is not None:
            state.lines[key] = line
            yield line


def _line(state: Portfolio, key: LineKey, worth: Worth, currency: Currency, ts: int) -> PortfolioLine | None:
    """None when it is what was told last."""
    account, strategy, instrument = key
    known, position = state.lines.get(key), state.positions.get(key)
    total = worth.realized + worth.unrealized - worth.fees
    peak, drawdown = (known.peak_pnl, known.drawdown) if known is not None else (ZERO, ZERO)
    if worth.complete:
        peak = max(peak, total)
        drawdown = peak - total
    line = PortfolioLine(
        account=account,
        strategy=strategy,
        instrument=instrument,
        currency=currency,
        quantity=ZERO if position is None else position.quantity,
        mark=state.marks.get(instrument),
        gross_exposure=worth.gross,
        net_exposure=worth.net,
        realized_pnl=worth.realized,
        unrealized_pnl=worth.unrealized,
        fees=worth.fees,
        total_pnl=total,
        peak_pnl=peak,
        drawdown=drawdown,
        complete=worth.complete,
        ts_init=ts if known is None else known.ts_init,
    )
    return None if line == known else msgspec.structs.replace(line, ts_init=ts)


class _Valuation:
    """The fold, for the configured reporting currencies."""

    def __init__(self, reporting: Mapping[Account, Currency]) -> None:
        self.reporting = dict(reporting)

    def on_event(self, state: Portfolio | None, event: Inbox, at: At) -> tuple[Portfolio, Outputs]:
        state = state or Portfolio()
        with localcontext(EXACT):
            match event:
                case PositionChanged():
                    return state, self._position(state, event)
                case Tick():
                    return state, self._tick(state, event)
                case Mark():
                    _mark(state, event)
                case Instrument():
                    _define(state, event)
                case BalanceChanged() | InForce():
                    pass
        return state, ()

    def _position(self, state: Portfolio, changed: PositionChanged) -> Outputs:
        account, strategy, instrument = changed.account, changed.strategy, changed.instrument
        state.currencies.setdefault(account, changed.settle or changed.quote)
        state.positions[account, strategy, instrument] = changed
        told = ((account, strategy, instrument), (account, strategy, ""), (account, "", ""))
        return list(_told(state, account, self._currency(state, account), told, changed.ts_init))

    def _tick(self, state: Portfolio, tick: Tick) -> Outputs:
        if not state.stale or tick.ts_init - state.flushed_ts < PERIOD_NS:
            return ()
        state.stale, state.flushed_ts = False, tick.ts_init
        accounts = [(account, self._currency(state, account)) for account in sorted(state.currencies)]
        return [line for account, into in accounts for line in _told(state, account, into, None, tick.ts_init)]

    def _currency(self, state: Portfolio, account: Account) -> Currency:
        return self.reporting.get(account, state.currencies[account])


def _mark(state: Portfolio, mark: Mark) -> None:
    mid = mark.mid
    if mid.is_finite() and state.marks.get(mark.instrument) != mid:
        state.marks[mark.instrument], state.stale = mid, True


def _define(state: Portfolio, definition: Instrument) -> None:
    pair = (definition.venue, definition.base, definition.quote)
    if definition.kind == "spot" and state.pairs.get(pair) != definition.instrument:
        state.pairs[pair], state.stale = definition.instrument, True


def portfolio_stage(reporting: Mapping[Account, Currency]) -> Stage[Portfolio]:
    """``reporting``: each account's reporting currency; the quote of its first position where it has none."""
    return Stage(
        name="portfolio",
        input=PORTFOLIO_INBOX,
        state_type=Portfolio,
        state_key=lambda event: "portfolio",
        on_event=_Valuation(reporting).on_event,
        outputs=(PortfolioLine,),
    )


STAGE = portfolio_stage({})
