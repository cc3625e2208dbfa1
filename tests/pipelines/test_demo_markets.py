"""What the demo makes of each recording: orders of its strategies that pass every check of the gateway and every filter of the paper
exchange.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from adapters.base import Reading, rest_frame
from adapters.simulated import filters
from adapters.simulated import model as sim
from adapters.simulated.units import units
from infra.config import Config, load
from pipelines import demo_paper
from pipelines.demo_markets import NARROW_BPS, Market, chosen
from pipelines.paper.listing import listing
from pipelines.player.defining import made_definition
from pipelines.player.recording import Recording
from pipelines.settled import currencies
from strategies import Strategy
from strategies.desk import Desk
from strategies.loading import load_strategy
from tests.pipelines.gateway.worlds import ACCOUNT, NOW, balance, check_of, limit, mark, world
from tests.strategies.builders import bar
from topics.market import Instrument, Quote
from topics.orders import SubmitOrder
from topics.record import TimeInForce
from topics.strategy import Signal

NAMES = {
    **{
        path: f"cryptofeed/{path}.jsonl.zst"
        for path in (
            *("BINANCE", "BINANCE_FUTURES", "BINANCE_US", "BITSTAMP", "BYBIT", "COINBASE", "DERIBIT", "GATEIO"),
            *("KRAKEN", "KRAKEN_FUTURES", "KUCOIN", "OKX"),
        )
    },
    "BITMEX": "cryptofeed/BITMEX.*",
    "hyperliquid": "hftbacktest/hyperliquid/btcusd*",
    "spot": "hftbacktest/spot/ethusdt*",
    "usdm": "hftbacktest/usdm/ethusdt*",
    "cm": "hftbacktest/cm/btcusd*",
}


class Derived:
    """The configuration that the demo would write, and the markets it is about."""

    def __init__(self, recording: Recording, home: Path) -> None:
        self.markets = {m.instrument: m for m in chosen(recording, (), 3)}
        path = home / "tapedeck.toml"
        path.write_text(demo_paper.toml("demo", home, "127.0.0.1:1", recording, ()))
        self.config: Config = load(path, {})

    def market_of(self, strategy: str) -> Market:
        (instrument,) = self.config.strategies[strategy].instruments
        return self.markets[instrument]

    def orders(self) -> Iterator[tuple[Market, SubmitOrder]]:
        for name, section in self.config.strategies.items():
            market = self.market_of(name)
            strategy = load_strategy(section.class_path, section.params)
            for decision in decided(strategy, market):
                yield market, decision


def decided(strategy: Strategy, market: Market) -> list[SubmitOrder]:
    """What it does at the book as recorded, after bars that rise."""
    desk, state = Desk.of([market.definition], now=NOW, quotes=[quote(market)], account=ACCOUNT), strategy.State()
    bars = [bar(str(close), name=market.instrument) for close in (market.bid[0], market.bid[0], market.ask[0])]
    signal = Signal("seen", quote(market).microprice, instrument=market.instrument)
    heard = [strategy.on_signal(state, desk, signal), *(strategy.on_bar(state, desk, one) for one in bars)]
    found = [decision for decisions in heard for decision in decisions or ()]
    return [decision for decision in found if isinstance(decision, SubmitOrder)]


def quote(market: Market) -> Quote:
    return Quote(
        instrument=market.instrument,
        best_bid=market.bid[0],
        bid_size=market.bid[1],
        best_ask=market.ask[0],
        ask_size=market.ask[1],
        ts_event=NOW,
        ts_init=NOW,
    )


@pytest.fixture(scope="module", params=NAMES)
def derived(request: pytest.FixtureRequest, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Derived:
    return Derived(Recording(sorted(data_dir.glob(NAMES[request.param]))), tmp_path_factory.mktemp("demo"))


def test_every_strategy_sends_orders_that_pass_each_check_and_each_filter(derived: Derived) -> None:
    (section,) = derived.config.limits
    limits = [limit(name, value) for name, value in section.limits().items()]
    sent = list(derived.orders())
    assert {order.reason for _, order in sent} >= {"small spread", "quote"}
    assert len(sent) >= 4, "one buys, one quotes both sides, one follows"
    for market, order in sent:
        d = market.definition
        free = [balance(asset, "1000000000000") for asset in currencies(d)]
        touch = mark(instrument=market.instrument, best_bid=market.bid[0], best_ask=market.ask[0])
        state = world(market=[d, touch, *free], controls=limits)
        assert check_of(state, order) == "", (market, order)
        asked = sim.NewOrder(
            account=ACCOUNT,
            symbol=listing(d).symbol,
            side=sim.Side(order.side.upper()),
            type=sim.OrderType.LIMIT,
            client_order_id="o",
            qty=units(order.order_qty),
            price=units(order.price or Decimal(0)),
        )
        assert filters.refusal(listing(d), asked, units(market.bid[0]), 0, 0) is None, (market, order)


def test_sizes_are_whole_lots_of_the_definition_that_is_served(data_dir: Path) -> None:
    """Nobody recorded one: both make it of the same book."""
    recording = Recording(sorted(data_dir.glob("hftbacktest/spot/btcusdt*")))
    (market,) = chosen(recording, (), 3)
    body = made_definition(recording, market.instrument)
    assert body is not None
    frame = rest_frame("exchangeInfo", "BTCUSDT", body)
    found = recording.adapter.parse(frame, Reading(recording.venue, market.instrument, 0, 0, {})) or ()
    served = next(one for one in found if isinstance(one, Instrument))
    assert (market.definition.tick_size, market.definition.lot_size) == (served.tick_size, served.lot_size)
    assert market.order_qty % served.lot_size == 0


def test_what_rests_on_a_market_of_others_is_behind_its_best_prices(derived: Derived) -> None:
    markets = [derived.market_of(name).instrument for name in derived.config.strategies]
    for market, order in derived.orders():
        if order.time_in_force is TimeInForce.GTC and markets.count(market.instrument) == 3:
            assert order.price is not None
            assert order.price < market.bid[0] or order.price > market.ask[0]


def test_markets_are_traded_that_one_account_sums_up_each_by_one_strategy_as_far_as_there_are_so_many(
    derived: Derived,
) -> None:
    markets = list(derived.markets.values())
    assert len({m.like for m in markets}) == 1
    assert len(markets) == 1 or max(m.spread_bps for m in markets) <= NARROW_BPS
    assert markets == sorted(markets, key=lambda m: -m.trades)
    assert {i for s in derived.config.strategies.values() for i in s.instruments} == derived.markets.keys()
    (account,) = derived.config.accounts.values()
    assert account.reporting_currency == markets[0].definition.settled_in
    assert {currency for m in markets for currency in currencies(m.definition)} == derived.config.paper.balances.keys()
