"""What the player needs to know of a recording and of who listens to it."""

import gzip
from pathlib import Path

import pytest

from adapters.registry import market_data
from infra.errors import Problem
from pipelines.player.answers import candidates
from pipelines.player.player import renumbered
from pipelines.player.recording import Recording
from pipelines.player.seats import Spelling
from tests.pipelines.flow_capture import record_flow


def spelling(venue: str, *instruments: str) -> Spelling:
    adapter = market_data(venue)
    return Spelling(adapter, {i: adapter.venue_symbol(i) for i in instruments})


def test_a_recording_that_continues_another_is_refused_in_one_line(tmp_path: Path) -> None:
    (whole,) = record_flow(tmp_path, 3, 4, ("BTCUSDT",))
    lines = gzip.decompress(whole.read_bytes()).splitlines(keepends=True)
    second = tmp_path / "btcusdt_2.gz"
    second.write_bytes(gzip.compress(b"".join(lines[len(lines) // 2 :])))
    with pytest.raises(Problem, match=r"btcusdt_2\.gz: no depth snapshot in this capture \(it continues another\)"):
        Recording([second])
    first = tmp_path / "btcusdt_1.gz"
    first.write_bytes(gzip.compress(b"".join(lines[: len(lines) // 2])))
    together, alone = Recording([first, second]), Recording([whole])
    assert together.frames == alone.frames
    assert list(together.depth.values()) == list(alone.depth.values())


def test_a_subscription_is_about_what_it_spells_in_whichever_words() -> None:
    kraken = spelling("kraken", "kraken:BTC-USD", "kraken:ETH-USD")
    found = kraken.instruments_in(
        '{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD","ETH/USD"]}}', "/"
    )
    assert found == ["kraken:BTC-USD", "kraken:ETH-USD"]
    okx = spelling("okx", "okx:BTC-USDT", "okx:BTC-USDT-PERP")
    assert okx.instruments_in('{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT-SWAP"}]}', "/") == [
        "okx:BTC-USDT-PERP"
    ]
    bitstamp = spelling("bitstamp", "bitstamp:BTC-USD")
    assert bitstamp.instruments_in('{"event":"bts:subscribe","data":{"channel":"diff_order_book_btcusd"}}', "/") == [
        "bitstamp:BTC-USD"
    ]


def test_where_two_markets_spell_alike_the_connection_tells_or_the_words_beside() -> None:
    bybit = spelling("bybit", "bybit:BTC-USDT", "bybit:BTC-USDT-PERP")
    asked = '{"op":"subscribe","args":["orderbook.200.BTCUSDT"]}'
    assert bybit.instruments_in(asked, "/v5/public/linear") == ["bybit:BTC-USDT-PERP"]
    assert bybit.instruments_in(asked, "/v5/public/spot") == ["bybit:BTC-USDT"]
    gateio = spelling("gateio", "gateio:BTC-USDT", "gateio:BTC-USDT-PERP")
    asked = '{"time":1,"channel":"futures.trades","event":"subscribe","payload":["BTC_USDT"]}'
    assert gateio.instruments_in(asked, "/") == ["gateio:BTC-USDT-PERP"]


def test_a_definition_is_looked_for_in_the_whole_answer_then_in_its_row() -> None:
    body = b'{"code":"0","data":[{"name":"a","tick":0.10},{"name":"B","tick":1e-8}]}'
    assert list(candidates([b"{}", body], {"b"})) == [
        body,
        b'{"code":"0","data":[{"name":"B","tick":1E-8}]}',
        b'{"code":"0","data":{"name":"B","tick":1E-8}}',
        b'{"name":"B","tick":1E-8}',
    ]


def test_a_frame_is_numbered_by_the_connection_that_delivers_it() -> None:
    frame = (
        b'{"channel":"ticker","timestamp":"2026-08-09T21:05:48.21","sequence_num":21,"events":[{"sequence_num":21}]}'
    )
    assert renumbered(frame, 21, 21) is frame
    assert renumbered(frame, 21, 9) == frame.replace(b'"sequence_num":21', b'"sequence_num":9', 1)
