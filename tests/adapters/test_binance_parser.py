import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from adapters.base import BadFrame, Endpoints, Reading, Session, rest_frame, session_frame
from adapters.binance.market import MARKET_DATA
from adapters.binance.parser import parse
from adapters.binance.public import api_url
from adapters.binance.symbols import instrument_of, symbols_in, venue_symbol
from adapters.registry import market_data
from tests.recordings import cryptofeed_exchange_info, gocryptotrader_answer, hftbacktest
from topics.market import BookDelta, BookSnapshot, Instrument, InstrumentStatus, Quote, Trade, TradingStatus
from topics.record import Side

BTC = Reading("sim", "sim:BTC-USDT", 1_723_161_254_087_896_568, 0, {})
DEPTH = (
    b'{"e":"depthUpdate","E":1723161255308,"s":"BTCUSDT","U":50093239203,"u":50093239207,'
    b'"b":[["55653.87000000","0.00000000"]],"a":[["61838.04000000","0.32332000"],["61844.30000000","0.40163000"]]}'
)
TRADE = (
    b'{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000",'
    b'"T":1723161255342,"m":true,"M":true}'
)
TICKER = b'{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}'
BODY = b'{"lastUpdateId":50093239218,"bids":[["61837.63000000","3.78826000"]],"asks":[["61837.64000000","1.54698000"]]}'


def combined(stream: str, frame: bytes) -> bytes:
    return b'{"stream":"btcusdt@%b","data":%b}' % (stream.encode(), frame)


def altered(frame: bytes, **fields: Any) -> bytes:
    return json.dumps({**json.loads(frame), **fields}).encode()


def test_a_depth_update_keeps_the_venues_numbers_and_sequence() -> None:
    assert parse(DEPTH, BTC) == (
        BookDelta(
            instrument="sim:BTC-USDT",
            bids=(("55653.87000000", "0.00000000"),),
            asks=(("61838.04000000", "0.32332000"), ("61844.30000000", "0.40163000")),
            first_sequence=50093239203,
            sequence=50093239207,
            ts_event=1_723_161_255_308_000_000,
            ts_init=BTC.ts_init,
        ),
    )


def test_a_trade_whose_buyer_was_the_maker_was_made_by_a_seller() -> None:
    (trade,) = parse(TRADE, BTC) or ()
    assert isinstance(trade, Trade)
    assert (trade.aggressor, trade.trade_id, trade.ts_event) == (Side.SELL, "3735683259", 1_723_161_255_342_000_000)
    (bought,) = parse(altered(TRADE, m=False), BTC) or ()
    assert isinstance(bought, Trade)
    assert bought.aggressor is Side.BUY


def test_digits_are_kept_to_the_last_zero() -> None:
    (trade,) = parse(TRADE, BTC) or ()
    (quote,) = parse(TICKER, BTC) or ()
    assert isinstance(trade, Trade)
    assert isinstance(quote, Quote)
    assert (str(trade.price), str(trade.size)) == ("61837.63000000", "0.02000000")
    assert (str(quote.best_bid), str(quote.bid_size)) == ("61837.63000000", "3.78826000")


def test_a_quote_tells_no_time_so_the_newest_time_of_the_venue_stands_in() -> None:
    (with_time,) = parse(TICKER, replace(BTC, ts_venue=7)) or ()
    (without,) = parse(TICKER, BTC) or ()
    assert isinstance(with_time, Quote)
    assert isinstance(without, Quote)
    assert (with_time.ts_event, without.ts_event) == (7, BTC.ts_init)


@pytest.mark.parametrize(
    ("stream", "frame"), [("depth@100ms", DEPTH), ("depth", DEPTH), ("trade", TRADE), ("bookTicker", TICKER)]
)
def test_combined_and_raw_frames_say_the_same(stream: str, frame: bytes) -> None:
    assert parse(combined(stream, frame), BTC) == parse(frame, BTC)
    assert parse(altered(combined(stream, frame)), BTC) == parse(frame, BTC)  # spaces between the tokens


