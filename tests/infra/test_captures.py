"""Recordings: each format by a small synthetic file, broken files, the venue, the writer; then every recording that is here."""

import gzip
import json
import os
import signal
import subprocess
import sys
import tracemalloc
import zlib
from collections import Counter, deque
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.registry import adapters
from infra.captures import VENUES, CaptureError, Format, Item, Kind, Writer, format_of, read, venue_hint
from infra.captures.times import as_seconds, of_epoch, of_seconds
from infra.captures.venues import HOSTS
from tests.recordings import data_folder

DEPTH = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT"
V3 = [
    {"t": "header", "format": 2, "exchange": "BINANCE", "recorded": 1633998511.132921},
    {"t": "http", "conn": "BINANCE.http.0", "ts": 1633998514.6462898, "url": DEPTH, "data": '{"lastUpdateId":1}'},
    {"t": "connect", "conn": "BINANCE.ws.1", "ts": 1633998513.5, "addr": "wss://stream.binance.com:9443/stream"},
    {"t": "send", "conn": "BINANCE.ws.1", "ts": 1633998513.6, "addr": "wss://x", "data": '{"op":"subscribe"}'},
    {"t": "recv", "conn": "BINANCE.ws.1", "ts": 1633998513.7, "data": '{"e":"é","p":"1127171102.94275652"}'},
    {"t": "recv", "conn": "BINANCE.ws.1", "ts": 1633998515.0, "b64": "AP8="},
    {"t": "later", "conn": "BINANCE.ws.1", "ts": 1633998515.1},
]
SPOT = b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]}}'


