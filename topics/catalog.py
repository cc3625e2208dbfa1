"""The topics: what each carries, how it is partitioned and kept. Created up front; partition counts never change afterwards.

What is shown as a state topic is two: the full log, which replay compares, and ``<name>.latest``, compacted, for those who start.
"""

from dataclasses import dataclass

from topics import controls, market, orders, portfolio, strategy, system
from topics.record import Record

DAY_MS = 86_400_000
MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # a real snapshot frame is over 5 MB


@dataclass(frozen=True, eq=False)
class Topic:
    """``types`` is what a record's array may hold; empty where the value is not ours to parse (raw frames).

    ``retention_ms`` is of logs; a compacted topic keeps every key, unless ``forget_ms`` forgets those not told of for so long.
    """

    name: str
    types: tuple[type[Record], ...] = ()
    partitions: int = 4
    compacted: bool = False
    retention_ms: int = 30 * DAY_MS
    forget_ms: int | None = None

    def config(self) -> dict[str, str]:
        """The broker's settings for it. Broker time, because played captures carry old times and would expire at once."""
        common = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(MAX_MESSAGE_BYTES)}
        if self.compacted:
            forgets = {"cleanup.policy": "compact,delete", "retention.ms": str(self.forget_ms)}
            keeps = {"cleanup.policy": "compact"}
            return common | (keeps if self.forget_ms is None else forgets) | {"min.cleanable.dirty.ratio": "0.1"}
        return common | {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}


MARKET_RAW = Topic("market.raw", retention_ms=7 * DAY_MS)
"""Frames as received, one ``<recv_ns> <key> <frame>`` per line (``pipelines.raw``); the key is the instrument, and Kafka's too."""
INGEST_REQUESTS = Topic("ingest.requests", (market.ResyncRequested,), partitions=1)
VENUE_PRIVATE = Topic("venue.private", partitions=1, retention_ms=365 * DAY_MS)
MARKET_EVENTS = Topic(
    "market.events",
    (
        market.BookSnapshot,
        market.BookDelta,
        market.BookOrders,
        market.BookOrderAdded,
        market.BookOrderChanged,
        market.BookOrderRemoved,
        market.BookOrdersLost,
        market.Trade,
        market.Quote,
        market.Ticker,
        market.Funding,
        market.OpenInterest,
        market.Liquidation,
        market.InstrumentStatus,
        market.Gap,
        market.Instrument,
        market.Tick,
    ),
    retention_ms=7 * DAY_MS,
)
MARKET_BARS = Topic("market.bars", (market.Bar,))
INSTRUMENTS = Topic("instruments", (market.Instrument,), retention_ms=365 * DAY_MS)
STRATEGY_INBOX = Topic(
    "strategy.inbox",
    (
        strategy.Signal,
        strategy.StrategyHalted,
        strategy.StrategyResumed,
        strategy.ParamsChanged,
        market.Bar,
        market.Instrument,
        market.Tick,
        orders.OrderUpdated,
        portfolio.PositionChanged,
        controls.InForce,
    ),
)
HOST_INBOX = Topic(
    "host.inbox",
    (strategy.HostStarted, strategy.MarketSeen, strategy.InboxSeen, strategy.OrdersRecovered),
    retention_ms=365 * DAY_MS,
)
"""What a strategy hosted on the fast path saw, in the order in which it saw it."""
STRATEGY_RECORDS = Topic(
    "strategy.records", (strategy.StrategyRecord, strategy.StrategyHalted, strategy.StrategyResumed)
)
ORDERS_INTENTS = Topic(
    "orders.intents",
    (orders.SubmitOrder, orders.ModifyOrder, orders.CancelOrder, orders.CancelAll),
    partitions=1,
    retention_ms=365 * DAY_MS,
)
ORDERS_EVENTS = Topic(
    "orders.events",
    (
        orders.OrderRequested,
        orders.OrderDenied,
        orders.OrderSent,
        orders.OrderAccepted,
        orders.OrderRejected,
        orders.CancelRequested,
        orders.CancelRejected,
        orders.ModifyRequested,
        orders.ModifyDenied,
        orders.OrderModified,
        orders.ModifyRejected,
        orders.OrderTriggered,
        orders.OrderCanceled,
        orders.OrderExpired,
        orders.OrderFilled,
        orders.OrderBusted,
        orders.OrderUnknown,
        orders.OrderReconciled,
        orders.ExternalOrderSeen,
        orders.ReconciliationDifference,
        orders.ControlDone,
    ),
    partitions=1,
    retention_ms=-1,
)
ORDERS_STATE = Topic("orders.state", (orders.OrderUpdated, orders.OrderAnomaly), retention_ms=365 * DAY_MS)
FILLS = Topic("fills", (orders.Fill,), retention_ms=365 * DAY_MS)
ACCOUNT_EVENTS = Topic("account.events", (portfolio.BalanceChanged,), partitions=1, retention_ms=365 * DAY_MS)
POSITIONS = Topic("positions", (portfolio.PositionChanged,), retention_ms=365 * DAY_MS)
PORTFOLIO_INBOX = Topic(
    "portfolio.inbox",
    (
        portfolio.PositionChanged,
        portfolio.BalanceChanged,
        market.Mark,
        market.Instrument,
        market.Tick,
        controls.InForce,
    ),
    partitions=1,
)
PORTFOLIO_STATE = Topic("portfolio.state", (portfolio.PortfolioLine,), partitions=1)
CONTROLS = Topic(
    "controls",
    (controls.SetLimit, controls.RemoveLimit, controls.Kill, controls.Resume, controls.Flatten, controls.SetParams),
    partitions=1,
    retention_ms=-1,
)
CONTROLS_STATE = Topic("controls.state", (controls.InForce,), partitions=1, retention_ms=365 * DAY_MS)
GATEWAY_LEASES = Topic("gateway.leases", (system.GatewayLease,), partitions=1, compacted=True)
STAGE_LOG = Topic("stage.log", (system.StageStarted,), partitions=1, retention_ms=-1)
STAGE_SNAPSHOTS = Topic("stage.snapshots", (system.StageSnapshot,), partitions=1, retention_ms=7 * DAY_MS)
DEAD_LETTERS = Topic("dead.letters", (system.DeadLetter,), partitions=1, retention_ms=365 * DAY_MS)


def latest_of(topic: Topic, forget_ms: int | None = None) -> Topic:
    """The compacted twin of a state topic."""
    return Topic(f"{topic.name}.latest", topic.types, topic.partitions, compacted=True, forget_ms=forget_ms)


INSTRUMENTS_LATEST = latest_of(INSTRUMENTS)
ORDERS_STATE_LATEST = latest_of(ORDERS_STATE, 30 * DAY_MS)  # every order is a key of its own
POSITIONS_LATEST = latest_of(POSITIONS)
PORTFOLIO_STATE_LATEST = latest_of(PORTFOLIO_STATE)
CONTROLS_STATE_LATEST = latest_of(CONTROLS_STATE)

TOPICS: dict[str, Topic] = {t.name: t for t in list(globals().values()) if isinstance(t, Topic)}

TICKED = (MARKET_EVENTS, STRATEGY_INBOX, PORTFOLIO_INBOX)
"""Topics whose every partition gets the clock's ticks."""
