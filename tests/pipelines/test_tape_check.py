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
from infra.errors import Problem
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


def test_a_bad_line_hides_nothing_behind_it_and_a_chained_book_goes_on(tmp_path: Path) -> None:
    frames = frames_of(VenueModel(6), 10)
    whole = only(written(tmp_path / "whole.gz", frames))
    bad = written(tmp_path / "bad.gz", frames)
    lines = gzip.decompress(bad.read_bytes()).splitlines(keepends=True)
    bad.write_bytes(gzip.compress(b"".join([*lines[:13], b"170000\x00\xff\n", *lines[13:]])))
    assert only(bad) == whole
    assert check([bad], "binance").bad_lines == 1
    code, out, said = run(bad, "--json")
    assert (code, len(out.splitlines())) == (2, 1)
    assert "bad lines: 1;" in said
    bad.write_bytes(gzip.compress(b"".join([*lines[:13], b"torn\n", *lines[14:]])))  # a delta in its place
    assert (only(bad).gaps, only(bad).book_state, only(bad).trades) == (1, "stale", 10)


def test_no_book_claims_to_be_right_behind_a_bad_line_that_nothing_followed(tmp_path: Path) -> None:
    frames = frames_of(VenueModel(7), 5)
    path = written(tmp_path / "c.gz", frames)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"torn\n"))
    assert (only(path).book_state, only(path).book_digest, only(path).book_updates) == ("stale", None, 5)


def test_a_bad_line_ends_the_books_of_a_venue_whose_next_frame_would_not_show_what_is_lost(tmp_path: Path) -> None:
    def book(kind: str, price: str) -> bytes:
        level = f'{{"price":{price},"qty":1.0}}'
        data = f'{{"symbol":"BTC/USD","bids":[{level}],"asks":[],"timestamp":"2023-10-06T17:35:55.440295Z"}}'
        return f'{{"channel":"book","type":"{kind}","data":[{data}]}}'.encode()

    frames = [book("snapshot", "1.0"), book("update", "2.0"), b"", book("update", "3.0"), book("snapshot", "4.0")]
    path = written(tmp_path / "kraken.gz", frames)
    one = check([path], "kraken").instruments[0]
    assert (one.gaps, one.resyncs, one.book_state, one.best_bid) == (1, 1, "live", ("4", "1"))
    assert check([written(path, frames[:-1])], "kraken").instruments[0].book_state == "stale"


@pytest.mark.parametrize("recording", ["KRAKEN", "DERIBIT", "BINANCE_FUTURES", "COINBASE"])
def test_the_table_has_a_line_an_instrument_on_a_terminal_of_100_columns(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, recording: str
) -> None:
    monkeypatch.setattr("pipelines.cli_tape.WIDE", 100)
    path = data_dir / "cryptofeed" / f"{recording}.jsonl.zst"
    _, out, _ = run(path)
    found = check([path]).instruments
    head, *lines = out.splitlines()
    assert [line.split()[0] for line in lines] == [one.instrument for one in found]
    assert ("checksums" in head, "failed" in head) == (any(one.checksums_verified for one in found), False)
    assert all(one.best_bid[0] in line for one, line in zip(found, lines, strict=True) if one.best_bid)


def test_frames_of_kinds_that_are_passed_over_are_told(tmp_path: Path) -> None:
    candle = b'{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1,"s":"BTCUSDT","k":{}}}'
    code, out, said = run(written(tmp_path / "c.gz", [candle] * 3), "--json", "--venue", "binance")
    assert (code, json.loads(out)["frames"], list(json.loads(out))) == (0, 3, KEYS)
    assert said == "0 frames about no instrument, 0 that cannot be read, 3 passed over\n"


def run(*arguments: Any) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["tape", "check", *map(str, arguments)])
    code = result.exception.exit_code if isinstance(result.exception, Problem) else result.exit_code
    return code, result.stdout, result.stderr


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
