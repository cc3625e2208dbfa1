"""The process: what it says when it is ready, how it ends, and what it refuses before it starts."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

import orjson
import pytest

from adapters.simulated.__main__ import main
from tests.adapters.simulated.running import REPOSITORY, Client, command, environment, receive, started, ws_params

STOPS_WITHIN_S = 5.0  # two are promised; the rest is for a busy machine


def refused(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> str:
    """The one line of complaint of an exchange that did not start."""
    done = subprocess.run(
        command(folder, *arguments),
        cwd=REPOSITORY,
        env=env or environment(),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    [line] = done.stderr.decode().splitlines()
    return line


def test_a_bad_argument_is_one_line_and_exit_code_2(folder: Path) -> None:
    assert "--bogus" in refused(folder, "--bogus")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--symbols", "DOGEMOON"), "DOGEMOON"),
        (("--symbols", "BTCUSDT", "BTCUSDT"), "once"),
        (("--balance", "BTC=x"), "--balance BTC=x"),
        (("--balance", "BTC=-1"), "negative"),
        (("--maker-fee", "tiny"), "--maker-fee"),
        (("--speed", "0"), "--speed"),
        (("--port", "70000"), "--port"),
        (("--api-key", "a"), "API key and secret"),
        (("--capture", "absent.gz"), "absent.gz"),
    ],
)
def test_bad_values_are_named_before_anything_is_opened(
    folder: Path, arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = () if "--api-key" in arguments else ("--api-key", "a", "--api-secret", "b")
    assert main(["--folder", str(folder), *arguments, *keys]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert complaint in line
    assert not folder.exists()


def test_a_capture_without_a_snapshot_is_refused_before_the_server_starts(folder: Path, data_dir: Path) -> None:
    capture = data_dir / "hftbacktest" / "spot" / "btcusdt_20240809.gz"
    assert "no depth snapshot" in refused(folder, "--capture", str(capture))
    assert not folder.exists()


def test_a_taken_port_is_one_line_and_exit_code_2(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "address already in use" in refused(folder, "--port", str(taken.getsockname()[1]))


def test_a_folder_with_a_ledger_is_refused(folder: Path) -> None:
    folder.mkdir()
    (folder / "ledger.jsonl").write_text("")
    assert "folder of its own" in refused(folder)


def test_ready_is_said_on_stdout_and_in_a_file(folder: Path) -> None:
    with started(folder, "--symbols", "ETHUSDT") as exchange:
        said = orjson.loads((folder / "ready.json").read_bytes())
        assert said == {"ready": True, "host": exchange.host, "port": exchange.port, "symbols": ["ETHUSDT"]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_cleanly_with_clients_connected(folder: Path, number: signal.Signals) -> None:
    with started(folder) as exchange:
        async with (
            Client(exchange) as client,
            client.socket("/ws/btcusdt@bookTicker") as streams,
            client.socket("/ws-api/v3") as private,
        ):
            subscribe = {"id": 1, "method": "userDataStream.subscribe.signature", "params": ws_params()}
            await private.send_json(subscribe)
            await receive(private, lambda message: message.get("id") == 1)
            await receive(streams, lambda message: True)
            before = time.monotonic()
            exchange.process.send_signal(number)
            assert exchange.process.wait(STOPS_WITHIN_S) == 0
            assert time.monotonic() - before < STOPS_WITHIN_S
        assert exchange.ledger().differences() == []


async def test_opening_balances_fees_and_clock_are_configurable(folder: Path) -> None:
    arguments = ("--balance", "BTC=0.5", "--balance", "BNB=3", "--taker-fee", "0.0004", "--time-offset-ms", "-90000")
    with started(folder, *arguments, "--api-key", "k1", "--api-secret", "s1") as exchange:
        held = {asset: str(one.total) for (_, asset), one in exchange.ledger().balances.items()}
        assert (held["BTC"], held["BNB"], held["USDT"]) == ("0.50000000", "3.00000000", "1000000.00000000")
        async with Client(exchange) as client:
            offset = (await client.call("GET", "/api/v3/time"))[1]["serverTime"] - time.time_ns() // 1_000_000
            assert -95_000 < offset < -85_000


async def test_budgets_are_enforced_when_they_are_set(folder: Path) -> None:
    with started(folder, "--weight-limit", "100", "--order-limit", "2") as exchange:
        async with Client(exchange) as client:
            order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
            answers = [await client.signed("POST", "/api/v3/order", **order) for _ in range(5)]
            assert (429, -1015) in [(status, answer.get("code")) for status, answer in answers]
            weights = [await client.call("GET", "/api/v3/exchangeInfo") for _ in range(12)]
            assert (429, -1003) in [(status, answer.get("code")) for status, answer in weights]
            assert int(client.last_headers["Retry-After"]) <= 60
