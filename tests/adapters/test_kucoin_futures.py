"""KuCoin's perpetuals, on the venue's documented examples and books made of a seed."""

import json
import random
from decimal import Decimal
from typing import Any

import pytest

from adapters.base import BadFrame, Endpoints, Reading, rest_frame
from adapters.kucoin.market import FUTURES_URL, MARKET_DATA, STREAM_URL
from infra.captures import Item, Kind
from tests.adapters.venues import Sides, fuzz, play, sides
from topics.market import BookDelta, BookSnapshot, Funding, Gap, Instrument, OpenInterest, Quote, Ticker, Trade
from topics.record import Side

NAME, SYMBOL = "kucoin:BTC-USDT-PERP", "futures|XBTUSDTM"
URL = "https://api-futures.kucoin.com/api/v1/level2/snapshot?symbol=XBTUSDTM"


def reading(instrument: str = NAME) -> Reading:
    return Reading("kucoin", instrument, 5, 0, {})


def frame(topic: str, subject: str, data: Any, symbol: str = "XBTUSDTM") -> bytes:
    told = {"topic": f"{topic}:{symbol}", "type": "message", "subject": subject, "data": data}
    return json.dumps(told, separators=(",", ":")).encode()


def change(sequence: int, words: str, ms: int = 1731897467182) -> bytes:
    return frame("/contractMarket/level2", "level2", {"sequence": sequence, "change": words, "timestamp": ms})


def whole(sequence: int, bids: list[list[float]], asks: list[list[float]]) -> bytes:
    data = {"sequence": sequence, "symbol": "XBTUSDTM", "bids": bids, "asks": asks, "ts": 1729168101216000000}
    return json.dumps({"code": "200000", "data": data}, separators=(",", ":")).encode()


def test_a_change_is_one_level_with_its_side() -> None:
    assert MARKET_DATA.symbols_in(change(7, "90631.2,sell,2")) == (SYMBOL,)
    assert MARKET_DATA.parse(change(1709400450243, "90631.2,sell,2"), reading()) == (
        BookDelta(
            instrument=NAME,
            bids=(),
            asks=(("90631.2", "2"),),
            first_sequence=1709400450243,
            sequence=1709400450243,
            ts_event=1731897467182000000,
            ts_init=5,
        ),
    )


def test_an_answer_begins_a_book_with_the_digits_of_its_numbers() -> None:
    body = whole(7, [[66968, 51], [66967.5, 2]], [[66969.10, 7]]).replace(b"66969.1,", b"66969.10,")
    assert MARKET_DATA.answer(URL, body) == ("depth", SYMBOL)
    (book,) = MARKET_DATA.parse(rest_frame("depth", SYMBOL, body), reading()) or ()
    assert isinstance(book, BookSnapshot)
    assert (book.bids, book.asks) == ((("66968", "51"), ("66967.5", "2")), (("66969.10", "7"),))
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(rest_frame("depth", "futures|ETHUSDTM", body), reading("kucoin:ETH-USDT-PERP"))


def test_trades_quotes_marks_and_funding() -> None:
    match = {
        "symbol": "XBTUSDTM",
        "sequence": 7,
        "side": "buy",
        "size": 2,
        "price": "90503.9",
        "tradeId": "1794100537695",
    }
    (trade,) = (
        MARKET_DATA.parse(frame("/contractMarket/execution", "match", {**match, "ts": 1731898619520000000}), reading())
        or ()
    )
    assert isinstance(trade, Trade)
    assert (trade.price, trade.size, trade.aggressor) == (Decimal("90503.9"), Decimal(2), Side.BUY)
    best = {"bestBidSize": 795, "bestBidPrice": "3200.0", "bestAskPrice": "3600.0", "bestAskSize": 284}
    ticker = {"symbol": "XBTUSDTM", "sequence": 9, **best, "ts": 1553846081210004941}
    (quote,) = MARKET_DATA.parse(frame("/contractMarket/tickerV2", "tickerV2", ticker), reading()) or ()
    assert isinstance(quote, Quote)
    assert (quote.best_bid, quote.ask_size, quote.ts_event) == (Decimal(3200), Decimal(284), 1553846081210004941)
    prices = {"granularity": 1000, "indexPrice": 4000.23, "markPrice": 4010.52, "timestamp": 1551770400000}
    (told,) = MARKET_DATA.parse(frame("/contract/instrument", "mark.index.price", prices), reading()) or ()
    assert isinstance(told, Ticker)
    assert (told.mark, told.index) == (Decimal("4010.52"), Decimal("4000.23"))
    rate = {"granularity": 60000, "fundingRate": -0.002966, "timestamp": 1551770400000}
    (funding,) = MARKET_DATA.parse(frame("/contract/instrument", "funding.rate", rate), reading()) or ()
    assert isinstance(funding, Funding)
    assert funding.rate == Decimal("-0.002966")


