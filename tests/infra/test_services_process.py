"""Detached processes: whom a record means, and whom it must never mean."""

import os
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from infra.services import process
from infra.services.process import ProcessRecord

IGNORES_TERM = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"


def start(folder: Path, program: str = "import time; print('ready', flush=True); time.sleep(600)") -> psutil.Process:
    """A detached Python that says when it is ready."""
    started = process.start(
        [sys.executable, "-c", program, str(folder)],
        record=folder / "record",
        marker=str(folder),
        output=folder / "output",
        cwd=folder,
    )
    while "ready" not in (folder / "output").read_text():
        assert process.alive(started), (folder / "output").read_text()
    return started


def test_a_process_is_found_again_by_its_record_and_runs_in_a_session_of_its_own(tmp_path: Path) -> None:
    started = start(tmp_path)
    try:
        assert process.find(tmp_path / "record") == started
        assert os.getsid(started.pid) == started.pid
    finally:
        process.stop(started, "it", 10)
    assert process.find(tmp_path / "record") is None


def test_a_process_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    started = start(tmp_path, IGNORES_TERM)
    process.stop(started, "it", 0.1)
    assert not process.alive(started)


def test_stopping_what_has_ended_is_no_error(tmp_path: Path) -> None:
    started = start(tmp_path)
    process.stop(started, "it", 10)
    process.stop(started, "it", 10)


@pytest.mark.parametrize("change", [{"since_boot": 1.0}, {"marker": "another folder"}])
def test_another_process_with_the_recorded_pid_is_not_found(tmp_path: Path, change: dict[str, object]) -> None:
    started = start(tmp_path)
    try:
        record = msgspec.json.decode((tmp_path / "record").read_bytes(), type=ProcessRecord)
        (tmp_path / "record").write_bytes(msgspec.json.encode(msgspec.structs.replace(record, **change)))
        assert process.find(tmp_path / "record") is None
        assert process.alive(started)
    finally:
        process.stop(started, "it", 10)


@pytest.mark.parametrize("text", ["", "{", '{"pid": 99999999, "since_boot": 1.0, "marker": "x"}'])
def test_a_record_that_says_nothing_useful_finds_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "record").write_text(text)
    assert process.find(tmp_path / "record") is None
