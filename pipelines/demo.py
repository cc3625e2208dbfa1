"""The demo: everything on this machine, a simulated exchange to trade on, three strategies, a verification and a report."""

import json
import os
import secrets
import shutil
import time
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from infra import services
from infra.captures import CaptureError, Format, format_of, venue_hint
from infra.config import load
from infra.errors import Problem
from pipelines import demo_config
from pipelines.demo_config import KEY, SECRET
from pipelines.live_view import LiveView
from pipelines.market_process import MarketProcess
from pipelines.system import System

if TYPE_CHECKING:
    from pipelines.demo_paper import Played

CAPTURE_SPEED = 5.0
TABLE_WIDTH = 150  # digits are never broken: a narrower terminal wraps the lines itself
console = Console(stderr=True, highlight=False, soft_wrap=True)


class Exchange(MarketProcess):
    """The simulated exchange as a process of its own."""

    def __init__(self, folder: Path, env: Mapping[str, str], arguments: list[str]) -> None:
        self.folder = folder
        named = ["adapters.simulated", "--port", "0", "--folder", str(folder), "--wait-for-start", *arguments]
        super().__init__(named, folder / "exchange.log", env, "the simulated exchange")

    @property
    def address(self) -> str:
        return f"{self.ready['host']}:{self.ready['port']}"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.jsonl"

    def prices(self) -> dict[str, Decimal]:
        """The best ask of every symbol it lists."""
        return {
            symbol: Decimal(self._get(f"/api/v3/ticker/bookTicker?symbol={symbol}")["askPrice"])
            for symbol in self.ready["symbols"]
        }

    def status(self) -> dict[str, Any]:
        return self._get("/control/status")

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5) as answer:
            return dict(json.load(answer))


def run_demo(*, captures: Sequence[Path], seconds: float, speed: float | None, seed: int, view: bool) -> int:
    """0 when the verification agrees everywhere, 1 when it does not; Problem for what a person can mend. One capture of Binance
    spot is played by the simulated exchange, others (and several in a row) as their venue would send them.
    """
    began = time.monotonic()
    for path in captures:
        if path.is_dir():
            raise Problem(f"{path} is a folder: name a capture in it, a file")
        if not path.is_file():
            raise Problem(f"no capture at {path}")
    if captures and not _is_of_spot(captures):
        return _on_paper(captures, seconds, speed, view, began)
    capture = captures[0] if captures else None
    home = services.default_home()
    name = datetime.now(UTC).strftime("demo-%Y%m%d-%H%M%S")
    run_dir = home / "runs" / name
    os.environ |= {KEY: secrets.token_hex(16), SECRET: secrets.token_hex(32), "TAPEDECK_HOME": str(home)}
    env = dict(os.environ)
    arguments = demo_config.exchange_arguments(capture, speed or CAPTURE_SPEED, seed)
    with _exchange(run_dir, env, arguments) as exchange:
        path = run_dir / "tapedeck.toml"
        path.write_text(demo_config.toml(name, home, exchange.address, exchange.prices(), capture is not None))
        return _trade(exchange, path, env, seconds, view, began)


def _is_of_spot(captures: Sequence[Path]) -> bool:
    """Whether the simulated exchange itself can play it; what is no capture at all it refuses best."""
    try:
        return len(captures) == 1 and format_of(captures[0]) is Format.HFTBACKTEST and venue_hint(captures) == "binance"
    except CaptureError:
        return len(captures) == 1


def _on_paper(captures: Sequence[Path], seconds: float, speed: float | None, view: bool, began: float) -> int:
    from pipelines import demo_paper
    from pipelines.player.recording import Recording

    recording = Recording(captures)
    home = services.default_home()
    name = datetime.now(UTC).strftime("demo-%Y%m%d-%H%M%S")
    run_dir = home / "runs" / name
    os.environ["TAPEDECK_HOME"] = str(home)
    env = dict(os.environ)
    pace = demo_paper.pace(recording, seconds, speed)
    with demo_paper.Played(run_dir, captures, recording.venue, pace, env) as played:
        path = run_dir / "tapedeck.toml"
        path.write_text(demo_paper.toml(name, home, played.address, recording, played.ready["undefined"]))
        return _trade(played, path, env, seconds, view, began)


def _exchange(run_dir: Path, env: Mapping[str, str], arguments: list[str]) -> Exchange:
    """A run whose exchange refused to start (the capture is none, say) leaves no folder."""
    try:
        return Exchange(run_dir / "exchange", env, arguments)
    except Problem:
        shutil.rmtree(run_dir)
        raise


def _trade(
    exchange: "Exchange | Played", path: Path, env: Mapping[str, str], seconds: float, view: bool, began: float
) -> int:
    config = load(path, {})
    with System(config, path, _say, env) as system:
        system.start()
        _say(f"started {len(system.supervisor.children)} workers, waiting for them")
        system.await_ready()
        _say(f"ready to trade after {time.monotonic() - began:.0f} s; trading for {seconds:g} s (Ctrl-C ends it early)")
        exchange.begin()
        until = time.monotonic() + seconds
        if view:
            with LiveView(system) as live:
                system.run(until, each=live.refresh)
        else:
            _run_with_progress(system, until)
        _say("stopping: cancelling what rests, draining")
        system.stop()
        if system.unclean is not None:
            _say(system.unclean)
        return max(conclude(system, exchange.ledger), int(system.unclean is not None))


def conclude(system: System, ledger: Path) -> int:
    from pipelines.report import build_report
    from pipelines.verify import verify

    result = verify(system.config, system.kafka, system.endpoints.postgres, ledger)
    out = Console(highlight=False, emoji=False)
    out = out if out.width >= TABLE_WIDTH else Console(highlight=False, emoji=False, width=TABLE_WIDTH)
    out.print(result.to_table())
    report = build_report(system.config, system.config.run_dir / "report.html")
    agrees = result.agrees
    out.print(
        "verify: agrees everywhere" if agrees else "verify: DIFFERS (see the table)",
        style="green" if agrees else "bold red",
    )
    out.print(f"report: {report}", soft_wrap=True)
    out.print(
        "Kafka and Postgres stay up for the next start: 'tapedeck services down' stops them",
        style="dim",
        soft_wrap=True,
    )
    return 0 if agrees else 1


def _run_with_progress(system: System, until: float) -> None:
    """A line every ten seconds, for logs."""
    began = time.monotonic()
    said = [began]

    def each() -> None:
        now = time.monotonic()
        if now - said[0] >= 10:
            said[0] = now
            statuses = system.statuses()
            out = sum(int(s.get("records_out", 0)) for s in statuses.values())
            lag = sum(int(s.get("lag") or 0) for s in statuses.values())
            _say(f"{now - began:.0f} s: {out:,} records written, lag {lag:,}")

    system.run(until, each)


def _say(line: str) -> None:
    console.print(line, markup=False)
