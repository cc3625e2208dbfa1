"""Recordings of Binance spot through ``tape check``: made by a seed, and recorded. Other venues have their own tests beside their parsers."""

import gzip
import hashlib
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.base import read_own
from pipelines.cli import app
from pipelines.tape_check import Checked, check
from tests.pipelines.venue_model import START_NS, VenueModel

KEYS = """venue instrument venue_symbol frames trades quotes book_updates gaps resyncs checksums_verified checksums_failed
    book_state bids asks best_bid best_ask book_digest""".split()  # noqa: SIM905


def raw(model: VenueModel) -> bytes:
    """A snapshot as the venue answers it, without our wrapping."""
    own = read_own(model.snapshot())
    assert own is not None
    return own.body


def written(path: Path, frames: Sequence[bytes], first: int = 0) -> Path:
    lines = (b"%d %b\n" % (START_NS + n * 1_000_000, frame) for n, frame in enumerate(frames, first))
    path.write_bytes(gzip.compress(b"".join(lines)))
    return path


def frames_of(model: VenueModel, n: int) -> list[bytes]:
    return [raw(model), *(f for _ in range(n) for f in (model.depth(), model.quote(), model.trade()))]


def only(path: Path | list[Path]) -> Checked:
    (one,) = check([path] if isinstance(path, Path) else path, "binance").instruments
    return one


def test_what_is_counted_and_the_digest_are_of_the_frames(tmp_path: Path) -> None:
    model = VenueModel(1)
    one = only(written(tmp_path / "c.gz", frames_of(model, 20)))
    assert (one.frames, one.trades, one.quotes, one.book_updates) == (61, 20, 20, 20)
    assert (one.gaps, one.resyncs, one.book_state, one.sound) == (0, 0, "live", True)
    bids, asks = model.book()
    short = [[f"{Decimal(x).normalize():f}" for x in level] for level in bids + asks]
    lines = "".join(f"{'B' if i < len(bids) else 'A'} {p} {q}\n" for i, (p, q) in enumerate(short))
    assert one.book_digest == hashlib.sha256(lines.encode()).hexdigest()
    assert (one.bids, one.asks) == (len(bids), len(asks))
    assert (list(one.best_bid or ()), list(one.best_ask or ())) == (short[0], short[len(bids)])


def test_a_lost_frame_leaves_a_gap_open_until_the_next_snapshot(tmp_path: Path) -> None:
    model = VenueModel(2)
    frames = frames_of(model, 10)
    del frames[13]
    broken = only(written(tmp_path / "broken.gz", frames))
    assert (broken.gaps, broken.resyncs, broken.book_state, broken.sound) == (1, 0, "stale", False)
    assert (broken.best_bid, broken.book_digest) == (None, None)
    healed = only(written(tmp_path / "healed.gz", [*frames, raw(model), model.depth()]))
    assert (healed.gaps, healed.resyncs, healed.book_state, healed.sound) == (1, 1, "live", True)


def test_several_files_are_one_stream_and_only_the_first_needs_a_snapshot(tmp_path: Path) -> None:
    frames = frames_of(VenueModel(3), 10)
    whole = only(written(tmp_path / "whole.gz", frames))
    parts = [written(tmp_path / "a.gz", frames[:16]), written(tmp_path / "b.gz", frames[16:], 16)]
    assert only(parts) == whole
    alone = only(parts[1])
    assert (alone.book_state, alone.gaps, alone.trades) == ("none", 0, 5)


def test_a_broken_end_is_told_after_what_was_read(tmp_path: Path) -> None:
    path = written(tmp_path / "c.gz", frames_of(VenueModel(4), 4000))
    path.write_bytes(path.read_bytes()[:-4000])
    found = check([path], "binance")
    assert found.problem.startswith(f"{path}")
    assert 3000 < found.instruments[0].trades < 4000


def run(*arguments: Any) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["tape", "check", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_prints_an_object_a_line_and_fails_where_a_gap_stays_open(tmp_path: Path) -> None:
    frames = frames_of(VenueModel(5), 10)
    good, bad = written(tmp_path / "g.gz", frames), written(tmp_path / "b.gz", frames[:13] + frames[14:])
    code, out, _ = run(good, "--json", "--venue", "binance")
    (line,) = out.splitlines()
    assert (code, list(json.loads(line))) == (0, KEYS)
    assert json.loads(line)["instrument"] == "binance:BTC-USDT"
    assert run(good, "--json", "--venue", "BINANCE_US")[1] == out
    assert run(bad, "--json", "--venue", "binance")[0] == 1
    code, out, _ = run(bad)
    assert code == 1
    assert "stale" in out


@pytest.mark.parametrize("symbol", ["btcusdt", "ethusdt"])
def test_a_recording_that_goes_on_over_midnight_has_a_true_book_at_its_end(data_dir: Path, symbol: str) -> None:
    folder = data_dir / "hftbacktest" / "spot"
    paths = [folder / f"{symbol}_20240808.gz", folder / f"{symbol}_20240809.gz"]
    one = only(paths)
    bids, asks, trades, quotes, frames = rebuilt(paths)
    assert (one.gaps, one.resyncs, one.unreadable, one.sound) == (0, 0, 0, True)
    assert (one.frames, one.trades, one.quotes) == (frames, trades, quotes)
    assert (one.bids, one.asks) == (len(bids), len(asks))
    lines = [f"B {p.normalize():f} {q.normalize():f}\n" for p, q in sorted(bids.items(), reverse=True)]
    lines += [f"A {p.normalize():f} {q.normalize():f}\n" for p, q in sorted(asks.items())]
    assert one.book_digest == hashlib.sha256("".join(lines).encode()).hexdigest()


Side = dict[Decimal, Decimal]


def rebuilt(paths: Sequence[Path]) -> tuple[Side, Side, int, int, int]:
    """The plainest way, with nothing of ours: the first snapshot, then every delta that ends after it."""
    lines = [line for path in paths for line in gzip.decompress(path.read_bytes()).splitlines()]
    frames = [json.loads(line.split(b" ", 1)[1]) for line in lines]
    events = [frame["data"] for frame in frames if "data" in frame]
    snapshot = next(frame for frame in frames if "lastUpdateId" in frame)
    bids: Side = {}
    asks: Side = {}
    deltas = [e for e in events if e.get("e") == "depthUpdate" and e["u"] > snapshot["lastUpdateId"]]
    changes = [(snapshot["bids"], snapshot["asks"]), *((e["b"], e["a"]) for e in deltas)]
    for change in changes:
        for side, levels in zip((bids, asks), change, strict=True):
            side.update({Decimal(price): Decimal(size) for price, size in levels})
    bids, asks = ({price: size for price, size in side.items() if size} for side in (bids, asks))
    trades, quotes = sum(e.get("e") == "trade" for e in events), sum("B" in e for e in events)
    return bids, asks, trades, quotes, len(frames)
