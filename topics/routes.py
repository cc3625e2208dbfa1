"""The one table that says which topics a record is written to, and under which key there.

Whoever makes a record writes it to every topic whose readers need it. Who subscribes is configuration: it changes after a clean drain.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from topics import catalog as t
from topics import controls, market, orders, portfolio, strategy, system
from topics.catalog import Topic
from topics.record import Account, InstrumentId, Record, StrategyId


class Subscription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What reaches one strategy's inbox."""

    account: Account
    instruments: tuple[InstrumentId, ...]
    bars: tuple[str, ...] = ()


Subscriptions = Mapping[StrategyId, Subscription]
Keys = Callable[[Any, Subscriptions], Iterable[str]]


def _instrument(r: Any, _: Subscriptions) -> Iterable[str]:
    return (r.instrument,)


def _strategy(r: Any, _: Subscriptions) -> Iterable[str]:
    return (r.strategy,)


def _own_strategy(r: Any, subscriptions: Subscriptions) -> Iterable[str]:
    return (r.strategy,) if r.strategy in subscriptions else ()


def _account(r: Any, _: Subscriptions) -> Iterable[str]:
    return (r.account,)


def _account_instrument(r: Any, _: Subscriptions) -> Iterable[str]:
    return (f"{r.account}|{r.instrument}",)


def _line(r: Any, _: Subscriptions) -> Iterable[str]:
    return (f"{r.account}|{r.strategy}|{r.instrument}",)


def _bar_subscribers(r: market.Bar, subscriptions: Subscriptions) -> Iterable[str]:
    """Each bar once, in turn."""
    if r.revision > 0:
        return ()
    return [s for s, sub in sorted(subscriptions.items()) if r.instrument in sub.instruments and r.spec in sub.bars]


def _instrument_subscribers(r: market.Instrument, subscriptions: Subscriptions) -> Iterable[str]:
    return [s for s, sub in sorted(subscriptions.items()) if r.instrument in sub.instruments]


def _scope_subscribers(r: controls.InForce, subscriptions: Subscriptions) -> Iterable[str]:
    return [s for s, sub in sorted(subscriptions.items()) if _concerns(r.scope, s, sub)]


def _concerns(scope: controls.Scope, strategy_id: StrategyId, sub: Subscription) -> bool:
    match scope.kind:
        case controls.ScopeKind.FIRM:
            return True
        case controls.ScopeKind.VENUE:
            return sub.account.startswith(f"{scope.id}.")
        case controls.ScopeKind.ACCOUNT:
            return sub.account == scope.id
        case controls.ScopeKind.STRATEGY:
            return strategy_id == scope.id
        case controls.ScopeKind.INSTRUMENT:
            return scope.id in sub.instruments


def _order(r: orders.OrderUpdated, _: Subscriptions) -> Iterable[str]:
    return (r.client_order_id,)


def _control(r: controls.Control, _: Subscriptions) -> Iterable[str]:
    limit = f"|{r.limit}" if isinstance(r, controls.SetLimit | controls.RemoveLimit) else ""
    return (f"{r.scope}|{type(r).__name__}{limit}",)


def _scope(r: controls.InForce, _: Subscriptions) -> Iterable[str]:
    return (str(r.scope),)


def _one(key: str) -> Keys:
    return lambda r, s: (key,)


PORTFOLIO = _one("portfolio")

