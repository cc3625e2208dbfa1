"""The generic adapter: what ccxt.pro tells, from scripted frames of ours, and from a scripted server that speaks Bitstamp."""

import asyncio
import json
import tomllib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import unused_port
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import BadFrame, Endpoints, Reading, Session, VenueRefused, VenueUnreachable, session_frame
from adapters.generic.watching import Digits, MarketsRest, Watching, text_of
from adapters.registry import adapter_of, market_data
from infra.captures import Item, Kind
from infra.config import VenueConfig
from infra.errors import Problem
from pipelines.record import toml
from tests.adapters.venues import fuzz, play, sides
from topics.market import BookSnapshot, Instrument, Quote, Ticker, Trade
from topics.record import Side

MARKET_DATA = market_data("ccxt:bitget")
BOOK = b"""{"ccxt":"book","symbol":"BTC/USDT","depth":0,"bids":[["65083.66","0.20"]],"asks":[["65083.67","3e-05"]],\
"timestamp":1786310816618,"nonce":12}"""
TRADES = b"""{"ccxt":"trades","symbol":"BTC/USDT","trades":[{"id":"7","price":"65083.660","amount":"0.1","side":"sell",\
"timestamp":1786310816618},{"id":"8","price":"65083.67","amount":"1","side":null,"timestamp":1786310816619}]}"""
TICKER = b"""{"ccxt":"ticker","symbol":"BTC/USDT","bid":"65083.66","bidVolume":"0.2","ask":"65083.67","askVolume":"0.3",\
"last":"65083.66","markPrice":null,"indexPrice":null,"timestamp":1786310816618}"""
MARKET = b"""{"rest":"market","symbol":"BTC/USDT","data":{"base":"BTC","quote":"USDT","tick":"0.01","lot":"0.00001",\
"contractSize":null,"active":true,"minAmount":"0.0001","maxAmount":null,"minCost":"5","maxCost":null,"maker":"0.001",\
"taker":"0.001"}}"""
NS = 1_786_310_816_618_000_000


def reading(instrument: str = "bitget:BTC-USDT") -> Reading:
    return Reading("bitget", instrument, 5, 0, {})


def test_a_book_is_whole_and_says_that_it_is_sampled() -> None:
    assert MARKET_DATA.parse(BOOK, reading()) == (
        BookSnapshot(
            instrument="bitget:BTC-USDT",
            bids=(("65083.66", "0.20"),),
            asks=(("65083.67", "3e-05"),),
            sampled=True,
            sequence=12,
            ts_event=NS,
            ts_init=5,
        ),
    )


def test_a_trade_is_told_once_and_one_without_a_side_is_not() -> None:
    at = reading()
    (trade,) = MARKET_DATA.parse(TRADES, at) or ()
    assert isinstance(trade, Trade)
    assert (trade.trade_id, str(trade.price), trade.aggressor, trade.ts_event) == ("7", "65083.660", Side.SELL, NS)
    assert MARKET_DATA.parse(TRADES, at) == []


def test_a_ticker_tells_a_quote_and_the_last_price() -> None:
    quote, ticker = MARKET_DATA.parse(TICKER, reading()) or ()
    assert isinstance(quote, Quote)
    assert isinstance(ticker, Ticker)
    assert (str(quote.best_ask), str(quote.ask_size), str(ticker.last)) == ("65083.67", "0.3", "65083.66")


def test_a_definition_says_that_the_view_is_sampled() -> None:
    definition, _ = MARKET_DATA.parse(MARKET, reading()) or ()
    assert isinstance(definition, Instrument)
    assert (definition.tick_size, definition.min_notional, definition.kind) == (Decimal("0.01"), Decimal(5), "spot")
    assert definition.sampled


