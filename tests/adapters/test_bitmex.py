"""BitMEX's frames and books, on the venue's documented examples and a recording of ten contracts."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import BadFrame, Endpoints, Reading, rest_frame, session_frame
from adapters.bitmex.market import MARKET_DATA
from infra.captures import Item, Kind
from pipelines.tape_check import check
from tests.adapters.venues import Sides, assert_equal_books, fuzz, items_of, play, sides, with_snapshot
from topics.market import (
    BookDelta,
    BookSnapshot,
    Funding,
    Gap,
    Instrument,
    Liquidation,
    OpenInterest,
    Quote,
    Ticker,
    Trade,
)
from topics.record import Side

RECORDING = ("cryptofeed/BITMEX.0.gz", "cryptofeed/BITMEX.ws.1.0.gz")


def reading(instrument: str = "bitmex:BTC-USD-PERP") -> Reading:
    return Reading("bitmex", instrument, 5, 0, {})


def table(name: str, action: str, *rows: str) -> bytes:
    return f'{{"table":"{name}","action":"{action}","data":[{",".join(rows)}]}}'.encode()


def row(number: int, side: str = "Buy", rest: str = ',"size":3,"price":32180.5') -> str:
    return f'{{"symbol":"XBTUSD","id":{number},"side":"{side}"{rest}}}'


class NaiveBooks:
    """Rows by symbol and id, and books of Decimal made from them."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, dict]] = {}  # type: ignore[type-arg]

    @property
    def books(self) -> dict[str, Sides]:
        return {
            symbol: (
                {r["price"]: r["size"] for r in rows.values() if r["side"] == "Buy"},
                {r["price"]: r["size"] for r in rows.values() if r["side"] == "Sell"},
            )
            for symbol, rows in self.rows.items()
        }

    def feed(self, item: Item) -> None:
        if item.kind is not Kind.FRAME or not item.data.startswith(b'{"table":"orderBookL2"'):
            return
        frame = json.loads(item.data, parse_float=Decimal, parse_int=Decimal)
        if frame["action"] == "partial":
            self.rows[frame["filter"]["symbol"]] = {}
        for r in frame["data"]:
            rows = self.rows[r["symbol"]]
            if frame["action"] == "delete":
                del rows[r["id"]]
            elif frame["action"] == "update":
                rows[r["id"]].update(r)
            else:
                rows[r["id"]] = r


def test_a_row_keeps_the_price_it_was_put_in_with() -> None:
    memory = reading()
    (begun,) = MARKET_DATA.parse(table("orderBookL2", "partial", row(7), row(8, "Sell")), memory) or ()
    (changed,) = MARKET_DATA.parse(table("orderBookL2", "update", row(7, rest=',"size":9')), memory) or ()
    (taken,) = MARKET_DATA.parse(table("orderBookL2", "delete", row(8, "Sell", "")), memory) or ()
    assert isinstance(begun, BookSnapshot)
    assert (begun.bids, begun.asks) == ((("32180.5", "3"),), (("32180.5", "3"),))
    assert isinstance(changed, BookDelta)
    assert changed.bids == (("32180.5", "9"),)
    assert isinstance(taken, BookDelta)
    assert taken.asks == (("32180.5", "0"),)


@pytest.mark.parametrize(
    "frame",
    [
        table("orderBookL2", "insert", row(7)),
        table("orderBookL2", "update", row(8, rest=',"size":9')),
        table("orderBookL2", "update", row(7, "Sell", ',"size":9')),
        table("orderBookL2", "delete", row(8, rest="")),
        table("orderBookL2", "moved", row(7)),
        b'{"status":400,"error":"Unknown or expired symbol.","meta":{},"request":{"op":"subscribe"}}',
        b"[]",
    ],
)
def test_what_breaks_the_rules_is_a_bad_frame(frame: bytes) -> None:
    memory = reading()
    MARKET_DATA.parse(table("orderBookL2", "partial", row(7)), memory)
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(frame, memory)


@pytest.mark.parametrize(
    "frame",
    [
        table("orderBookL2", "update", row(7, rest=',"size":9')),
        table("trade", "partial"),
        table("orderBook10", "update"),
        b'{"info":"Welcome to the BitMEX Realtime API.","version":"2","timestamp":"2021-07-22T22:36:07.865Z"}',
        b'{"success":true,"subscribe":"trade:XBTUSD","request":{"op":"subscribe","args":["trade:XBTUSD"]}}',
        b"pong",
    ],
)
def test_what_comes_before_the_table_and_other_kinds_are_passed_over(frame: bytes) -> None:
    assert MARKET_DATA.parse(frame, reading()) is None


def test_the_best_levels_do_not_take_the_place_of_the_whole_table() -> None:
    at = reading()
    for name, action, counts in (
        ("orderBookL2_25", "partial", True),
        ("orderBookL2", "partial", True),
        ("orderBookL2_25", "partial", False),
        ("orderBookL2_25", "insert", False),
    ):
        assert (MARKET_DATA.parse(table(name, action, row(7)), at) is not None) == counts