def test_a_wrapped_snapshot_is_a_book() -> None:
    (book,) = parse(rest_frame("depth", "BTCUSDT", BODY), BTC) or ()
    assert isinstance(book, BookSnapshot)
    assert book.sequence == 50093239218
    assert book.bids == (("61837.63000000", "3.78826000"),)


def test_of_single_and_aggregate_trades_the_kind_that_came_first_counts() -> None:
    aggregate = altered(TRADE, e="aggTrade", a=7)
    for first, other in ((TRADE, aggregate), (aggregate, TRADE)):
        reading = replace(BTC, memory={})
        assert [len(parse(frame, reading) or ()) for frame in (first, other, first)] == [1, 0, 1]


def test_a_session_line_is_a_session() -> None:
    assert parse(session_frame("12-1", "BTCUSDT"), BTC) == (Session("12-1"),)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"result":null,"id":1}',
        combined("kline_1m", b'{"e":"kline","s":"BTCUSDT"}'),
        b'{"e":"24hrTicker","s":"BTCUSDT"}',
        altered(TICKER, b="0.00000000", B="0.00000000"),
        b"{}",
    ],
)
def test_what_nobody_asked_for_is_passed_over(frame: bytes) -> None:
    assert parse(frame, BTC) is None


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"<html>",
        DEPTH[:-1],
        combined("depth@100ms", TRADE),
        altered(DEPTH, s="ETHUSDT"),
        altered(DEPTH, U=50093239208),
        altered(DEPTH, b=[["1"]]),
        altered(DEPTH, E=10**30),
        altered(DEPTH, u=10**30),
        altered(TRADE, q="0"),
        altered(TRADE, p="-1"),
        altered(TRADE, p="NaN"),
        altered(TICKER, b="61837.65"),
        altered(TICKER, A="-1"),
        b'{"error":{"code":2,"msg":"Invalid request"},"id":1}',
        rest_frame("depth", "BTCUSDT", b"<html>"),
        rest_frame("depth", "ETHUSDT", BODY),
        rest_frame("exchangeInfo", "BTCUSDT", b'{"serverTime":1,"symbols":[]}'),
        b'{"rest":"depth","symbol":"BTCUSDT"}',
        b"[" * 100_000,
    ],
)
def test_what_breaks_the_venues_rules_is_a_bad_frame(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        parse(frame, BTC)


@given(frame=st.sampled_from([DEPTH, TRADE, TICKER, rest_frame("depth", "BTCUSDT", BODY)]), data=st.data())
def test_a_damaged_frame_is_read_or_refused_and_nothing_else(frame: bytes, data: st.DataObject) -> None:
    damaged = bytearray(frame)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]), BTC)
    except BadFrame:
        pass


def test_every_recorded_frame_is_read_and_every_number_keeps_its_digits(data_dir: Path) -> None:
    numbers = 0
    for frame in hftbacktest(data_dir / "hftbacktest" / "spot" / "btcusdt_20240808.gz"):
        (record,) = parse(frame.data, BTC) or ()
        wire = json.loads(frame.data)["data"]
        match record:
            case Trade():
                said, told = [wire["p"], wire["q"]], [record.price, record.size]
            case Quote():
                said = [wire["b"], wire["B"], wire["a"], wire["A"]]
                told = [record.best_bid, record.bid_size, record.best_ask, record.ask_size]
            case BookDelta():
                said = [x for level in wire["b"] + wire["a"] for x in level]
                told = [x for level in record.bids + record.asks for x in level]
            case BookSnapshot():
                said = [x for level in wire["bids"] + wire["asks"] for x in level]
                told = [x for level in record.bids + record.asks for x in level]
        assert [x if isinstance(x, str) else f"{x:f}" for x in told] == said
        numbers += len(said)
    assert numbers > 200_000