@pytest.mark.parametrize(
    "frame", [b"[]", b'{"ccxt":"book"}', BOOK.replace(b"BTC/", b"ETH/"), TICKER.replace(b"65083.67", b"1")]
)
def test_what_cannot_be_is_a_bad_frame(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(frame, reading())


def test_mutated_frames_never_raise_anything_else() -> None:
    items = [Item(n, Kind.FRAME, "ccxt", "", frame) for n, frame in enumerate((BOOK, TRADES, TICKER, BOOK), start=1)]
    fuzz("ccxt:bitget", items)


@pytest.mark.parametrize(
    ("spelling", "instrument"),
    [
        ("BTC/USDT", "BTC-USDT"),
        ("BTC/USDT:USDT", "BTC-USDT-PERP"),
        ("BTC/USD:BTC", "BTC-USD-PERP-INV"),
        ("BTC/USDT:USDT-250926", "BTC-USDT-250926"),
        ("BTC/USD:BTC-250926-50000-C", "BTC-USD-250926-50000-C-INV"),
    ],
)
def test_spellings_are_translated_both_ways(spelling: str, instrument: str) -> None:
    assert MARKET_DATA.instrument_of("bitget", spelling) == f"bitget:{instrument}"
    assert MARKET_DATA.venue_symbol(f"bitget:{instrument}") == spelling


@given(st.from_regex(r"[A-Z0-9]{1,6}/[A-Z]{2,5}(:[A-Z]{2,5}(-\d{6}(-\d{1,5}-[CP])?)?)?", fullmatch=True))
def test_translation_and_its_inverse_agree(symbol: str) -> None:
    try:
        instrument = MARKET_DATA.instrument_of("bitget", symbol)
    except ValueError:
        return
    assert MARKET_DATA.venue_symbol(instrument) == symbol


@given(st.decimals(min_value=0, max_value=10**9, places=8))
def test_numbers_keep_their_digits_through_ccxt(number: Decimal) -> None:
    assert text_of(Digits(str(number))) == str(number)
    assert Decimal(text_of(float(str(round(number, 6)))) or "") == round(number, 6)


def test_venues_that_nobody_knows_have_no_adapter() -> None:
    assert (adapter_of("bitget"), adapter_of("kraken")) == ("ccxt:bitget", "kraken")
    for name in ("nowhere", "ccxt:nowhere", "ccxt:", "ccxt:../base/exchange"):
        with pytest.raises(ValueError, match="no adapter named"):
            market_data(name)
        with pytest.raises(ValueError, match="no adapter named"):
            adapter_of(name)


PAIR = {
    "name": "BTC/USD",
    "market_symbol": "btcusd",
    "base_currency": "BTC",
    "base_decimals": 8,
    "counter_currency": "USD",
    "counter_decimals": 2,
    "minimum_order_value": "10",
    "trading": "Enabled",
    "instant_order_counter_decimals": 2,
    "instant_and_market_orders": "Enabled",
    "description": "Bitcoin / U.S. dollar",
    "market_type": "SPOT",
}
T0 = 1641343691000000


def diff(n: int, bids: list[list[str]], asks: list[list[str]]) -> dict[str, Any]:
    data = {"timestamp": str((T0 + n) // 10**6), "microtimestamp": str(T0 + n), "bids": bids, "asks": asks}
    return {"data": data, "channel": "diff_order_book_btcusd", "event": "data"}


class Bitstamp:
    """Sends its diffs once a book is subscribed to, and answers with a book as of the fourth."""

    def __init__(self) -> None:
        self.port = unused_port()
        self.diffs = [diff(n, [[f"{100 - n}.50", "0.10000000"]], [[f"{101 + n}.25", "1.00000007"]]) for n in range(9)]
        self.diffs[8]["data"]["bids"].append(["93.50", "0.00000000"])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Endpoints]:
        app = web.Application()
        app.add_routes([web.get("/api/{path:.*}", self._rest), web.get("/", self._stream)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield Endpoints(f"http://127.0.0.1:{self.port}", f"ws://127.0.0.1:{self.port}")
        finally:
            await runner.cleanup()

    async def _rest(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        if "order_book" in path:
            found: Any = diff(4, [["100.50", "2.00000000"]], [["101.25", "3.00000000"]])["data"]
        else:
            found = [PAIR] if "markets" in path else []
        return web.json_response(found)

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        with suppress(ConnectionError):
            async for message in socket:
                if message.type is WSMsgType.TEXT and "diff_order_book" in message.data:
                    succeeded = {"event": "bts:subscription_succeeded", "channel": "diff_order_book_btcusd", "data": {}}
                    for told in [succeeded, *self.diffs]:
                        await socket.send_str(json.dumps(told))
        return socket


async def test_ccxts_bitstamp_is_watched_and_its_digits_are_the_venues() -> None:
    async with Bitstamp().running() as endpoints:
        async with aclosing(_Closing(Watching("bitstamp", endpoints))) as closing:
            assert set(closing.it.kinds) == {"book", "trades"}
            async with asyncio.timeout(20):
                frame = await closing.it.next("book", "BTC/USD")
                while b'"nonce":1641343691000008' not in frame:
                    frame = await closing.it.next("book", "BTC/USD")
        async with aclosing(_Closing(MarketsRest("bitstamp", endpoints))) as closing:
            definition = await closing.it.definition("BTC/USD")
            with pytest.raises(VenueRefused):
                await closing.it.definition("ABC/USD")
    items = [Item(1, Kind.FRAME, "", "", frame)]
    state = play("ccxt:bitstamp", items).states["bitstamp:BTC-USD"]
    bids = {Decimal("100.50"): Decimal(2), **{Decimal(f"{100 - n}.50"): Decimal("0.1") for n in (5, 6, 8)}}
    asks = {Decimal("101.25"): Decimal(3), **{Decimal(f"{101 + n}.25"): Decimal("1.00000007") for n in range(5, 9)}}
    assert sides(state) == (bids, asks)
    instrument, _ = market_data("ccxt:bitstamp").parse(definition, Reading("b", "b:BTC-USD", 5, 0, {})) or ()
    assert isinstance(instrument, Instrument)
    assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.01"), Decimal("1e-8"))


async def test_a_venue_that_does_not_answer_is_unreachable() -> None:
    nowhere = f"127.0.0.1:{unused_port()}"
    async with aclosing(_Closing(Watching("bitstamp", Endpoints(f"http://{nowhere}", f"ws://{nowhere}")))) as closing:
        with pytest.raises(VenueUnreachable):
            await closing.it.next("book", "BTC/USD")


def test_a_session_is_read() -> None:
    assert MARKET_DATA.parse(session_frame("1", "BTC/USDT"), reading()) == (Session("1"),)


class _Closing:
    def __init__(self, it: Any) -> None:
        self.it = it

    async def aclose(self) -> None:
        await self.it.close()


def test_what_only_records_finds_the_adapter_by_the_venues_name(tmp_path: Path) -> None:
    written = tomllib.loads(toml("r", tmp_path, ["bitget:BTC-USDT-PERP", "kraken:BTC-USD"], {}))
    assert {name: venue["adapter"] for name, venue in written["venues"].items()} == {
        "bitget": "ccxt:bitget",
        "kraken": "kraken",
    }
    with pytest.raises(Problem, match="no adapter named 'nowhere'"):
        toml("r", tmp_path, ["nowhere:BTC-USD"], {})
    with pytest.raises(Problem, match="nothing to record"):
        toml("r", tmp_path, [], {})


def test_what_only_records_takes_a_venue_as_the_configuration_has_it(tmp_path: Path) -> None:
    mine = VenueConfig(adapter="bitstamp", ws_url="ws://127.0.0.1:1", book="L3", instruments=("mine:BTC-USD",))
    written = tomllib.loads(toml("r", tmp_path, [], {"mine": mine, "idle": VenueConfig(adapter="kraken")}))
    assert written["venues"] == {
        "mine": {
            "adapter": "bitstamp",
            "ws_url": "ws://127.0.0.1:1",
            "book": "L3",
            "instruments": ["mine:BTC-USD"],
            "capture": True,
        }
    }
