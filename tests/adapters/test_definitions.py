"""Definitions of recordings that asked for all instruments at once: each that is followed has its own."""

import json
from pathlib import Path

import pytest

from adapters.base import answer_url
from adapters.catalogs import Catalog
from infra.captures import Item, Kind
from tests.adapters.venues import items_of, play
from topics.market import Instrument

RECORDED = {
    "BINANCE": ("binance", {"spot"}),
    "BINANCE_US": ("binance", {"spot"}),
    "BINANCE_FUTURES": ("binance_usdm", {"linear"}),
    "BITMEX": ("bitmex", {"linear", "inverse", "future"}),
    "BITSTAMP": ("bitstamp", {"spot"}),
    "BYBIT": ("bybit", {"spot", "linear"}),
    "COINBASE": ("coinbase", {"spot"}),
    "DERIBIT": ("deribit", {"option"}),
    "GATEIO": ("gateio", {"spot"}),
    "KRAKEN": ("kraken", {"spot"}),
    "KRAKEN_FUTURES": ("kraken_futures", {"inverse", "future"}),
    "KUCOIN": ("kucoin", {"spot"}),
    "OKX": ("okx", {"spot", "future", "inverse"}),
}


INVERSE_FUTURES = {"okx:BTC-USD-220527"}


@pytest.mark.parametrize("name", RECORDED)
def test_every_instrument_of_a_recording_has_its_definition(data_dir: Path, name: str) -> None:
    venue, kinds = RECORDED[name]
    items = items_of(*sorted((data_dir / "cryptofeed").glob(f"{name}.*")))
    first = {Kind.ANSWER: 10**9, Kind.FRAME: 2500}
    few = [item for n, item in enumerate(items) if n < first.get(item.kind, 10**9)]
    played = play(venue, [item for item in few if len(item.data) < 1_000_000 or item.kind is Kind.ANSWER])
    found = [r for r in played.of(Instrument) if isinstance(r, Instrument)]
    assert {r.instrument for r in found} == set(played.symbols)
    assert {r.kind for r in found} == kinds
    for r in found:
        assert 0 < r.tick_size < 1000
        assert 0 < r.lot_size < 10_000
        assert r.multiplier > 0
        assert r.inverse == (r.kind == "inverse" or r.instrument.endswith("-INV") or r.instrument in INVERSE_FUTURES)
        quanto = venue == "bitmex" and not r.inverse and r.quote != "BTC"  # in 2021 it settled all of them in bitcoin
        assert (r.has_value, r.settled_in) == (not quanto, r.base if r.inverse else "BTC" if quanto else r.quote)


def test_a_definition_waits_until_its_instrument_is_met_and_others_are_not_told() -> None:
    pairs = [
        {
            "id": f"{base}_USDT",
            "base": base,
            "quote": "USDT",
            "precision": 2,
            "amount_precision": 3,
            "trade_status": "tradable",
        }
        for base in ("BTC", "ETH", "LTC")
    ]
    url = "https://api.gateio.ws/api/v4/spot/currency_pairs"
    trade = {"id": 1, "create_time_ms": "1619093543708", "side": "sell", "amount": "1", "price": "2"}

    def traded(pair: str, ts: int) -> Item:
        told = {"channel": "spot.trades", "event": "update", "result": {**trade, "currency_pair": pair}}
        return Item(ts, Kind.FRAME, "ws", "", json.dumps(told, separators=(",", ":")).encode())

    def answered(some: list[dict[str, object]], ts: int) -> Item:
        return Item(ts, Kind.ANSWER, "", url, json.dumps(some).encode())

    coarser = [{**pair, "precision": 1} for pair in pairs]
    played = play(
        "gateio",
        [traded("ETH_USDT", 1), answered(pairs, 2), traded("BTC_USDT", 3), answered(coarser, 4), answered(coarser, 5)],
    )
    told = [(r.instrument, str(r.tick_size)) for r in played.of(Instrument) if isinstance(r, Instrument)]
    names = ["gateio:ETH-USDT", "gateio:BTC-USDT", "gateio:BTC-USDT", "gateio:ETH-USDT"]
    assert sorted(told[2:]) == [(name, "0.1") for name in sorted(names[2:])]
    assert told[:2] == [(name, "0.01") for name in names[:2]]


@pytest.mark.parametrize(
    "body", [b"", b"[", b"{}", b'{"result":7}', b'{"result":[7]}', b'{"result":[{"name":7}]}', b"\xff"]
)
def test_an_answer_that_cannot_be_taken_apart_says_nothing(body: bytes) -> None:
    assert Catalog("/x", "x", "name", ("result",)).parts(answer_url("x", ""), body) == {}


def test_a_part_is_as_if_it_alone_had_been_asked_for() -> None:
    body = b'{"code":"0","r":{"list":[{"s":"A","n":1.50},{"n":2,"s":"B"},{"n":3}],"next":""}}'
    parts = Catalog("/x", "x", "s", ("r", "list")).parts("", body)
    assert parts == {
        "A": b'{"code":"0","r":{"list":[{"s":"A","n":1.50}],"next":""}}',
        "B": b'{"code":"0","r":{"list":[{"n":2,"s":"B"}],"next":""}}',
    }
    assert Catalog("/x", "x", "s", ("r", "list"), alone=True).parts("", body)["A"] == b'{"s":"A","n":1.50}'