def jsonl(lines: list[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.fixture
def v3(tmp_path: Path) -> Path:
    return write(tmp_path / "BINANCE.jsonl.zst", zstd(jsonl(V3)))


def until_error(paths: list[Path]) -> tuple[list[Item], str]:
    """What is delivered, and the error after it."""
    items: deque[Item] = deque()
    try:
        items.extend(read(paths))
    except CaptureError as error:
        return list(items), str(error)
    return list(items), ""


def test_cryptofeed_3_is_merged_by_receive_time_and_every_line_has_its_kind(v3: Path) -> None:
    items = list(read([v3]))
    assert [item.kind for item in items] == ["header", "opened", "sent", "frame", "answer", "frame"]
    assert items[4] == Item(1633998514646289800, Kind.ANSWER, "BINANCE.http.0", DEPTH, b'{"lastUpdateId":1}')
    assert items[3] == Item(
        1633998513700000000, Kind.FRAME, "BINANCE.ws.1", "", '{"e":"é","p":"1127171102.94275652"}'.encode()
    )
    assert items[5].data == b"\x00\xff"
    assert format_of(v3) is Format.CRYPTOFEED


def test_a_cryptofeed_text_recording_of_several_files_is_merged_by_receive_time(tmp_path: Path) -> None:
    rest = write(
        tmp_path / "BITMEX.0",
        b'https://www.bitmex.com/api/v1/instrument/active -> 1626993367.384902: [\n{"a":1}]\nconfiguration: {"trades":[]}\n',
    )
    ws = write(
        tmp_path / "BITMEX.ws.1.0.gz",
        gzip.compress(
            b"wss://www.bitmex.com/realtime <-> 1626993367.3\n"
            b'wss://www.bitmex.com/realtime <- 1626993367.9: {"op":"subscribe"}\n'
            b"1626993368.5: b'\\x00\\xff'\n\n"
            b'1626993370.5: {"table":"trade","action":"insert"}\n'
        ),
    )
    polled = write(tmp_path / "BITMEX.http.2.0", b'1626993369.5: {"polled":1}\n')
    items = list(read([rest, ws, polled]))
    assert [(item.kind, item.connection) for item in items] == [
        ("opened", "BITMEX.ws.1"),
        ("answer", "BITMEX"),
        ("header", ""),
        ("sent", "BITMEX.ws.1"),
        ("frame", "BITMEX.ws.1"),
        ("answer", "BITMEX.http.2"),
        ("frame", "BITMEX.ws.1"),
    ]
    assert items[1].about == "https://www.bitmex.com/api/v1/instrument/active"
    assert items[1].data == b'[\n{"a":1}]'
    assert items[4].data == b"\x00\xff"
    assert venue_hint([rest, ws]) == "bitmex"


def test_the_headers_that_follow_an_answers_body_are_no_part_of_it(tmp_path: Path) -> None:
    line = b'https://api.binance.com/api/v3/depth?symbol=A -> 1626993367.38: {"lastUpdateId":7} header: {"Date": "x"}\n'
    assert [item.data for item in read([write(tmp_path / "BINANCE.http.0.0", line)])] == [b'{"lastUpdateId":7}']


def test_hftbacktests_lines_are_frames_and_snapshots_in_nanoseconds(tmp_path: Path) -> None:
    lines = b'1675209600123456 {"lastUpdateId":7,"bids":[],"asks":[]}\n1675209600223456 ' + SPOT + b"\n"
    path = write(tmp_path / "btcusdt.gz", gzip.compress(lines))
    assert list(read([path])) == [
        Item(1675209600123456000, Kind.ANSWER, "", DEPTH, b'{"lastUpdateId":7,"bids":[],"asks":[]}'),
        Item(1675209600223456000, Kind.FRAME, "", "", SPOT),
    ]


def test_several_files_are_one_stream_in_the_order_given(v3: Path, tmp_path: Path) -> None:
    lines = write(tmp_path / "lines", b"1000000000000000000 " + SPOT + b"\n")
    assert next(read([lines, v3])).ts == 10**18
    assert [item.ts for item in read([v3, lines])][-1] == 10**18


@pytest.mark.parametrize(
    ("data", "venue"),
    [
        (SPOT, "binance"),
        (SPOT.replace(b'"u":2', b'"u":2,"pu":0'), "binance_usdm"),
        (SPOT.replace(b'"BTCUSDT"', b'"BTCUSD_PERP","ps":"BTCUSD"'), "binance_coinm"),
        (b'{"channel":"l2Book","data":{"coin":"BTC","levels":[[],[]]}}', "hyperliquid"),
        (b'[0,{"b":[]},"book-10","XBT/USD"]', "kraken"),
        (b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","checksum":1}]}', "kraken"),
        (b'{"feed":"book","product_id":"PI_XBTUSD","seq":1}', "kraken_futures"),
        (b'{"channel":"l2_data","sequence_num":0,"events":[]}', "coinbase"),
        (b'{"topic":"orderbook.50.BTCUSDT","type":"delta","data":{}}', "bybit"),
        (b'{"arg":{"channel":"books","instId":"BTC-USDT"},"data":[]}', "okx"),
        (b'{"jsonrpc":"2.0","method":"subscription","params":{}}', "deribit"),
        (b'{"topic":"/market/level2:BTC-USDT","subject":"trade.l2update","data":{}}', "kucoin"),
        (b'{"channel":"spot.trades","event":"update","result":{}}', "gateio"),
        (b'{"channel":"live_trades_btcusd","event":"trade","data":{}}', "bitstamp"),
        (b'{"table":"quote","action":"insert","data":[]}', "bitmex"),
        (b'{"hello":"world"}', ""),
    ],
)
def test_a_frames_shape_tells_its_venue_where_nothing_else_does(tmp_path: Path, data: bytes, venue: str) -> None:
    assert venue_hint([write(tmp_path / "unnamed", b"1723161253937085768 " + data + b"\n")]) == venue


def test_every_venue_that_has_an_adapter_is_told_by_name_and_by_url() -> None:
    assert set(VENUES) == set(adapters()) == {venue for _, venue in HOSTS}


@pytest.mark.parametrize(
    ("url", "venue"),
    [
        ("wss://fstream.binance.com/stream", "binance_usdm"),
        ("wss://dstream.binance.com/stream", "binance_coinm"),
        ("wss://stream.binance.us:9443/stream", "binance"),
        ("wss://futures.kraken.com/ws/v1", "kraken_futures"),
        ("wss://ws-auth.kraken.com", "kraken"),
        ("wss://ws.okx.com:8443/ws/v5/public", "okx"),
        ("wss://fx-ws.gateio.ws/v4/ws/usdt", "gateio"),
        ("wss://api.hyperliquid.xyz/ws", "hyperliquid"),
        ("wss://notbinance.example/ws", ""),
    ],
)
def test_a_url_tells_the_venue(tmp_path: Path, url: str, venue: str) -> None:
    opened = {"t": "connect", "conn": "x", "ts": 1.5, "addr": url}
    assert venue_hint([write(tmp_path / "unnamed.jsonl", jsonl([opened]))]) == venue


def test_a_cut_off_file_delivers_what_stands_before_the_break(tmp_path: Path) -> None:
    lines = b"".join(b'%d {"n":"%s"}\n' % (10**18 + n, os.urandom(30).hex().encode()) for n in range(20_000))
    for name, packed in (("a.gz", gzip.compress(lines)), ("a.zst", zstd(lines))):
        items, error = until_error([write(tmp_path / name, packed[: len(packed) // 2])])
        assert 5_000 < len(items) < 15_000
        assert error.endswith(f"{name}: is cut off: the {'gzip' if name == 'a.gz' else 'zstd'} stream has no end")


def test_of_a_cut_off_stream_every_whole_line_is_read(tmp_path: Path) -> None:
    text = b"".join(b'%d {"n":"%s"}\n' % (10**18 + n, os.urandom(30).hex().encode()) for n in range(4_000))
    cut = gzip.compress(text)[:-2_000]
    items, _ = until_error([write(tmp_path / "a.gz", cut)])
    assert len(items) == zlib.decompressobj(31).decompress(cut).count(b"\n") < 4_000


def test_a_cut_off_recording_is_merged_as_far_as_it_goes(tmp_path: Path) -> None:
    frames = [
        {"t": "recv", "conn": f"c{n % 2}", "ts": 1e9 + n // 2, "data": os.urandom(40).hex()} for n in range(20_000)
    ]
    grouped = sorted(frames, key=lambda frame: str(frame["conn"]))
    packed = zstd(jsonl(grouped))
    items, error = until_error([write(tmp_path / "a.jsonl.zst", packed[: len(packed) * 3 // 4])])
    assert {item.connection for item in items} == {"c0", "c1"}
    assert all(a.ts <= b.ts for a, b in pairwise(items))
    assert "is cut off" in error


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("empty", b"", "is empty"),
        ("noise", bytes(range(128, 256)) * 40, "no recording of a known format"),
        ("noise.gz", gzip.compress(b"hello\n", mtime=0), "begins with 'hello"),
        ("t.csv", b"timestamp,price\n1,2\n", "no recording of a known format"),
        ("t.zip", b"PK\x03\x04rest", "tapedeck import"),
        ("v3.jsonl", jsonl(V3[:1]) + b'{"t":"recv","ts":"x"}\n', "line 2: no line of a recording"),
        ("v3.jsonl", jsonl(V3[:1]) + b'{"t":"recv","ts":1,"b64":"!"}\n', "line 2: no line of a recording"),
        ("v3.jsonl", jsonl(V3[:1]) + b'{"t":"recv","ts":1.5,"da', "line 2: no line of a recording"),
        ("lines", b"1000000000000000000 {}\nx\n", "line 2: does not begin with the local time"),
        ("X.ws.1.0", b"1626993368.5: {}\nx\n", "line 2: no line of a cryptofeed recording"),
        ("X.ws.1.0", b"1626993368.5: b'\\x0'\n", "line 1: a b'...' that is no bytes literal"),
        ("X.ws.1.0", b"1626993368.5: b'', 1\n", "line 1: a b'...' that is no bytes literal"),
        ("X.ws.1.0", b"99999999999.5: {}\n", "line 1: 99999999999500000000 ns is no time"),
        ("lines", b"9999999999999999999 {}\n", "line 1: 9999999999999999999 ns is no time"),
        ("v3.jsonl", b'{"t":"recv","ts":1e99,"data":""}\n', "line 1: no line of a recording"),
        ("v3.jsonl", b'{"t":"recv","ts":-1.5,"data":""}\n', "line 1: no line of a recording"),
    ],
)
def test_what_is_no_recording_is_said_in_one_line_with_its_place(
    tmp_path: Path, name: str, data: bytes, says: str
) -> None:
    path = write(tmp_path / name, data)
    _, error = until_error([path])
    assert says in error
    assert str(path) in error
    assert "\n" not in error


@pytest.mark.parametrize("name", ["jsonl", "lines", "text"])
@pytest.mark.parametrize("in_order", [True, False])
def test_what_stands_behind_a_bad_line_is_read_where_that_is_asked_for(
    tmp_path: Path, name: str, in_order: bool
) -> None:
    rows = WHOLE[name].splitlines(keepends=True)
    rows = rows[:1] + sorted(rows[1:]) if in_order else rows
    whole = list(read([write(tmp_path / "whole.0", b"".join(rows))]))
    for place in range(1, len(rows) + 1):
        path = write(tmp_path / "bad.0", b"".join([*rows[:place], b'{"t":"recv","conn"\n', *rows[place:]]))
        items = list(read([path], past_bad_lines=True))
        bad = [item for item in items if item.kind is Kind.BAD_LINE]
        others = [item._replace(connection="") for item in items if item.kind is not Kind.BAD_LINE]
        if name == "text" and rows[place - 1].startswith(b"http"):  # an answer may have line ends in it
            assert not bad
            continue
        assert others == [item._replace(connection="") for item in whole]
        assert [item.data for item in bad] == [b'{"t":"recv","conn"']
        assert f"bad.0, line {place + 1}: " in bad[0].about
        assert until_error([path])[1] == bad[0].about


@pytest.mark.parametrize("name", ["text", "jsonl", "lines"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_the_byte_order_mark_of_an_editor_is_no_part_of_a_recording(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    plain, marked = (
        write(tmp_path / f"{n}.0", pack(mark + WHOLE[name])) for n, mark in enumerate((b"", b"\xef\xbb\xbf"))
    )
    assert [item._replace(connection="") for item in read([marked])] == [
        item._replace(connection="") for item in read([plain])
    ]


def test_a_file_that_is_named_twice_is_refused_however_it_is_spelled(v3: Path) -> None:
    again = v3.parent / ".." / v3.parent.name / v3.name
    assert until_error([v3, again]) == ([], f"{again}: is named twice")
    assert until_error([v3, write(v3.parent / "copy", v3.read_bytes())])[1] == ""


def test_a_pipe_is_refused_before_a_byte_of_it_is_taken(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, LINES)
    os.close(write_end)
    assert "is a pipe or a device" in until_error([Path(f"/dev/fd/{read_end}")])[1]
    assert os.read(read_end, len(LINES)) == LINES
    os.close(read_end)


def test_a_folder_and_a_missing_file_are_no_recordings(tmp_path: Path) -> None:
    assert "is a folder" in until_error([tmp_path])[1]
    assert "No such file" in until_error([tmp_path / "none"])[1]


TEXT = b"https://a.b/c -> 1626993367.3: {}\nwss://a.b/c <-> 1626993367.3\n1626993368.5: b'\\x00'\n1626993368.7: {}\n"
LINES = b'1675209600123456 {"lastUpdateId":7}\n1675209600223456 ' + SPOT + b"\n"
WHOLE = {"jsonl": jsonl(V3), "text": TEXT, "lines": LINES}


@settings(max_examples=80)
@given(data=st.data())
def test_a_mutated_recording_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = data.draw(st.sampled_from(sorted(WHOLE.values())))
    pack = data.draw(st.sampled_from([bytes, gzip.compress, zstd]))
    first, second = (bytearray(whole), None) if data.draw(st.booleans()) else (bytearray(pack(whole)), bytes)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(first) - 1))
        first[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path = write(tmp_path_factory.getbasetemp() / "mutated.0", bytes(first) if second else pack(bytes(first)))
    items, error = until_error([path])
    assert all(0 <= item.ts < 2**63 for item in items)
    assert "\n" not in error
    behind = deque[Item]()
    try:
        behind.extend(read([path], past_bad_lines=True))
    except CaptureError:
        assert error  # of the file, not of a line
    assert (len(behind) > len(items)) or not any(item.kind is Kind.BAD_LINE for item in behind)
    if not error:
        assert venue_hint([path]) in ("", *VENUES)


items_ = st.builds(
    Item,
    st.integers(10**18, 10**18 + 10**12),
    st.sampled_from([Kind.FRAME, Kind.ANSWER, Kind.SENT, Kind.OPENED]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.just(""),
    st.binary(max_size=50) | st.text(st.characters(exclude_categories=["Cs"]), max_size=50).map(str.encode),
).map(lambda item: item._replace(about="wss://a" if item.kind in ("opened", "answer") else ""))


@settings(max_examples=30)
@given(items=st.lists(items_, min_size=1, max_size=20))
def test_what_is_written_is_read_again_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, items: list[Item]
) -> None:
    with Writer(tmp_path_factory.mktemp("w"), "a", venue="okx", max_seconds=10**6) as writer:
        for item in items:
            writer.write(item)
    header, *again = read(writer.paths)
    assert again == items
    assert (header.kind, header.ts) == ("header", items[0].ts)
    assert format_of(writer.paths[0]) is Format.TAPEDECK
    assert venue_hint(writer.paths) == "okx"


def test_the_writer_rotates_by_size_and_time_and_never_touches_an_old_file(tmp_path: Path) -> None:
    frames = [Item(10**18 + n * 10**9, Kind.FRAME, "c", "", os.urandom(500)) for n in range(100)]
    for _ in range(2):
        with Writer(tmp_path, "a", max_bytes=10_000, max_seconds=30, flush_bytes=1000) as writer:
            for frame in frames:
                writer.write(frame)
        assert len(writer.paths) > 4
        assert [item for item in read(writer.paths) if item.kind != "header"] == frames
    with Writer(tmp_path / "slow", "a", max_seconds=30) as writer:
        for frame in frames:
            writer.write(frame)
    assert len(writer.paths) == 4


KILLED = """
import itertools, sys
from pathlib import Path
from infra.captures import Item, Kind, Writer
writer = Writer(Path(sys.argv[1]), "a", flush_seconds=1)
for n in itertools.count():
    writer.write(Item(10**18 + n * 1_000_000, Kind.FRAME, "c", "", b"%d" % n))
    if n == 20_000:
        print("written", flush=True)
"""


def test_a_killed_recorder_leaves_a_whole_file(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    _, *items = read(sorted(tmp_path.iterdir()))
    assert len(items) >= 19_000
    assert [item.data for item in items] == [b"%d" % n for n in range(len(items))]


def test_reading_keeps_a_bounded_part_of_a_recording_in_memory(tmp_path: Path) -> None:
    with Writer(tmp_path, "a", max_seconds=10**6) as writer:
        for n in range(3000):
            writer.write(Item(10**18 + n * 10**6, Kind.FRAME, "c", "", b"x" * 10_000))
    tracemalloc.start()
    assert sum(len(item.data) for item in read(writer.paths)) > 30_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000


@given(ts=st.integers(0, 2**63 - 1))
def test_times_keep_every_digit(ts: int) -> None:
    assert of_seconds(as_seconds(ts)) == ts


def test_the_unit_of_a_time_is_told_by_its_magnitude() -> None:
    assert {
        of_epoch(text) for text in (b"1700000000", b"1700000000000", b"1700000000000000", b"1700000000000000000")
    } == {1_700_000_000 * 10**9}


EXPECTED = {
    "cryptofeed/BINANCE.jsonl.zst": ("binance", 265, 5),
    "cryptofeed/BINANCE_FUTURES.jsonl.zst": ("binance_usdm", 1535, 5),
    "cryptofeed/BINANCE_US.jsonl.zst": ("binance", 480, 5),
    "cryptofeed/BYBIT.jsonl.zst": ("bybit", 3227, 2),
    "cryptofeed/COINBASE.jsonl.zst": ("coinbase", 1030, 1),
    "cryptofeed/KRAKEN.jsonl.zst": ("kraken", 4430, 1),
    "cryptofeed/KRAKEN_FUTURES.jsonl.zst": ("kraken_futures", 7175, 1),
    "cryptofeed/OKX.jsonl.zst": ("okx", 410, 25),
    "cryptofeed/DERIBIT.jsonl.zst": ("deribit", 136, 4),
    "cryptofeed/KUCOIN.jsonl.zst": ("kucoin", 4721, 10),
    "cryptofeed/GATEIO.jsonl.zst": ("gateio", 239, 11),
    "cryptofeed/BITSTAMP.jsonl.zst": ("bitstamp", 747, 11),
    "cryptofeed/BITMEX.0.gz cryptofeed/BITMEX.ws.1.0.gz": ("bitmex", 2120, 1),
    "hftbacktest/spot/ethusdt_20240808.gz hftbacktest/spot/ethusdt_20240809.gz": ("binance", 33617 + 46126, 1),
    "hftbacktest/spot/btcusdt_20240809.gz": ("binance", 58325, 0),
    "hftbacktest/cm/btcusd_perp_20240808.gz": ("binance_coinm", 48269, 1),
    "hftbacktest/usdm/ethusdt_20240808.gz": ("binance_usdm", 74654, 1),
    "hftbacktest/hyperliquid/btcusd_20250126.gz": ("hyperliquid", 55, 0),
}


@pytest.mark.skipif(not data_folder().exists(), reason="the recordings are not here")
@pytest.mark.parametrize("names", EXPECTED)
def test_every_recording_is_read_whole_and_in_order_and_its_venue_is_told(names: str) -> None:
    venue, frames, answers = EXPECTED[names]
    paths = [data_folder() / name for name in names.split()]
    items = list(read(paths))
    kinds = Counter(item.kind for item in items)
    assert (venue_hint(paths), kinds[Kind.FRAME], kinds[Kind.ANSWER]) == (venue, frames, answers)
    assert all(a.ts <= b.ts for a, b in pairwise(items))
    assert all(item.about.startswith("https://") for item in items if item.kind is Kind.ANSWER)
    assert all(item.data for item in items if item.kind in (Kind.FRAME, Kind.ANSWER, Kind.SENT))
