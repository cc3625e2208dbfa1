"""What ``tapedeck record`` says, before and while it records."""

import json
from pathlib import Path

import pytest

from infra.config import parse
from infra.errors import Hopeless
from pipelines.record import Told, toml


def test_an_instrument_that_no_venue_can_have_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(Hopeless, match="bybit:BTCUSDT"):
        toml("r", tmp_path, ["bybit:BTC-USDT", "bybit:BTCUSDT"], {})


def test_frames_of_an_ingest_that_was_started_anew_are_added_to_those_before(tmp_path: Path) -> None:
    config = parse({"run": {"name": "r", "home": str(tmp_path)}, "venues": {"sim": {"adapter": "binance"}}})
    status = config.run_dir / "status" / "ingest.sim.json"
    status.parent.mkdir(parents=True)
    told, seen = Told(config, lambda _: None), []
    for frames in (1_000, 1_972, 584, 908, 12):
        status.write_text(json.dumps({"events_in": frames, "lost": 0, "problem": ""}))
        seen.append(told.words().partition("sim ")[2].partition(" frames")[0])
    assert seen == ["1,000", "1,972", "2,556", "2,880", "2,892"]
