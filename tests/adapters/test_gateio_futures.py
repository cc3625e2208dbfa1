"""Gate.io's perpetuals and futures, on the venue's documented examples; books over frames made from them."""

import json
from decimal import Decimal

import pytest

from adapters.base import BadFrame, Endpoints, Reading, rest_frame
from adapters.gateio.market import MARKET_DATA
from infra.captures import Item, Kind
from tests.adapters.venues import fuzz, play, sides
from topics.market import BookDelta, Funding, Instrument, Liquidation, OpenInterest, Quote, Ticker, Trade
from topics.record import Side

READING = Reading("gateio", "gateio:BTC-USD-PERP", 5, 0, {})
URL = "wss://fx-ws.gateio.ws/v4/ws/btc"
DEPTH = "https://api.gateio.ws/api/v4/futures/btc/order_book?contract=BTC_USD&limit=100&with_id=true"
BODY = b'{"id":10,"current":1623898993.123,"update":1623898993.121,"asks":[{"p":"54743.6","s":100}],"bids":[{"p":"54672.1","s":150}]}'


def update(channel: str, result: str) -> bytes:
    return (
        f'{{"time":1615366381,"channel":"futures.{channel}","event":"update","error":null,"result":{result}}}'.encode()
    )


def changed(first: int, last: int, ask: int) -> bytes:
    levels = f'"b":[{{"p":"54672.1","s":0}}],"a":[{{"p":"54743.6","s":0}},{{"p":"54742","s":{ask}}}]'
    return update("order_book_update", f'{{"t":1615366381417,"s":"BTC_USD","U":{first},"u":{last},{levels}}}')


def test_a_change_carries_its_first_and_last_number() -> None:
    (found,) = MARKET_DATA.parse(changed(7, 9, 95), READING) or ()
    assert found == BookDelta(
        instrument=READING.instrument,
        bids=(("54672.1", "0"),),
        asks=(("54743.6", "0"), ("54742", "95")),
        first_sequence=7,
        sequence=9,
        ts_event=1615366381417000000,
        ts_init=5,
    )


def test_the_sign_of_a_trade_is_its_side() -> None:
    result = (
        '[{"size":-108,"id":27753479,"create_time":1545136464,"create_time_ms":1545136464123,"price":"96.4",'
        '"contract":"BTC_USD"}]'
    )
    (found,) = MARKET_DATA.parse(update("trades", result), READING) or ()
    assert found == Trade(
        instrument=READING.instrument,
        trade_id="27753479",
        price=Decimal("96.4"),
        size=Decimal(108),
        aggressor=Side.SELL,
        ts_event=1545136464123000000,
        ts_init=5,
    )


def test_best_prices_are_a_quote() -> None:
    result = '{"t":1615366379123,"u":2517661076,"s":"BTC_USD","b":"54696.6","B":37000,"a":"54696.7","A":47061}'
    (found,) = MARKET_DATA.parse(update("book_ticker", result), READING) or ()
    assert isinstance(found, Quote)
    assert (found.best_bid, found.bid_size, found.ask_size) == (Decimal("54696.6"), Decimal(37000), Decimal(47061))


def test_a_ticker_tells_prices_funding_and_interest() -> None:
    result = (
        '[{"contract":"BTC_USD","last":"118.4","change_percentage":"0.77","funding_rate":"-0.000114",'
        '"funding_rate_indicative":"0.01875","mark_price":"118.35","index_price":"118.36","total_size":"73648"}]'
    )
    prices, funding, interest = MARKET_DATA.parse(update("tickers", result), READING) or ()
    assert isinstance(prices, Ticker)
    assert (prices.last, prices.mark, prices.index) == (Decimal("118.4"), Decimal("118.35"), Decimal("118.36"))
    assert isinstance(funding, Funding)
    assert funding.rate == Decimal("-0.000114")
    assert isinstance(interest, OpenInterest)
    assert interest.open_interest == 73648


def test_a_liquidation_is_read() -> None:
    result = '[{"price":215.1,"size":-124,"time":1541486601,"time_ms":1541486601123,"contract":"BTC_USD"}]'
    (found,) = MARKET_DATA.parse(update("public_liquidates", result), READING) or ()
    assert isinstance(found, Liquidation)
    assert (found.side, found.price, found.size) == (Side.SELL, Decimal("215.1"), Decimal(124))


