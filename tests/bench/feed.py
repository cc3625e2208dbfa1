"""Frames a second through parser, integrity rules and book, against cryptofeed over the same recorded frames.

Ours is what is asked of both: frame to instrument, parser, integrity rules, book, and the records that it all comes to; beside it
stands the whole of normalize's stage (marks, clocks, counts, what was told already). cryptofeed's is its message handler, with its
checksums on and callbacks that do nothing. Reading the recording is in neither. One core each, by processor time, in turn.
"""

import gc
import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from adapters.base import Answer, Checked, Reading, Session
from adapters.registry import market_data
from infra.captures import Item, Kind, read
from pipelines import synchronizer
from pipelines.lines import Lines
from pipelines.normalize import Sources, normalize_stage
from pipelines.synchronizer import BookState
from tests.bench.measure import Row, row
from tests.bench.scene import Scene
from topics.coordinates import At
from topics.market import BookDelta, BookSnapshot

PEER = "cryptofeed==2.4.1"
RECORDINGS = {
    "kraken": "KRAKEN",
    "kraken_futures": "KRAKEN_FUTURES",
    "binance_usdm": "BINANCE_FUTURES",
    "okx": "OKX",
    "bybit": "BYBIT",
    "coinbase": "COINBASE",
}
DATA = Path(__file__).parents[3] / "shared" / "data" / "cryptofeed"
REPETITIONS = 7


def measure(scene: Scene) -> Iterator[Row]:
    console = Console(stderr=True)
    if not DATA.is_dir():
        console.print("feed: no recordings beside this checkout: nothing measured")
        return
    python = _peer(scene.home, console)
    for venue, name in RECORDINGS.items():
        items = list(read([DATA / f"{name}.jsonl.zst"]))
        (ours, whole), theirs, note = _in_turn(venue, items, python, scene.home / f"{name}.json")
        aim = None if theirs is None else 3.0
        yield row(f"feed {venue}", "frames/s a core", ours, theirs, at_least=aim, note=note)
        yield row(f"feed {venue}, the whole stage", "frames/s a core", whole, theirs)


def _peer(folder: Path, console: Console) -> Path | None:
    python = folder / "peer" / "bin" / "python"
    steps: Sequence[Sequence[str]] = (
        [sys.executable, "-m", "venv", str(folder / "peer")],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PEER],
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode != 0:
            console.print(f"no figures of cryptofeed: {done.stderr.strip()[-300:]}", markup=False)
            return None
    return python


def _in_turn(
    venue: str, items: list[Item], python: Path | None, given: Path
) -> tuple[tuple[float, float], float | None, str]:
    frames = sum(item.kind is Kind.FRAME for item in items)
    ours: list[float] = []
    whole: list[float] = []
    theirs: list[float] = []
    note = ""
    peer = None if python is None else _start(python, items, given)
    try:
        for _ in range(REPETITIONS):
            ours.append(_ours(venue, items))
            whole.append(_whole(venue, items))
            if peer is not None:
                told = _pass(peer)
                theirs.append(told["cpu_s"])
                note = f"cryptofeed raised at {told['failed']} of {frames} frames" if told["failed"] else ""
    finally:
        if peer is not None:
            assert peer.stdin is not None
            peer.stdin.close()
            peer.wait(30)
    both = frames / statistics.median(ours), frames / statistics.median(whole)
    return both, frames / statistics.median(theirs) if theirs else None, note


def _start(python: Path, items: list[Item], given: Path) -> "subprocess.Popen[str]":
    head = json.loads(next(item.data for item in items if item.kind is Kind.HEADER))
    words = {
        "exchange": head["exchange"],
        "config": head["config"],
        "answers": [[i.about, i.data.decode()] for i in items if i.kind is Kind.ANSWER],
        "urls": {i.connection: i.about for i in items if i.kind is Kind.OPENED},
        "frames": [[i.connection, i.ts / 1e9, i.data.decode()] for i in items if i.kind is Kind.FRAME],
    }
    given.write_text(json.dumps(words))
    script = Path(__file__).with_name("peer_cryptofeed.py")
    return subprocess.Popen(
        [str(python), str(script), str(given)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _pass(peer: "subprocess.Popen[str]") -> dict[str, Any]:
    assert peer.stdin is not None
    assert peer.stdout is not None
    peer.stdin.write("\n")
    peer.stdin.flush()
    line = peer.stdout.readline()
    if not line:
        raise RuntimeError("cryptofeed ended: see above")
    told: dict[str, Any] = json.loads(line)
    return told


def _is_book(answer: Answer | None) -> bool:
    """Definitions are read before there is a frame, there as here."""
    return answer is not None and answer.what == "depth"


def _ours(venue: str, items: list[Item]) -> float:
    """Processor seconds for all frames; answers of REST with a book are in them too."""
    adapter = market_data(venue)
    lines, sources = Lines(venue, adapter), Sources({venue: adapter})
    items = [item for item in items if item.kind is not Kind.ANSWER or _is_book(adapter.answer(item.about, item.data))]
    kept: dict[str, tuple[BookState, dict[str, str]]] = defaultdict(lambda: (BookState(), {}))
    failed = 0
    gc.collect()
    began = time.process_time()
    for line in lines.of(items):
        key, now = line.key, line.ts
        source, (book, memory) = sources[key], kept[key]
        try:
            parsed = source.parse(line.frame, Reading(venue, key, now, 0, memory))
        except ValueError:
            failed += 1
            continue
        for event in parsed or ():
            kind = type(event)
            if kind is BookDelta:
                synchronizer.on_delta(book, source, event, now)
            elif kind is Checked and type(event.change) is BookDelta:
                synchronizer.on_delta(book, source, event.change, now, event.checksum)
            elif kind is Checked:
                synchronizer.on_snapshot(book, source, event.change, now, event.checksum)
            elif kind is BookSnapshot:
                synchronizer.on_snapshot(book, source, event, now)
            elif kind is Session:
                synchronizer.on_session(book, source, event, now)
    taken = time.process_time() - began
    assert any(book.book is not None for book, _ in kept.values()), f"{venue}: no book; {failed} frames were not read"
    return taken


def _whole(venue: str, items: list[Item]) -> float:
    adapter = market_data(venue)
    lines, on_event = Lines(venue, adapter), normalize_stage({venue: venue}).on_event
    items = [item for item in items if item.kind is not Kind.ANSWER or _is_book(adapter.answer(item.about, item.data))]
    states: dict[str, Any] = {}
    at = At(0, 0, 0)
    gc.collect()
    began = time.process_time()
    for line in lines.of(items):
        key = line.key
        states[key], _ = on_event(states.get(key), line, at)
    return time.process_time() - began
