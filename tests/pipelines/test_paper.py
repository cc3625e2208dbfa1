"""The paper exchange's market: the same events that everybody reads, under numbers of its own."""

from decimal import Decimal
from typing import Any

from adapters.binance.execution import BinanceExecution
from adapters.simulated import model as sim
from adapters.simulated.model import SelfTradePrevention
from adapters.simulated.units import SCALE, units
from adapters.simulated.wire import symbol_info
from pipelines.backtest_venue import RECORDED
from pipelines.paper.listing import listing, opening, step_of
from pipelines.paper.market import Numbers, in_steps
from topics.market import BookDelta, BookSnapshot, Instrument, Quote, Trade
from topics.record import Payoff, Side

NAME = "okx:BTC-USDT"


def snapshot(sequence: int = 0) -> BookSnapshot:
    return BookSnapshot(instrument=NAME, bids=(), asks=(), sequence=sequence, ts_event=1, ts_init=1)


def delta(sequence: int = 0) -> BookDelta:
    return BookDelta(instrument=NAME, bids=(), asks=(), sequence=sequence, ts_event=1, ts_init=1)


def quote(sequence: int = 0) -> Quote:
    one = Decimal(1)
    return Quote(
        instrument=NAME,
        best_bid=one,
        bid_size=one,
        best_ask=2 * one,
        ask_size=one,
        sequence=sequence,
        ts_event=1,
        ts_init=1,
    )


def trade() -> Trade:
    one = Decimal(1)
    return Trade(instrument=NAME, trade_id="7", price=one, size=one, aggressor=Side.BUY, ts_event=1, ts_init=1)


def test_where_a_venue_tells_no_numbers_the_later_is_the_newer() -> None:
    numbers = Numbers(one_count=False)
    assert [numbers.of(e) for e in (snapshot(), quote(), delta(), trade(), quote(), delta())] == [1, 2, 3, 0, 4, 5]


def test_a_quote_that_is_ahead_of_the_book_stays_ahead_where_both_have_one_count() -> None:
    numbers = Numbers(one_count=True)
    first = numbers.of(snapshot(1000))
    ahead, late, level = numbers.of(quote(1007)), numbers.of(delta(1005)), numbers.of(delta(1007))
    assert first < late < ahead == level


def test_numbers_grow_when_the_venue_begins_anew() -> None:
    numbers = Numbers(one_count=True)
    before = [numbers.of(e) for e in (snapshot(1000), delta(1005))]
    after = [numbers.of(e) for e in (snapshot(3), delta(4), quote(9))]
    assert before + after == sorted({*before, *after})


def test_what_of_a_size_is_finer_than_the_exchange_reckons_is_not_there() -> None:
    bids = (("243.2", "0.00019434546"), ("243.1", "4.5"))
    made = RECORDED[BookSnapshot](BookSnapshot(instrument=NAME, bids=bids, asks=(), ts_event=1, ts_init=1))
    assert isinstance(made, sim.BookSnapshot)
    assert made.bids == [(units("243.2"), 19434), (units("243.1"), units("4.5"))]


def test_a_market_is_exchanged_in_steps_whose_every_amount_can_be_reckoned() -> None:
    assert step_of(Decimal("0.01"), Decimal("0.00001")) == Decimal("0.00001")
    step = step_of(Decimal("0.1"), Decimal("0.00000001"))
    assert step == Decimal("0.0000001")
    units = int(step * SCALE)
    whole = in_steps(sim.BookDelta(5, 6, [(100, 57)], [(200, 9)]), 3, units)
    assert whole == sim.BookDelta(3, 3, [(100, 50)], [(200, 0)])
    assert in_steps(sim.MarketTrade(100, 9, True), 0, units) is None


def contract(**changes: Any) -> Instrument:
    inverse = {"kind": "inverse", "inverse": True, "multiplier": Decimal(100)}
    steps = {"tick_size": Decimal("0.1"), "lot_size": Decimal(1), "ts_init": 1}
    names = {
        "instrument": "coinm:BTC-USD-PERP",
        "venue": "coinm",
        "venue_symbol": "BTCUSD_PERP",
        "base": "BTC",
        "quote": "USD",
    }
    return Instrument(**{**names, **steps, **inverse, **changes})


def test_a_contract_is_listed_as_it_pays_and_an_account_begins_with_what_it_is_settled_in() -> None:
    inverse = listing(contract())
    assert (inverse.payoff, inverse.multiplier, inverse.settle, inverse.step) == ("inverse", 100 * SCALE, "BTC", SCALE)
    fine = {
        "kind": "linear",
        "inverse": False,
        "quote": "USDT",
        "multiplier": Decimal("0.000001"),
        "lot_size": Decimal("0.1"),
    }
    linear = listing(contract(**fine))
    assert (linear.settle, linear.step) == ("USDT", SCALE // 10)
    assert opening([inverse, linear], {"BTC": Decimal(3)}) == {"BTC": 3 * SCALE, "USDT": 1_000_000 * SCALE}


def test_the_gateway_learns_from_the_exchange_how_a_contract_pays() -> None:
    told = symbol_info(listing(contract()), SelfTradePrevention.EXPIRE_MAKER)
    client = BinanceExecution("coinm", api_key="k", secret="s")
    market = {"id": told["symbol"], "base": told["baseAsset"], "quote": told["quoteAsset"], "info": told}
    listed = client._listed(market)
    pays = (listed.settle, listed.multiplier, listed.payoff)
    assert (listed.instrument, listed.base, listed.quote) == ("coinm:BTC-USD-PERP", "BTC", "USD")
    assert pays == ("BTC", Decimal(100), Payoff.INVERSE)
    spot = symbol_info(
        listing(contract(instrument="coinm:BTC-USD", kind="spot", inverse=False)), SelfTradePrevention.NONE
    )
    assert "contract" not in spot