def test_a_new_connection_forgets_the_rows() -> None:
    memory = reading()
    MARKET_DATA.parse(table("orderBookL2", "partial", row(7)), memory)
    MARKET_DATA.parse(session_frame("two", "XBTUSD"), memory)
    assert MARKET_DATA.parse(table("orderBookL2", "update", row(7, rest=',"size":9')), memory) is None


def test_a_trade_keeps_its_digits() -> None:
    frame = table(
        "trade",
        "insert",
        '{"timestamp":"2021-07-22T22:36:32.194Z","symbol":"XBTUSD","side":"Buy","size":100,"price":32184,'
        '"tickDirection":"PlusTick","trdMatchID":"0ddc259b-355e-9a79-002b-aed7e089f69a","grossValue":310713,'
        '"homeNotional":0.00310713,"foreignNotional":100}',
    )
    (found,) = MARKET_DATA.parse(frame, reading()) or ()
    assert found == Trade(
        instrument="bitmex:BTC-USD-PERP",
        trade_id="0ddc259b-355e-9a79-002b-aed7e089f69a",
        price=Decimal(32184),
        size=Decimal(100),
        aggressor=Side.BUY,
        ts_event=1626993392194000000,
        ts_init=5,
    )


def test_a_quote_without_a_side_is_passed_over() -> None:
    both = '{"timestamp":"2021-07-22T22:36:11.237Z","symbol":"XBTUSD","bidSize":440,"bidPrice":438.55,"askPrice":438.6,"askSize":856}'
    one = both.replace("438.55", "null").replace("440", "null")
    (found,) = MARKET_DATA.parse(table("quote", "insert", both, one), reading()) or ()
    assert isinstance(found, Quote)
    assert (found.best_bid, found.bid_size, found.best_ask) == (Decimal("438.55"), Decimal(440), Decimal("438.6"))


def test_an_instrument_tells_prices_interest_and_funding() -> None:
    frame = table(
        "instrument",
        "update",
        '{"symbol":"XBTUSD","fundingRate":0.0001,"fundingTimestamp":"2021-07-23T04:00:00.000Z","openInterest":574264600,'
        '"markPrice":32182.1,"indicativeSettlePrice":32178.9,"timestamp":"2021-07-22T22:36:10.000Z"}',
    )
    prices, interest, funding = MARKET_DATA.parse(frame, reading()) or ()
    assert isinstance(prices, Ticker)
    assert (prices.last, prices.mark, prices.index) == (None, Decimal("32182.1"), Decimal("32178.9"))
    assert isinstance(interest, OpenInterest)
    assert interest.open_interest == 574264600
    assert isinstance(funding, Funding)
    assert (funding.rate, funding.next_ts) == (Decimal("0.0001"), 1627012800000000000)


def test_a_liquidation_is_told_once() -> None:
    order = '{"orderID":"513fc9ac","symbol":"XBTUSD","side":"Buy","price":31992.5,"leavesQty":1000}'
    (found,) = MARKET_DATA.parse(table("liquidation", "insert", order), reading()) or ()
    assert isinstance(found, Liquidation)
    assert (found.side, found.price, found.size) == (Side.BUY, Decimal("31992.5"), Decimal(1000))
    assert MARKET_DATA.parse(table("liquidation", "delete", order), reading()) is None


def test_the_recorded_list_of_instruments_holds_definitions(data_dir: Path) -> None:
    items = items_of(*(data_dir / name for name in RECORDING))
    body = next(item.data for item in items if item.kind is Kind.ANSWER)
    found = {}
    for instrument in ("BTC-USD-PERP", "ADA-USDT-PERP", "TRX-BTC-210924"):
        about = reading(f"bitmex:{instrument}")
        symbol = MARKET_DATA.venue_symbol(about.instrument)
        definition, _ = MARKET_DATA.parse(rest_frame("definition", symbol, body), about) or ()
        assert isinstance(definition, Instrument)
        found[instrument] = (
            definition.base,
            definition.quote,
            definition.kind,
            definition.tick_size,
            definition.lot_size,
        )
    assert found == {
        "BTC-USD-PERP": ("BTC", "USD", "inverse", Decimal("0.5"), Decimal(100)),
        "ADA-USDT-PERP": ("ADA", "USDT", "linear", Decimal("0.00001"), Decimal(1)),
        "TRX-BTC-210924": ("TRX", "BTC", "future", Decimal("0.0000000001"), Decimal(100)),
    }


@pytest.mark.parametrize(
    ("spelling", "instrument"),
    [
        ("XBTUSD", "BTC-USD-PERP"),
        ("XBTUSDT", "BTC-USDT-PERP"),
        ("ETHUSD_ETH", "ETH-USD-PERP-INV"),
        ("XBT_USDT", "BTC-USDT"),
        ("XBTU21", "BTC-USD-210924"),
        ("XBTZ21", "BTC-USD-211231"),
        ("XBTEURU21", "BTC-EUR-210924"),
        ("ETHUSDU21", "ETH-USD-210924"),
        ("XRPU21", "XRP-BTC-210924"),
    ],
)
def test_spellings_are_translated_both_ways(spelling: str, instrument: str) -> None:
    assert MARKET_DATA.instrument_of("bitmex", spelling) == f"bitmex:{instrument}"
    assert MARKET_DATA.venue_symbol(f"bitmex:{instrument}") == spelling


