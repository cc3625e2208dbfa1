"""Frames that name no instrument (answers to subscriptions, heartbeats, greetings) are nothing to normalize, whatever the venue."""

from pathlib import Path

import pytest

from adapters.registry import market_data
from infra.captures import Kind, read
from pipelines.normalize import normalize_stage
from pipelines.raw import Line
from topics.coordinates import At

RECORDINGS = {
    "binance": ["cryptofeed/BINANCE.jsonl.zst"],
    "binance_usdm": ["cryptofeed/BINANCE_FUTURES.jsonl.zst"],
    "bitmex": ["cryptofeed/BITMEX.0.gz", "cryptofeed/BITMEX.ws.1.0.gz"],
    "bitstamp": ["cryptofeed/BITSTAMP.jsonl.zst"],
    "bybit": ["cryptofeed/BYBIT.jsonl.zst"],
    "coinbase": ["cryptofeed/COINBASE.jsonl.zst"],
    "deribit": ["cryptofeed/DERIBIT.jsonl.zst"],
    "gateio": ["cryptofeed/GATEIO.jsonl.zst"],
    "kraken": ["cryptofeed/KRAKEN.jsonl.zst"],
    "kraken_futures": ["cryptofeed/KRAKEN_FUTURES.jsonl.zst"],
    "kucoin": ["cryptofeed/KUCOIN.jsonl.zst"],
    "okx": ["cryptofeed/OKX.jsonl.zst"],
}


@pytest.mark.parametrize("venue", RECORDINGS)
def test_recorded_frames_about_no_instrument_are_passed_over(data_dir: Path, venue: str) -> None:
    adapter, on_event = market_data(venue), normalize_stage({venue: venue}).on_event
    items = [item for item in read([data_dir / name for name in RECORDINGS[venue]]) if item.kind is Kind.FRAME]
    state = None
    for n, item in enumerate(items):
        if not adapter.symbols_in(item.data):
            state, out = on_event(state, Line(item.ts, f"{venue}:", item.data), At(0, n, 0))
            assert list(out) == [], item.data[:200]