def test_a_contract_is_defined() -> None:
    body = (
        b'{"name":"BTC_USDT","type":"direct","quanto_multiplier":"0.0001","order_price_round":"0.1","order_size_min":1,'
        b'"order_size_max":1000000,"maker_fee_rate":"-0.00025","taker_fee_rate":"0.00075","in_delisting":false}'
    )
    answer = MARKET_DATA.answer("https://api.gateio.ws/api/v4/futures/usdt/contracts/BTC_USDT", body)
    assert answer == ("contract", "futures|BTC_USDT")
    about = Reading("gateio", "gateio:BTC-USDT-PERP", 5, 0, {})
    definition, _ = MARKET_DATA.parse(rest_frame("contract", "futures|BTC_USDT", body), about) or ()
    assert isinstance(definition, Instrument)
    assert (definition.kind, definition.tick_size, definition.multiplier) == (
        "linear",
        Decimal("0.1"),
        Decimal("0.0001"),
    )


def test_a_frame_of_the_other_market_is_a_bad_frame() -> None:
    for reading, frame in (
        (Reading("gateio", "gateio:BTC-USD", 5, 0, {}), changed(7, 9, 95)),
        (READING, changed(7, 9, 95).replace(b"futures.", b"spot.")),
    ):
        with pytest.raises(BadFrame):
            MARKET_DATA.parse(frame, reading)


@pytest.mark.parametrize(
    ("spelling", "instrument"),
    [
        ("futures|BTC_USDT", "BTC-USDT-PERP"),
        ("futures|BTC_USD", "BTC-USD-PERP"),
        ("futures|BTC_USDT_20210924", "BTC-USDT-210924"),
        ("BTC_USDT", "BTC-USDT"),
    ],
)
def test_spellings_are_translated_both_ways(spelling: str, instrument: str) -> None:
    assert MARKET_DATA.instrument_of("gateio", spelling) == f"gateio:{instrument}"
    assert MARKET_DATA.venue_symbol(f"gateio:{instrument}") == spelling


def test_each_market_has_connections_of_its_own() -> None:
    symbols = ["BTC_USDT", "futures|BTC_USDT", "futures|BTC_USD", "futures|BTC_USDT_20210924"]
    found = MARKET_DATA.connections(Endpoints(), symbols)
    assert [c.url.rpartition("/ws/")[2] for c in found] == ["v4/", "usdt", "btc", "delivery/usdt"]
    assert json.loads(found[1].subscribe[0])["payload"] == ["BTC_USDT", "100ms", "100"]
    assert "futures.ping" in found[1].ping


def recording(*frames: bytes) -> list[Item]:
    answer = Item(3, Kind.ANSWER, "", DEPTH, BODY)
    opened = Item(1, Kind.OPENED, "ws", URL, b"")
    return [opened, answer, *[Item(10 + n, Kind.FRAME, "ws", "", frame) for n, frame in enumerate(frames)]]


def test_a_book_is_bridged_and_a_lost_change_is_a_gap() -> None:
    played = play("gateio", recording(changed(9, 10, 1), changed(10, 12, 2), changed(13, 13, 3)))
    assert sides(played.states["gateio:BTC-USD-PERP"]) == ({}, {Decimal(54742): Decimal(3)})
    broken = play("gateio", recording(changed(9, 10, 1), changed(10, 12, 2), changed(14, 14, 3)))
    assert broken.states["gateio:BTC-USD-PERP"].book.gaps == 1


def test_mutated_frames_never_raise_anything_else() -> None:
    trade = (
        '[{"size":-108,"id":27753479,"create_time":1545136464,"create_time_ms":1,"price":"96.4","contract":"BTC_USD"}]'
    )
    ticker = (
        '[{"contract":"BTC_USD","last":"118.4","funding_rate":"-0.000114","mark_price":"118.35","total_size":"73648"}]'
    )
    fuzz("gateio", recording(changed(10, 12, 2), update("trades", trade), update("tickers", ticker)))
