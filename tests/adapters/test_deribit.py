"""Deribit's frames and books, on the venue's documented examples and a recording of ten options."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import BadFrame, Endpoints, Reading, rest_frame
from adapters.deribit.market import MARKET_DATA
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

RECORDING = "cryptofeed/DERIBIT.jsonl.zst"
PERPETUAL = Reading("deribit", "deribit:BTC-USD-PERP", 5, 0)
OPTION = Reading("deribit", "deribit:ETH-USD-210730-2800-C", 5, 0)


def notification(channel: str, data: str) -> bytes:
    return b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"%b","data":%b}}' % (
        channel.encode(),
        data.encode(),
    )


def option_book(kind: str, rest: str) -> bytes:
    data = f'{{"type":"{kind}","timestamp":1626993723632,"instrument_name":"ETH-30JUL21-2800-C",{rest}}}'
    return notification("book.ETH-30JUL21-2800-C.raw", data)


class NaiveBooks:
    """Books by instrument name: JSON numbers as Decimal, a dict a side."""

    def __init__(self) -> None:
        self.books: dict[str, Sides] = {}
        self.change: dict[str, int] = {}

    def feed(self, item: Item) -> None:
        if item.kind is not Kind.FRAME:
            return
        params = json.loads(item.data, parse_float=Decimal, parse_int=Decimal).get("params")
        if params is None or not params["channel"].startswith("book."):
            return
        data = params["data"]
        if data["type"] == "snapshot":
            self.books[data["instrument_name"]] = ({}, {})
        self.change[data["instrument_name"]] = int(data["change_id"])
        for side, changes in zip(self.books[data["instrument_name"]], (data["bids"], data["asks"]), strict=True):
            for action, price, amount in changes:
                if action == "delete":
                    del side[price]
                else:
                    side[price] = amount


def test_an_older_snapshot_has_no_type() -> None:
    frame = option_book("snapshot", '"change_id":13169025645,"bids":[["new",0.0015,4714.0]],"asks":[]')
    (found,) = MARKET_DATA.parse(frame.replace(b'"type":"snapshot",', b""), OPTION) or ()
    assert isinstance(found, BookSnapshot)


def test_a_snapshot_is_read_with_the_digits_it_came_with() -> None:
    frame = option_book(
        "snapshot", '"change_id":13169025645,"bids":[["new",0.0015,4714.0]],"asks":[["new",0.0025,873.0]]'
    )
    (found,) = MARKET_DATA.parse(frame, OPTION) or ()
    assert found == BookSnapshot(
        instrument=OPTION.instrument,
        bids=(("0.0015", "4714.0"),),
        asks=(("0.0025", "873.0"),),
        sequence=13169025645,
        ts_event=1626993723632000000,
        ts_init=5,
    )


def test_a_change_begins_after_the_one_it_names_and_a_delete_removes() -> None:
    frame = option_book(
        "change", '"prev_change_id":7,"change_id":9,"bids":[["delete",0.0015,0.0]],"asks":[["change",1e-4,2]]'
    )
    (found,) = MARKET_DATA.parse(frame, OPTION) or ()
    assert isinstance(found, BookDelta)
    assert (found.first_sequence, found.sequence) == (8, 9)
    assert (found.bids, found.asks) == ((("0.0015", "0"),), (("0.0001", "2"),))


def test_trades_are_read_with_their_liquidations() -> None:
    frame = notification(
        "trades.BTC-PERPETUAL.100ms",
        '[{"trade_seq":30289442,"trade_id":"48079269","timestamp":1590484512188,"tick_direction":2,"price":8950,'
        '"mark_price":8948.9,"instrument_name":"BTC-PERPETUAL","index_price":8955.88,"direction":"sell","amount":10,'
        '"liquidation":"M"}]',
    )
    trade, liquidation = MARKET_DATA.parse(frame, PERPETUAL) or ()
    assert trade == Trade(
        instrument=PERPETUAL.instrument,
        trade_id="48079269",
        price=Decimal(8950),
        size=Decimal(10),
        aggressor=Side.SELL,
        ts_event=1590484512188000000,
        ts_init=5,
    )
    assert isinstance(liquidation, Liquidation)
    assert liquidation.side is Side.BUY


def test_a_ticker_says_quote_prices_interest_and_funding() -> None:
    frame = notification(
        "ticker.BTC-PERPETUAL.100ms",
        '{"timestamp":1623059681955,"state":"open","settlement_price":36169.49,"open_interest":502097590,'
        '"min_price":35898.37,"max_price":36991.72,"mark_price":36446.51,"last_price":36457.5,"interest_value":1.7e-8,'
        '"instrument_name":"BTC-PERPETUAL","index_price":36441.64,"funding_8h":0.0000211,"current_funding":-1e-6,'
        '"best_bid_price":36442.5,"best_bid_amount":5000,"best_ask_price":36443,"best_ask_amount":100}',
    )
    quote, ticker, interest, funding = MARKET_DATA.parse(frame, PERPETUAL) or ()
    assert isinstance(quote, Quote)
    assert (quote.best_bid, quote.bid_size, quote.best_ask) == (Decimal("36442.5"), Decimal(5000), Decimal(36443))
    assert isinstance(ticker, Ticker)
    assert (ticker.last, ticker.mark, ticker.index) == (Decimal("36457.5"), Decimal("36446.51"), Decimal("36441.64"))
    assert isinstance(interest, OpenInterest)
    assert interest.open_interest == 502097590
    assert isinstance(funding, Funding)
    assert funding.rate == Decimal("-0.000001")


def test_a_definition_says_steps_and_kind() -> None:
    body = (
        b'{"jsonrpc":"2.0","result":{"tick_size":0.5,"tick_size_steps":[],"taker_commission":0.0005,'
        b'"settlement_period":"perpetual","settlement_currency":"BTC","rfq":false,"quote_currency":"USD",'
        b'"price_index":"btc_usd","min_trade_amount":10,"max_leverage":50,"maker_commission":0,"kind":"future",'
        b'"is_active":true,"instrument_type":"reversed","instrument_name":"BTC-PERPETUAL","instrument_id":210838,'
        b'"expiration_timestamp":32503708800000,"creation_timestamp":1534167754000,"counter_currency":"USD",'
        b'"contract_size":10,"base_currency":"BTC"},"usIn":1,"usOut":2,"usDiff":1,"testnet":false}'
    )
    answer = MARKET_DATA.answer("https://www.deribit.com/api/v2/public/get_instrument", body)
    assert answer == ("definition", "BTC-PERPETUAL")
    definition, _ = MARKET_DATA.parse(rest_frame("definition", "BTC-PERPETUAL", body), PERPETUAL) or ()
    assert isinstance(definition, Instrument)
    assert (definition.kind, definition.tick_size, definition.lot_size) == ("inverse", Decimal("0.5"), Decimal(10))
    assert (definition.base, definition.quote, definition.tradable) == ("BTC", "USD", True)


def test_the_recorded_lists_hold_definitions_of_options(data_dir: Path) -> None:
    bodies = [item.data for item in items_of(data_dir / RECORDING) if item.kind is Kind.ANSWER]
    assert {MARKET_DATA.answer("", body) for body in bodies} == {None}
    body = next(body for body in bodies if b"ETH-30JUL21-2800-C" in body)
    definition, _ = MARKET_DATA.parse(rest_frame("definition", "ETH-30JUL21-2800-C", body), OPTION) or ()
    assert isinstance(definition, Instrument)
    assert (definition.kind, definition.tick_size, definition.lot_size) == ("option", Decimal("0.0005"), Decimal(1))
    assert (definition.base, definition.quote) == ("ETH", "ETH")


@pytest.mark.parametrize(
    "frame",
    [
        option_book("change", '"change_id":9,"bids":[],"asks":[]'),
        option_book("change", '"prev_change_id":9,"change_id":9,"bids":[],"asks":[]'),
        option_book("snapshot", '"change_id":9,"bids":[["moved",1,1]],"asks":[]'),
        option_book("snapshot", '"change_id":9,"bids":[["new",1,1]],"asks":[]').replace(b"ETH-30", b"BTC-30"),
        b'{"jsonrpc":"2.0","id":8066,"error":{"message":"Method not found","code":-32601}}',
        b"[]",
    ],
)
def test_what_breaks_the_rules_is_a_bad_frame(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(frame, OPTION)


def test_answers_and_other_kinds_are_passed_over() -> None:
    for frame in (
        b'{"jsonrpc":"2.0","id":0,"result":["book.ETH-30JUL21-2800-C.raw"],"usIn":1,"usOut":2,"usDiff":1,"testnet":false}',
        notification("book.ETH-30JUL21-2800-C.none.10.100ms", '{"timestamp":1,"bids":[[1,2]],"asks":[],"change_id":1}'),
        notification("deribit_price_index.btc_usd", '{"timestamp":1,"price":2,"index_name":"btc_usd"}'),
    ):
        assert MARKET_DATA.parse(frame, OPTION) is None


@pytest.mark.parametrize(
    ("spelling", "instrument"),
    [
        ("BTC-PERPETUAL", "BTC-USD-PERP"),
        ("BTC_USDC-PERPETUAL", "BTC-USDC-PERP"),
        ("BTC-25MAR22", "BTC-USD-220325"),
        ("BTC-3JUN22", "BTC-USD-220603"),
        ("BTC-24SEP21-8000-P", "BTC-USD-210924-8000-P"),
        ("XRP_USDC-30JUN23-0d625-C", "XRP-USDC-230630-0.625-C"),
        ("ETH_BTC", "ETH-BTC"),
    ],
)
def test_spellings_are_translated_both_ways(spelling: str, instrument: str) -> None:
    assert MARKET_DATA.instrument_of("deribit", spelling) == f"deribit:{instrument}"
    assert MARKET_DATA.venue_symbol(f"deribit:{instrument}") == spelling


@given(
    st.from_regex(
        r"[A-Z]{2,4}(_[A-Z]{3,4})?(-(PERPETUAL|\d{1,2}(JAN|FEB|MEI|DEC)\d\d(-\d{1,5}(d\d)?-[CP])?))?", fullmatch=True
    )
)
def test_translation_and_its_inverse_agree(spelling: str) -> None:
    try:
        instrument = MARKET_DATA.instrument_of("deribit", spelling)
    except ValueError:
        return
    assert MARKET_DATA.venue_symbol(instrument) == spelling


@pytest.mark.parametrize(
    "spelling", ["BTC-FS-25MAR22_PERP", "BTC-31FEB22", "BTC-03JUN22", "BTC-3JUN2٢", "BTC", "BTC_USD-PERPETUAL"]
)
def test_what_is_no_single_instrument_has_no_id(spelling: str) -> None:
    with pytest.raises(ValueError, match="no"):
        MARKET_DATA.instrument_of("deribit", spelling)


def test_a_connection_takes_so_many_symbols_and_a_message_so_many_channels() -> None:
    symbols = [f"BTC-24SEP21-{n}-P" for n in range(1, 401)]
    found = MARKET_DATA.connections(Endpoints(), symbols)
    assert [len(c.symbols) for c in found] == [150, 150, 100]
    channels = [json.loads(m)["params"]["channels"] for c in found for m in c.subscribe]
    assert max(map(len, channels)) <= 100
    assert sum(map(len, channels)) == 1200
    assert "book.BTC-24SEP21-1-P.100ms" in MARKET_DATA.resubscribe("BTC-24SEP21-1-P")[1]


def test_the_recording_has_no_gap_and_every_book_equals_an_independent_one(data_dir: Path) -> None:
    path = data_dir / RECORDING
    played = assert_equal_books("deribit", items_of(path), NaiveBooks(), every=1)
    found = check([path], "deribit")
    assert len(found.instruments) == 10
    assert {(one.gaps, one.book_state, one.unreadable) for one in found.instruments} == {(0, "live", 0)}
    assert sum(one.book_updates for one in found.instruments) == 36
    assert sum(one.trades for one in found.instruments) == 0
    assert not played.of(Gap)


@pytest.mark.parametrize("fault", ["lost", "repeated", "swapped"])
def test_a_fault_ends_in_a_gap_and_the_next_snapshot_in_equality(data_dir: Path, fault: str) -> None:
    items = items_of(data_dir / RECORDING)
    symbol, instrument = "BTC-24SEP21-8000-P", "deribit:BTC-USD-210924-8000-P"
    changes = [
        n for n, i in enumerate(items) if b'"channel":"book.BTC-24SEP21-8000-P' in i.data and b'"change"' in i.data
    ]
    naive = NaiveBooks()

    def snapshot(item: Item) -> Item:
        bids, asks = naive.books[symbol]
        rows = [[f'["new",{p},{s}]' for p, s in side.items()] for side in (bids, asks)]
        data = (
            f'{{"type":"snapshot","timestamp":{item.ts // 1_000_000},"instrument_name":"{symbol}",'
            f'"change_id":{naive.change[symbol]},"bids":[{",".join(rows[0])}],"asks":[{",".join(rows[1])}]}}'
        )
        return item._replace(data=notification(f"book.{symbol}.raw", data))

    played = play("deribit", with_snapshot(items, fault, changes[10], changes[11], naive, snapshot))
    end = NaiveBooks()
    for item in items:
        end.feed(item)
    book = played.states[instrument].book
    assert sides(played.states[instrument]) == end.books[symbol]
    assert (book.gaps, book.resyncs) == ((0, 0) if fault == "repeated" else (1, 1))


def test_mutated_frames_never_raise_anything_else(data_dir: Path) -> None:
    fuzz("deribit", [i for i in items_of(data_dir / RECORDING) if i.kind is Kind.FRAME])
