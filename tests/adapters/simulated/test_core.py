"""The matching core by example: what each kind of order does to book, orders and balances."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapters.simulated.model import BalanceChanged, ExecutionType, Refused, SelfTradePrevention, Status, TimeInForce
from adapters.simulated.settlement import FEES, Fees
from adapters.simulated.units import SCALE
from tests.adapters.simulated.builders import BUY, SELL, SYMBOL, core, fills, held, order, prints, reports, steps

TENTH_OF_A_PERCENT = Fees(maker=SCALE // 1000, taker=SCALE // 500)


def refusal(events: Sequence[object]) -> tuple[int, str]:
    [only] = events
    assert isinstance(only, Refused)
    return only.code, only.message


def test_a_better_price_trades_first_and_at_one_price_the_older_order() -> None:
    venue = core("maker", "taker")
    for client_id, price in (("old", 101), ("new", 101), ("best", 100)):
        venue.submit(1, order("maker", SELL, 1, price, client_order_id=client_id))
    events = venue.submit(2, order("taker", BUY, 2, 101))
    traded = [one.order.client_order_id for one in reports(events, "maker", ExecutionType.TRADE)]
    assert traded == ["best", "old"]
    assert fills(events, "taker") == [(100, 1), (101, 1)]


def test_the_rest_of_a_limit_order_waits_in_the_book() -> None:
    venue = core("maker", "taker")
    venue.submit(1, order("maker", SELL, 1, 100))
    events = venue.submit(2, order("taker", BUY, 3, 100))
    assert steps(events, "taker") == ["NEW/NEW", "TRADE/PARTIALLY_FILLED"]
    assert venue.market(SYMBOL).depth(5) == ([(100 * SCALE, 2 * SCALE)], [])


def test_what_a_better_price_leaves_over_is_unlocked() -> None:
    venue = core("maker", "taker", balances={"BTC": 10 * SCALE, "USDT": 1000 * SCALE})
    venue.submit(1, order("maker", SELL, 1, 100))
    venue.submit(2, order("taker", BUY, 2, 110))
    assert held(venue, "taker", "USDT") == (790 * SCALE, 110 * SCALE)
    assert held(venue, "taker", "BTC") == (11 * SCALE, 0)


def test_buyer_pays_its_fee_in_base_and_seller_in_quote_at_maker_and_taker_rates() -> None:
    venue = core("maker", "taker", fees=TENTH_OF_A_PERCENT)
    venue.submit(1, order("maker", SELL, 10, 100))
    events = venue.submit(2, order("taker", BUY, 10, 100))
    [bought], [sold] = reports(events, "taker", ExecutionType.TRADE), reports(events, "maker", ExecutionType.TRADE)
    assert (bought.fee, bought.fee_asset, bought.is_maker) == (10 * SCALE // 500, "BTC", False)
    assert (sold.fee, sold.fee_asset, sold.is_maker) == (1000 * SCALE // 1000, "USDT", True)
    assert held(venue, FEES, "BTC")[0] == bought.fee
    assert held(venue, FEES, "USDT")[0] == sold.fee


def test_a_market_order_takes_what_there_is_and_the_rest_expires() -> None:
    venue = core("maker", "taker")
    venue.submit(1, order("maker", SELL, 1, 100))
    events = venue.submit(2, order("taker", BUY, 3))
    assert steps(events, "taker") == ["NEW/NEW", "TRADE/PARTIALLY_FILLED", "EXPIRED/EXPIRED"]
    assert held(venue, "taker", "USDT")[1] == 0


def test_a_market_order_by_quote_quantity_spends_whole_lots_within_it() -> None:
    venue = core("maker", "taker")
    venue.submit(1, order("maker", SELL, 2, 100))
    venue.submit(1, order("maker", SELL, 9, 110))
    events = venue.submit(2, order("taker", BUY, 0, quote_qty=450))
    assert fills(events, "taker") == [(100, 2), (110, 2)]
    assert reports(events, "taker")[-1].order.status is Status.FILLED


def test_a_market_buy_that_costs_more_than_there_is_changes_nothing() -> None:
    venue = core("maker")
    venue.open_account(0, "poor", {"USDT": 150 * SCALE})
    venue.submit(1, order("maker", SELL, 2, 100))
    assert refusal(venue.submit(2, order("poor", BUY, 2)))[0] == -2010
    assert held(venue, "poor", "USDT") == (150 * SCALE, 0)


def test_post_only_is_refused_when_it_would_take_and_rests_otherwise() -> None:
    venue = core("maker", "other")
    venue.submit(1, order("maker", SELL, 1, 100))
    assert refusal(venue.submit(2, order("other", BUY, 1, 100, post_only=True))) == (
        -2010,
        "Order would immediately match and take.",
    )
    assert steps(venue.submit(3, order("other", BUY, 1, 99, post_only=True)), "other") == ["NEW/NEW"]


def test_immediate_or_cancel_expires_what_it_could_not_take() -> None:
    venue = core("maker", "taker")
    venue.submit(1, order("maker", SELL, 1, 100))
    venue.submit(1, order("maker", SELL, 1, 105))
    events = venue.submit(2, order("taker", BUY, 3, 101, time_in_force=TimeInForce.IOC))
    assert steps(events, "taker") == ["NEW/NEW", "TRADE/PARTIALLY_FILLED", "EXPIRED/EXPIRED"]
    assert held(venue, "taker", "USDT")[1] == 0


@pytest.mark.parametrize(("qty", "status"), [(2, Status.FILLED), (3, Status.EXPIRED)])
def test_fill_or_kill_takes_all_or_nothing(qty: int, status: Status) -> None:
    venue = core("maker", "taker")
    venue.submit(1, order("maker", SELL, 1, 100))
    venue.submit(1, order("maker", SELL, 1, 101))
    events = venue.submit(2, order("taker", BUY, qty, 101, time_in_force=TimeInForce.FOK))
    assert reports(events, "taker")[-1].order.status is status
    assert len(fills(events, "taker")) == (2 if status is Status.FILLED else 0)


def test_a_cancel_unlocks_and_a_second_one_is_refused() -> None:
    venue = core("one")
    before = held(venue, "one", "USDT")
    venue.submit(1, order("one", BUY, 2, 100, client_order_id="mine"))
    events = venue.cancel(2, "one", SYMBOL, client_order_id="mine", cancel_id="why")
    assert steps(events, "one") == ["CANCELED/CANCELED"]
    assert reports(events, "one")[0].cancel_id == "why"
    assert held(venue, "one", "USDT") == before
    assert refusal(venue.cancel(3, "one", SYMBOL, client_order_id="mine")) == (-2011, "Unknown order sent.")


def test_cancel_all_ends_the_accounts_own_orders_only() -> None:
    venue = core("one", "two")
    for account in ("one", "one", "two"):
        venue.submit(1, order(account, BUY, 1, 100))
    assert len(reports(venue.cancel_all(2, "one", SYMBOL), "one")) == 2
    assert len(venue.open_orders("two")) == 1
    assert refusal(venue.cancel_all(3, "one", SYMBOL))[0] == -2011


def test_a_client_order_id_is_unique_among_open_orders_only() -> None:
    venue = core("one")
    venue.submit(1, order("one", BUY, 1, 100, client_order_id="mine"))
    assert refusal(venue.submit(2, order("one", BUY, 1, 100, client_order_id="mine"))) == (
        -2010,
        "Duplicate order sent.",
    )
    venue.cancel(3, "one", SYMBOL, client_order_id="mine")
    assert steps(venue.submit(4, order("one", BUY, 1, 100, client_order_id="mine")), "one") == ["NEW/NEW"]


@pytest.mark.parametrize(
    ("mode", "maker_ends", "taker_ends"),
    [
        (None, "EXPIRED_IN_MATCH", "FILLED"),
        (SelfTradePrevention.EXPIRE_MAKER, "EXPIRED_IN_MATCH", "FILLED"),
        (SelfTradePrevention.EXPIRE_TAKER, "NEW", "EXPIRED_IN_MATCH"),
        (SelfTradePrevention.EXPIRE_BOTH, "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
        (SelfTradePrevention.DECREMENT, "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
        (SelfTradePrevention.NONE, "FILLED", "FILLED"),
    ],
)
def test_self_trade_prevention_ends_whom_its_mode_says(
    mode: SelfTradePrevention | None, maker_ends: str, taker_ends: str
) -> None:
    venue = core("one", "other")
    venue.submit(1, order("one", SELL, 1, 100, client_order_id="maker"))
    venue.submit(1, order("other", SELL, 1, 100))
    venue.submit(2, order("one", BUY, 1, 100, client_order_id="taker", mode=mode))
    ends = [venue.order("one", SYMBOL, client_order_id=name) for name in ("maker", "taker")]
    assert [one.status for one in ends if one is not None] == [maker_ends, taker_ends]


def test_decrement_leaves_the_larger_order_what_is_over() -> None:
    venue = core("one")
    venue.submit(1, order("one", SELL, 1, 100, client_order_id="maker"))
    venue.submit(2, order("one", BUY, 3, 100, client_order_id="taker", mode=SelfTradePrevention.DECREMENT))
    taker = venue.order("one", SYMBOL, client_order_id="taker")
    assert taker is not None
    assert (taker.status, taker.prevented, taker.leaves) == (Status.NEW, SCALE, 2 * SCALE)
    assert held(venue, "one", "USDT")[1] == 200 * SCALE
    assert held(venue, "one", "BTC")[1] == 0


@pytest.mark.parametrize(
    ("new", "name"),
    [
        (order("one", BUY, 1, 2_000_000), "PRICE_FILTER"),
        (order("one", BUY, 1, 600), "PERCENT_PRICE_BY_SIDE"),
        (order("one", BUY, 100_000, 100), "LOT_SIZE"),
        (order("one", BUY, 0, 100), "LOT_SIZE"),
    ],
)
def test_filters_refuse_by_name(new: object, name: str) -> None:
    venue = core("one", "two")
    venue.submit(1, order("two", BUY, 1, 100))
    assert refusal(venue.submit(2, new)) == (-1013, f"Filter failure: {name}")  # type: ignore[arg-type]


def test_open_orders_are_limited_in_number() -> None:
    venue = core("one")
    for _ in range(200):
        venue.submit(1, order("one", BUY, 1, 100))
    assert refusal(venue.submit(2, order("one", BUY, 1, 100))) == (-1013, "Filter failure: MAX_NUM_ORDERS")


def test_balances_come_last_once_each_and_as_they_are() -> None:
    venue = core("maker", "taker")
    venue.submit(1, order("maker", SELL, 1, 100))
    venue.submit(1, order("maker", SELL, 1, 101))
    events = venue.submit(2, order("taker", BUY, 2, 101))
    tail = events[-4:]
    assert all(isinstance(one, BalanceChanged) for one in tail)
    assert {(one.account, one.asset) for one in tail if isinstance(one, BalanceChanged)} == {
        (account, asset) for account in ("maker", "taker") for asset in ("BTC", "USDT")
    }


def test_public_trades_say_which_side_waited() -> None:
    venue = core("maker", "taker")
    venue.submit(1, order("maker", BUY, 1, 100))
    [printed] = prints(venue.submit(2, order("taker", SELL, 1, 100)))
    assert printed.buyer_is_maker
    assert printed.price == 100 * SCALE


def test_a_depth_update_has_each_changed_level_as_it_is_now() -> None:
    venue = core("one", "two")
    book = venue.books()[SYMBOL]
    venue.submit(1, order("one", SELL, 2, 101))
    venue.submit(1, order("one", BUY, 1, 99))
    venue.submit(1, order("two", BUY, 2, 101))
    assert book.take_changes() == (1, book.update_id, [(99 * SCALE, SCALE)], [(101 * SCALE, 0)])
    assert book.take_changes() is None
