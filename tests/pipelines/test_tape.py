"""`tapedeck tape`: what it says about recordings, and what it cuts."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from infra.captures import Item, Kind, Writer, read
from infra.errors import Problem
from pipelines import cli
from pipelines.tape_figures import Offsets
from pipelines.tape_glance import Glance, glance
from tests.recordings import data_folder

START = 1_723_161_600 * 10**9
STEP = 250_000_000


def frame(n: int) -> bytes:
    symbol, event = ("BTCUSDT", "trade") if n % 2 else ("ETHUSDT", "depthUpdate")
    message = {"e": event, "E": (START + n * STEP) // 10**6 + 1500, "s": symbol, "U": n, "u": n, "M": True}
    return json.dumps({"stream": f"{symbol.lower()}@{event}", "data": message}).encode()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    with Writer(tmp_path, "binance", venue="binance") as writer:
        writer.write(Item(START, Kind.OPENED, "ws.1", "wss://stream.binance.com/stream", b""))
        for n in range(41):
            writer.write(Item(START + n * STEP, Kind.FRAME, "ws.1", "", frame(n)))
    return writer.paths[0]


def tape(*args: object) -> Result:
    return CliRunner().invoke(cli.app, ["tape", *map(str, args)])


def code(result: Result) -> int:
    """As the command line ends with it."""
    return result.exception.exit_code if isinstance(result.exception, Problem) else result.exit_code


def rows(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_folder_is_listed_and_what_is_no_recording_is_counted(recording: Path) -> None:
    (recording.parent / "notes.txt").write_text("hello")
    (recording.parent / "inside").mkdir()
    lines = gzip.compress(b"".join(b"%d %s\n" % (START + n, frame(n)) for n in range(5000)))
    (recording.parent / "inside" / "cut.gz").write_bytes(lines[: len(lines) // 2])
    result = tape("ls", recording.parent)
    assert result.exit_code == 0
    assert recording.name in result.stdout.replace("\n", "")
    for shown in ("tapedeck", "BTCUSDT ETHUSDT", "2024-08-09 00:00:00", "10.000 s", "41", "hftbacktest", "is cut off"):
        assert shown in result.stdout
    assert "notes.txt: no recording" in result.stderr
    (listed, _) = rows(tape("ls", recording.parent, "--json"))
    assert listed == {
        "files": [str(recording)],
        "format": "tapedeck",
        "venue": "binance",
        "instruments": ["BTCUSDT", "ETHUSDT"],
        "from": START,
        "to": START + 40 * STEP,
        "items": {"header": 1, "opened": 1, "frame": 41},
        "size": recording.stat().st_size,
        "broken": "",
    }


def test_a_named_file_that_is_no_recording_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for command in ("ls", "stat", "head"):
        problem = tape(command, tmp_path / "notes.txt").exception
        assert isinstance(problem, Problem)
        assert str(problem) == f"{tmp_path / 'notes.txt'}: no recording of a known format; it begins with 'hello'"


def test_statistics_are_per_instrument(recording: Path) -> None:
    btc, eth = rows(tape("stat", recording, "--json"))
    assert btc == {
        "venue": "binance",
        "venue_symbol": "BTCUSDT",
        "frames": 20,
        "channels": {"trade": 20},
        "rate": 2.105,
        "from": START + STEP,
        "to": START + 39 * STEP,
        "longest_silence_ns": 2 * STEP,
        "gaps": None,
        "offset_ns": {"min": -1_500_000_000, "median": -1_500_000_000, "max": -1_500_000_000},
        "clock_skew_ns": 1_500_000_000,
        "latency_ns": {"min": 0, "median": 0, "max": 0},
    }
    assert eth["venue_symbol"] == "ETHUSDT"
    table = tape("stat", recording).stdout
    assert "1,500.0 ms behind" in table
    assert "-1,500.0" not in table
    assert "41 frame" in table


def test_gaps_of_the_books_are_counted_when_asked_for(tmp_path: Path) -> None:
    with Writer(tmp_path, "okx", venue="okx") as writer:
        for n, (action, previous, sequence) in enumerate(
            [("snapshot", -1, 10), ("update", 10, 11), ("update", 15, 16)]
        ):
            book = {"asks": [["2", "1", "0", "1"]], "bids": [["1", "1", "0", "1"]], "ts": str(START // 10**6)}
            book |= {"prevSeqId": previous, "seqId": sequence}
            data = {"arg": {"channel": "books", "instId": "BTC-USDT"}, "action": action, "data": [book]}
            writer.write(Item(START + n, Kind.FRAME, "ws.1", "", json.dumps(data).encode()))
    (row,) = rows(tape("stat", *writer.paths, "--gaps", "--json"))
    assert row["gaps"] == 1


def test_the_head_is_in_order_and_one_line_an_item(recording: Path) -> None:
    lines = tape("head", recording, "-n", 3).stdout.splitlines()
    assert [line.split()[2] for line in lines] == ["header", "opened", "frame"]
    whole = tape("head", recording, "-n", 3, "--whole").stdout.splitlines()
    assert whole[2].endswith(frame(0).decode())


def test_a_cut_has_exactly_the_items_of_its_time(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "part.jsonl.zst"
    result = tape("cut", recording, "--from", "2024-08-09T00:00:01", "--to", "2024-08-09T00:00:02", "--out", out)
    assert result.exit_code == 0, result.exception
    header, *items = read([out])
    assert json.loads(header.data)["cut_from"] == [recording.name]
    assert items == [item for item in read([recording]) if START + 10**9 <= item.ts < START + 2 * 10**9][:4]
    assert sorted(tmp_path.iterdir()) == sorted([recording, out])


def test_a_cut_never_writes_over_a_file_and_never_makes_an_empty_one(recording: Path, tmp_path: Path) -> None:
    assert "exists already" in str(tape("cut", recording, "--out", recording).exception)
    assert "nothing was received" in str(
        tape("cut", recording, "--from", "2030-01-01", "--out", tmp_path / "x").exception
    )
    assert not (tmp_path / "x").exists()


def test_a_cut_of_a_broken_file_keeps_what_is_whole(tmp_path: Path) -> None:
    text = b"".join(b"%d %s\n" % (START + n * STEP, frame(n)) for n in range(2000))
    packed = gzip.compress(text)
    (tmp_path / "broken.gz").write_bytes(packed[: len(packed) // 2])
    problem = tape("cut", tmp_path / "broken.gz", "--out", tmp_path / "out").exception
    assert "is cut off" in str(problem)
    assert len(list(read([tmp_path / "out"]))) > 500


OKX = b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[]}'
KRAKEN = b'[0,{"b":[]},"book-10","XBT/USD"]'


def lines(path: Path, *frames: bytes) -> Path:
    path.write_bytes(b"".join(b"%d %s\n" % (START + n * STEP, frame) for n, frame in enumerate(frames)))
    return path


def test_a_file_of_another_venue_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    okx, kraken = lines(tmp_path / "a", OKX), lines(tmp_path / "b", KRAKEN)
    for command in (["check"], ["stat"], ["cut", "--out", tmp_path / "out"]):
        result = tape(*command, okx, kraken)
        assert str(result.exception) == (
            f"{kraken}: is of kraken, and {okx} of okx: several files are one stream, of one venue"
        )
        assert code(result) == 2
    assert code(tape("check", okx, kraken, "--venue", "okx")) == 0
    assert code(tape("check", okx, okx.rename(tmp_path / "KRAKEN.0"))) == 2


def test_the_file_that_tells_its_venue_tells_it_for_all(tmp_path: Path) -> None:
    silent, okx = lines(tmp_path / "a", b'{"event":"pong"}'), lines(tmp_path / "KRAKEN.txt", OKX)
    result = tape("check", silent, okx)
    assert (code(result), "okx:BTC-USDT" in result.stdout) == (0, True)


def test_a_broken_recording_and_a_wrong_name_end_with_2_whatever_is_asked(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(b"%d %s\n" % (START + n * STEP, OKX) for n in range(20_000)))
    cut_off = tmp_path / "cut.gz"
    cut_off.write_bytes(packed[: len(packed) // 2])
    for command in (["stat"], ["check"], ["head", "-n", 20_000], ["cut", "--out", tmp_path / "out"]):
        result = tape(*command, cut_off)
        assert str(result.exception) == f"{cut_off}: is cut off: the gzip stream has no end", command
        assert code(result) == 2, command
    for command in ("stat", "check"):
        assert "BTC-USDT" in tape(command, cut_off, "--json").stdout
        result = tape(command, cut_off, "--venue", "nope")
        assert str(result.exception).startswith("no adapter named 'nope'")
        assert code(result) == 2
    assert code(tape("ls", cut_off)) == 0


def test_the_median_offset_is_kept_in_bounded_memory() -> None:
    offsets = Offsets()
    for n in range(300_000):
        offsets.add(n)
    assert (offsets.lowest, offsets.highest) == (0, 299_999)
    assert offsets.median is not None
    assert abs(offsets.median - 150_000) < 100
    assert len(offsets._kept) < 70_000


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b"[1,2,3,4]", b'"x"', b"null", b'{"data":[]}', b'{"topic":1}']
)
def test_a_glance_refuses_nothing(data: bytes) -> None:
    for venue in (
        "binance",
        "coinbase",
        "kraken",
        "kraken_futures",
        "bybit",
        "okx",
        "deribit",
        "kucoin",
        "gateio",
        "other",
    ):
        assert isinstance(glance(venue, data), Glance)


GLANCES = {  # recording: (instruments, channels of all)
    "BINANCE": (4, {"depth", "bookTicker", "kline_1m", "aggTrade"}),
    "COINBASE": (2, {"l2_data", "ticker", "market_trades", "candles"}),
    "KRAKEN": (10, {"book", "ticker", "trade"}),
    "KRAKEN_FUTURES": (10, {"book", "book_snapshot", "ticker_lite", "trade", "trade_snapshot"}),
    "BYBIT": (6, {"orderbook", "tickers", "publicTrade", "kline"}),
    "OKX": (3, {"books", "trades", "tickers"}),
    "DERIBIT": (10, {"book", "ticker"}),
    "KUCOIN": (9, {"level2", "ticker", "match", "candles"}),
    "GATEIO": (10, {"order_book_update", "trades", "tickers", "candlesticks"}),
    "BITSTAMP": (10, {"diff_order_book", "live_trades"}),
}


@pytest.mark.skipif(not data_folder().exists(), reason="the recordings are not here")
@pytest.mark.parametrize("name", GLANCES)
def test_instruments_channels_and_venue_times_are_seen_in_every_venues_frames(name: str) -> None:
    found = [
        row
        for row in rows(tape("stat", data_folder() / "cryptofeed" / f"{name}.jsonl.zst", "--json"))
        if row["venue_symbol"]
    ]
    channels: Counter[str] = Counter()
    for row in found:
        channels.update(row["channels"])  # type: ignore[arg-type]
        offset = row["offset_ns"]
        assert isinstance(offset, dict)
        assert abs(offset["median"] or 0) < 5 * 10**9, row
    assert (len(found), set(channels)) == GLANCES[name]