@pytest.mark.parametrize("inverse", [False, True])
def test_a_definition_says_steps_multiplier_kind_and_open_interest(inverse: bool) -> None:
    symbol, name = ("XBTUSDM", "kucoin:BTC-USD-PERP") if inverse else ("XBTUSDTM", NAME)
    told = {
        "symbol": symbol,
        "lotSize": 1,
        "tickSize": 0.1,
        "multiplier": -1 if inverse else 0.001,
        "isInverse": inverse,
        "openInterest": "2566974",
    }
    body = json.dumps({"code": "200000", "data": {**told, "status": "Open", "makerFeeRate": 0.0002}}).encode()
    found, _, interest = MARKET_DATA.parse(rest_frame("contract", f"futures|{symbol}", body), reading(name)) or ()
    assert isinstance(found, Instrument)
    assert (found.venue_symbol, found.base, found.quote) == (symbol, "BTC", "USD" if inverse else "USDT")
    assert (found.tick_size, found.kind) == (Decimal("0.1"), "inverse" if inverse else "linear")
    assert found.multiplier == (1 if inverse else Decimal("0.001"))
    assert found.tradable
    assert isinstance(interest, OpenInterest)
    assert interest.open_interest == 2566974


@pytest.mark.parametrize(
    "broken",
    [
        change(7, "90631.2,sell"),
        change(7, "90631.2,up,2"),
        change(-1, "1,buy,1"),
        frame("/contract/instrument", "", []),
    ],
)
def test_what_breaks_the_rules_is_a_bad_frame(broken: bytes) -> None:
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(broken, reading())


def test_the_two_markets_are_told_apart() -> None:
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(change(7, "1,buy,1"), reading("kucoin:BTC-USDT"))
    for symbol, name in ((SYMBOL, NAME), ("futures|XBTUSDM", "kucoin:BTC-USD-PERP"), ("BTC-USDT", "kucoin:BTC-USDT")):
        assert (MARKET_DATA.instrument_of("kucoin", symbol), MARKET_DATA.venue_symbol(name)) == (name, symbol)
    for symbol in ("futures|XBTMU26", "futures|BTCUSDTM", "XBTUSDTM", "futures|BTC-USDT"):
        with pytest.raises(ValueError, match="neither"):
            MARKET_DATA.instrument_of("kucoin", symbol)
    spot, futures = sorted(MARKET_DATA.connections(Endpoints(), ["BTC-USDT", SYMBOL]), key=lambda c: c.symbols)
    assert (spot.url, futures.url) == (STREAM_URL, FUTURES_URL)
    assert '"topic":"/contractMarket/level2:XBTUSDTM"' in futures.subscribe[0]


def stream(seed: int, n: int) -> tuple[list[Item], list[Sides]]:
    """Changes of one level each, an answer among the first, and the true book after each item."""
    chance, book, truth = random.Random(seed), ({}, {}), list[Sides]()
    for price in range(90, 100):
        book[0][Decimal(price)] = book[1][Decimal(price + 11)] = Decimal(5)
    items: list[Item] = []
    for number in range(1, n + 1):
        at, size = chance.randrange(2), chance.choice([0, 1, 40])
        price = Decimal(chance.randrange(85, 100) if at == 0 else chance.randrange(101, 115))
        if size:
            book[at][price] = Decimal(size)
        else:
            book[at].pop(price, None)
        items.append(
            Item(number * 2, Kind.FRAME, "ws", "", change(number, f"{price},{('buy', 'sell')[at]},{size}", number))
        )
        truth.append((dict(book[0]), dict(book[1])))
        if number == 4:
            rows = [[[float(p), int(s)] for p, s in side.items()] for side in book]
            items.append(Item(number * 2 + 1, Kind.ANSWER, "", URL, whole(number, rows[0], rows[1])))
            truth.append(truth[-1])
    return items, truth


@pytest.mark.parametrize("seed", range(5))
def test_books_are_true_and_a_lost_change_is_a_gap(seed: int) -> None:
    items, truth = stream(seed, 60)
    state = play("kucoin", items).states[NAME]
    assert (state.book.gaps, sides(state)) == (0, truth[-1])
    lost = play("kucoin", items[:30] + items[31:])
    assert [r.reason for r in lost.of(Gap) if isinstance(r, Gap)] == ["sequence"]
    assert sides(lost.states[NAME]) is None


def test_mutated_frames_never_raise_anything_else() -> None:
    fuzz("kucoin", stream(1, 40)[0], rounds=600)