ROUTES: dict[type[Record], tuple[tuple[Topic, Keys], ...]] = {
    market.BookSnapshot: ((t.MARKET_EVENTS, _instrument),),
    market.BookDelta: ((t.MARKET_EVENTS, _instrument),),
    market.BookOrders: ((t.MARKET_EVENTS, _instrument),),
    market.BookOrderAdded: ((t.MARKET_EVENTS, _instrument),),
    market.BookOrderChanged: ((t.MARKET_EVENTS, _instrument),),
    market.BookOrderRemoved: ((t.MARKET_EVENTS, _instrument),),
    market.BookOrdersLost: ((t.MARKET_EVENTS, _instrument),),
    market.Trade: ((t.MARKET_EVENTS, _instrument),),
    market.Quote: ((t.MARKET_EVENTS, _instrument),),
    market.Ticker: ((t.MARKET_EVENTS, _instrument),),
    market.Funding: ((t.MARKET_EVENTS, _instrument),),
    market.OpenInterest: ((t.MARKET_EVENTS, _instrument),),
    market.Liquidation: ((t.MARKET_EVENTS, _instrument),),
    market.InstrumentStatus: ((t.MARKET_EVENTS, _instrument),),
    market.Gap: ((t.MARKET_EVENTS, _instrument),),
    market.Instrument: (
        (t.MARKET_EVENTS, _instrument),
        (t.INSTRUMENTS, _instrument),
        (t.INSTRUMENTS_LATEST, _instrument),
        (t.PORTFOLIO_INBOX, PORTFOLIO),
        (t.STRATEGY_INBOX, _instrument_subscribers),
    ),
    market.Mark: ((t.PORTFOLIO_INBOX, PORTFOLIO),),
    market.ResyncRequested: ((t.INGEST_REQUESTS, lambda r, s: (r.venue,)),),
    market.Bar: ((t.MARKET_BARS, _instrument), (t.STRATEGY_INBOX, _bar_subscribers)),
    strategy.Signal: ((t.STRATEGY_INBOX, _strategy),),
    strategy.StrategyRecord: ((t.STRATEGY_RECORDS, _strategy),),
    strategy.StrategyHalted: ((t.STRATEGY_RECORDS, _strategy), (t.STRATEGY_INBOX, _strategy)),
    strategy.StrategyResumed: ((t.STRATEGY_RECORDS, _strategy), (t.STRATEGY_INBOX, _own_strategy)),
    strategy.ParamsChanged: ((t.STRATEGY_INBOX, _own_strategy),),
    **dict.fromkeys(t.HOST_INBOX.types, ((t.HOST_INBOX, _strategy),)),
    orders.SubmitOrder: ((t.ORDERS_INTENTS, _strategy),),
    orders.ModifyOrder: ((t.ORDERS_INTENTS, _strategy),),
    orders.CancelOrder: ((t.ORDERS_INTENTS, _strategy),),
    orders.CancelAll: ((t.ORDERS_INTENTS, _strategy),),
    **dict.fromkeys(t.ORDERS_EVENTS.types, ((t.ORDERS_EVENTS, _account_instrument),)),
    orders.ControlDone: ((t.ORDERS_EVENTS, _account),),
    orders.OrderUpdated: ((t.ORDERS_STATE, _order), (t.ORDERS_STATE_LATEST, _order), (t.STRATEGY_INBOX, _own_strategy)),
    orders.OrderAnomaly: ((t.ORDERS_STATE, lambda r, s: (r.client_order_id,)),),
    orders.Fill: ((t.FILLS, _account_instrument),),
    portfolio.PositionChanged: (
        (t.POSITIONS, _line),
        (t.POSITIONS_LATEST, _line),
        (t.PORTFOLIO_INBOX, PORTFOLIO),
        (t.STRATEGY_INBOX, _own_strategy),
    ),
    portfolio.BalanceChanged: ((t.ACCOUNT_EVENTS, _account), (t.PORTFOLIO_INBOX, PORTFOLIO)),
    portfolio.PortfolioLine: ((t.PORTFOLIO_STATE, _line), (t.PORTFOLIO_STATE_LATEST, _line)),
    controls.SetLimit: ((t.CONTROLS, _control),),
    controls.RemoveLimit: ((t.CONTROLS, _control),),
    controls.Kill: ((t.CONTROLS, _control),),
    controls.Resume: ((t.CONTROLS, _control),),
    controls.Flatten: ((t.CONTROLS, _control),),
    controls.SetParams: ((t.CONTROLS, _control),),
    controls.InForce: (
        (t.CONTROLS_STATE, _scope),
        (t.CONTROLS_STATE_LATEST, _scope),
        (t.PORTFOLIO_INBOX, PORTFOLIO),
        (t.STRATEGY_INBOX, _scope_subscribers),
    ),
    system.StageStarted: ((t.STAGE_LOG, lambda r, s: (r.stage,)),),
    system.GatewayLease: ((t.GATEWAY_LEASES, _account),),
    system.StageSnapshot: ((t.STAGE_SNAPSHOTS, lambda r, s: (f"{r.stage}/{r.partition}",)),),
    system.DeadLetter: ((t.DEAD_LETTERS, lambda r, s: (f"{r.topic}/{r.partition}",)),),
}


def routes(record: Record, subscriptions: Subscriptions) -> Iterable[tuple[Topic, str]]:
    """Every (topic, key) this record is written to. A record without a row in the table is a programming error: KeyError."""
    for topic, keys in ROUTES[type(record)]:
        for key in keys(record, subscriptions):
            yield topic, key


def grouped(records: Sequence[Record], subscriptions: Subscriptions) -> Iterator[tuple[Topic, str, list[Record]]]:
    """As ``group``, for whoever needs no look-up."""
    if len(records) == 1:
        for topic, key in routes(records[0], subscriptions):
            yield topic, key, [records[0]]
    else:
        for (topic, key), some in group(records, subscriptions).items():
            yield topic, key, some


def group(records: Iterable[Record], subscriptions: Subscriptions) -> dict[tuple[Topic, str], list[Record]]:
    """The output records of one input: events of one (topic, key) travel together, in order; compacted topics keep only the last."""
    out: dict[tuple[Topic, str], list[Record]] = {}
    for record in records:
        for topic, keys in ROUTES[type(record)]:
            for key in keys(record, subscriptions):
                place = topic, key
                if topic.compacted:
                    out[place] = [record]
                elif place in out:
                    out[place].append(record)
                else:
                    out[place] = [record]
    return out
