"""Positions, balances and the portfolio, as derived from fills, marks and account events."""

from decimal import Decimal

from topics.record import Account, Currency, InstrumentId, Payoff, Record, StrategyId


class PositionChanged(Record, frozen=True, kw_only=True):
    """What a strategy has traded on an account and instrument, fees apart (what is *held* is in the balances).

    ``quantity`` is signed, in base units or contracts. The four sums are exact whatever the order of executions; ``avg_px`` (None
    when flat) and ``realized_pnl`` (before fees) follow the order of executions on the tape. Values are in ``settle`` (empty:
    the quote); those of inverse contracts are below 0 (``Fill.value``).
    """

    account: Account
    strategy: StrategyId
    instrument: InstrumentId
    base: Currency
    quote: Currency
    settle: Currency = ""
    quantity: Decimal
    avg_px: Decimal | None = None
    realized_pnl: Decimal = Decimal(0)
    bought_qty: Decimal = Decimal(0)
    sold_qty: Decimal = Decimal(0)
    bought_value: Decimal = Decimal(0)
    sold_value: Decimal = Decimal(0)
    fees: dict[Currency, Decimal] = {}
    multiplier: Decimal = Decimal(1)
    payoff: Payoff = Payoff.SPOT
    fills: int = 0
    last_px: Decimal
    ts_event: int
    ts_init: int


class BalanceChanged(Record, frozen=True, kw_only=True):
    """The venue's word on one currency of an account (``account.events``). ``reason``: snapshot, trade, deposit, withdrawal."""

    account: Account
    currency: Currency
    free: Decimal
    locked: Decimal
    reason: str
    ts_event: int
    ts_init: int


class PortfolioLine(Record, frozen=True, kw_only=True):
    """One line of the live portfolio: (account, strategy, instrument), where an empty name sums over it. Values in the reporting currency."""

    account: Account
    strategy: StrategyId = ""
    instrument: InstrumentId = ""
    currency: Currency
    quantity: Decimal = Decimal(0)
    mark: Decimal | None = None
    gross_exposure: Decimal = Decimal(0)
    net_exposure: Decimal = Decimal(0)
    realized_pnl: Decimal = Decimal(0)
    unrealized_pnl: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    total_pnl: Decimal = Decimal(0)
    peak_pnl: Decimal = Decimal(0)
    drawdown: Decimal = Decimal(0)
    complete: bool = True
    """False where a mark or a rate was missing and a part is not valued."""
    ts_init: int