@given(st.from_regex(r"\.?[A-Z]{0,4}(XBT|BTC|USD|)(USD|USDT|EUR|XBT)?(_[A-Z]{3,4})?([A-Z]\d\d)?", fullmatch=True))
def test_translation_and_its_inverse_agree(spelling: str) -> None:
    try:
        instrument = MARKET_DATA.instrument_of("bitmex", spelling)
    except ValueError:
        return
    assert MARKET_DATA.venue_symbol(instrument) == spelling


def test_a_message_takes_so_many_topics() -> None:
    (found,) = MARKET_DATA.connections(Endpoints(), ["XBTUSD", "ETHUSD", "XRPUSD", "ADAUSD", "LTCUSD"])
    assert [len(json.loads(message)["args"]) for message in found.subscribe] == [20, 5]
    assert [json.loads(m)["op"] for m in MARKET_DATA.resubscribe("XBTUSD")] == ["unsubscribe", "subscribe"]


def test_the_recording_has_no_gap_and_every_book_equals_an_independent_one(data_dir: Path) -> None:
    paths = [data_dir / name for name in RECORDING]
    played = assert_equal_books("bitmex", items_of(*paths), NaiveBooks(), every=250)
    found = check(paths, "bitmex")
    assert {(one.gaps, one.book_state, one.unreadable) for one in found.instruments} == {(0, "live", 0)}
    assert (len(found.instruments), sum(one.book_updates for one in found.instruments)) == (10, 1969)
    told = [json.loads(i.data) for i in items_of(*paths) if i.data.startswith(b'{"table":"trade","action":"insert"')]
    assert sum(one.trades for one in found.instruments) == sum(len(frame["data"]) for frame in told)
    assert not played.of(Gap)


def test_a_table_that_is_sent_again_after_changes_takes_no_books_place(data_dir: Path) -> None:
    items = items_of(*[data_dir / name for name in RECORDING])
    begins = b'{"table":"orderBookL2","action":"partial"'
    again = next(item for item in items if item.data.startswith(begins) and b'"symbol":"XBTUSD"' in item.data)
    played = play("bitmex", [*items, again._replace(ts=items[-1].ts)])
    naive = NaiveBooks()
    for item in items:
        naive.feed(item)
    assert sides(played.states["bitmex:BTC-USD-PERP"]) == naive.books["XBTUSD"]


@pytest.mark.parametrize("fault", ["lost", "repeated", "swapped"])
def test_a_fault_that_rows_show_ends_in_a_gap_and_the_next_table_in_equality(data_dir: Path, fault: str) -> None:
    """A row is put in at one frame, and changed or taken out at a later one."""
    items = items_of(*(data_dir / name for name in RECORDING))
    put = next(
        n
        for n, i in enumerate(items)
        if i.data.startswith(b'{"table":"orderBookL2","action":"insert","data":[{"symbol":"XBTUSD"')
    )
    number = b'"id":%d,' % json.loads(items[put].data)["data"][0]["id"]
    later = next(n for n, i in enumerate(items) if n > put and number in i.data)
    naive = NaiveBooks()

    def snapshot(item: Item) -> Item:
        rows = [
            f'{{"symbol":"XBTUSD","id":{r["id"]},"side":"{r["side"]}","size":{r["size"]},"price":{r["price"]}}}'
            for r in naive.rows["XBTUSD"].values()
        ]
        return item._replace(data=table("orderBookL2", "partial", *rows))

    played = play("bitmex", with_snapshot(items, fault, put, later, naive, snapshot))
    end = NaiveBooks()
    for item in items:
        end.feed(item)
    state = played.states["bitmex:BTC-USD-PERP"]
    assert sides(state) == end.books["XBTUSD"]
    assert (state.book.gaps, state.book.resyncs) == (1, 1)


def test_mutated_frames_never_raise_anything_else(data_dir: Path) -> None:
    fuzz("bitmex", items_of(*(data_dir / name for name in RECORDING)))


def test_rows_of_no_time_have_the_newest_that_the_venue_told() -> None:
    memory = reading()
    at = (
        '{"timestamp":"2021-07-22T22:36:11.237Z","symbol":"XBTUSD","bidSize":440,"bidPrice":1,"askPrice":2,"askSize":8}'
    )
    MARKET_DATA.parse(table("quote", "insert", at), memory)
    for action, data in (("partial", row(7)), ("update", row(7, rest=',"size":9'))):
        (found,) = MARKET_DATA.parse(table("orderBookL2", action, data), memory) or ()
        assert isinstance(found, BookSnapshot | BookDelta)
        assert found.ts_event == 1626993371237000000
    later = ',"size":9,"price":32180.5,"timestamp":"2021-07-22T22:36:12.000Z"'
    (found,) = MARKET_DATA.parse(table("orderBookL2", "update", row(7, rest=later)), memory) or ()
    assert isinstance(found, BookDelta)
    assert found.ts_event == 1626993372000000000