def test_recorded_definitions_have_the_filters_numbers(data_dir: Path) -> None:
    path = data_dir / "gocryptotrader-http" / "binance_http.json.gz"
    body = gocryptotrader_answer(path, "/api/v3/exchangeInfo")
    reading = Reading("binance", "binance:ETH-BTC", 5, 0, {})
    definition, status = parse(rest_frame("exchangeInfo", "ETHBTC", body), reading) or ()
    assert definition == Instrument(
        instrument="binance:ETH-BTC",
        venue="binance",
        venue_symbol="ETHBTC",
        base="ETH",
        quote="BTC",
        tick_size=Decimal("0.00001"),
        lot_size=Decimal("0.0001"),
        min_qty=Decimal("0.0001"),
        max_qty=Decimal("100000"),
        min_notional=Decimal("0.0001"),
        max_notional=Decimal("9000000"),
        ts_init=5,
    )
    assert isinstance(status, InstrumentStatus)
    assert status.status is TradingStatus.TRADING


def test_every_recorded_symbol_has_a_definition_and_a_spelling_both_ways(data_dir: Path) -> None:
    body = cryptofeed_exchange_info(data_dir / "cryptofeed" / "BINANCE.jsonl.zst")
    symbols = json.loads(body)["symbols"]
    halted = 0
    for one in symbols:
        instrument = f"binance:{one['baseAsset']}-{one['quoteAsset']}"
        assert venue_symbol(instrument) == one["symbol"]
        assert instrument_of("binance", one["symbol"]) == instrument
        small = json.dumps({"serverTime": 1, "symbols": [one]}).encode()
        parsed = parse(rest_frame("exchangeInfo", one["symbol"], small), Reading("binance", instrument, 1, 0, {})) or ()
        definition = parsed[0]
        assert isinstance(definition, Instrument)
        assert definition.tick_size > 0
        assert definition.lot_size > 0
        halted += not definition.tradable
    assert 0 < halted < len(symbols)


def test_the_scan_for_a_symbol_agrees_with_every_recorded_frame(data_dir: Path) -> None:
    with gzip.open(data_dir / "hftbacktest" / "spot" / "ethusdt_20240809.gz") as lines:
        frames = [line.strip().partition(b" ")[2] for line, _ in zip(lines, range(4000), strict=False)]
    for frame in filter(None, frames):
        raw = json.dumps(json.loads(frame)["data"], separators=(",", ":")).encode()
        assert symbols_in(frame) == symbols_in(raw) == ("ETHUSDT",)


@given(st.binary(max_size=80))
def test_the_scan_takes_any_bytes(junk: bytes) -> None:
    symbols_in(junk)
    symbols_in(b'{"stream":"' + junk)
    symbols_in(b'"s":"' + junk)


def test_an_unknown_spelling_is_an_error_with_a_word() -> None:
    with pytest.raises(ValueError, match="spot instrument"):
        venue_symbol("binance:BTC-USDT-PERP")
    with pytest.raises(ValueError, match="quote currency"):
        instrument_of("binance", "USDT")
    with pytest.raises(ValueError, match="no adapter named 'nyse'"):
        market_data("nyse")


def test_addresses_are_the_venues_own_unless_configured() -> None:
    def url(endpoints: Endpoints) -> str:
        (connection,) = MARKET_DATA.connections(endpoints, ["BTCUSDT"])
        return connection.url

    assert url(Endpoints()) == "wss://stream.binance.com:9443/stream"
    assert "testnet" in url(Endpoints(sandbox=True))
    assert url(Endpoints(ws_url="ws://127.0.0.1:1")) == "ws://127.0.0.1:1/stream"
    assert url(Endpoints(ws_url="ws://127.0.0.1:1/stream")) == "ws://127.0.0.1:1/stream"
    assert api_url("http://h") == api_url("http://h/api/v3") == "http://h/api/v3"


def test_a_subscription_is_split_into_messages_the_venue_accepts() -> None:
    (connection,) = MARKET_DATA.connections(Endpoints(), [f"A{i}USDT" for i in range(50)])
    messages = [json.loads(m) for m in connection.subscribe]
    assert [m["id"] for m in messages] == [1, 2]
    assert sum(len(m["params"]) for m in messages) == 150
    assert messages[0]["params"][:3] == ["a0usdt@depth@100ms", "a0usdt@trade", "a0usdt@bookTicker"]
