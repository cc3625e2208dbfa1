"""Processes that outlive the one that started them, found again by a record on disk.

A record is `{pid, since_boot, marker}`. A pid alone may have been given to another process since; the start time
counted from boot (so that a stepped clock changes nothing) and a command line that contains the marker identify it.
"""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil

from infra.services.errors import ServiceError

SAME_START_S = 2.0
POLL_S = 0.05


class ProcessRecord(msgspec.Struct, frozen=True):
    """Which process it was: pid, seconds from boot to its start, and a word of its command line."""

    pid: int
    since_boot: float
    marker: str


def start(command: Sequence[str], *, record: Path, marker: str, output: Path, cwd: Path) -> psutil.Process:
    """Start a process in a session of its own, its output in a file, and write its record."""
    with output.open("ab") as sink:
        child = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
        )
    process = psutil.Process(child.pid)
    record.write_bytes(msgspec.json.encode(ProcessRecord(process.pid, _since_boot(process), marker)))
    return process


def find(record: Path) -> psutil.Process | None:
    """The recorded process if it still runs; another one that got its pid is not it."""
    try:
        known = msgspec.json.decode(record.read_bytes(), type=ProcessRecord)
        process = psutil.Process(known.pid)
        same_start = abs(_since_boot(process) - known.since_boot) < SAME_START_S
        # A process has no command line for a moment while it is being executed, and none while it is being torn down.
        same_command = mentions(process, known.marker) or not process.cmdline()
        return process if same_start and same_command and alive(process) else None
    except (FileNotFoundError, psutil.Error, msgspec.DecodeError):
        return None


def stop(process: psutil.Process, name: str, grace_s: float) -> None:
    """Ask a process to end (SIGTERM), insist after `grace_s` (SIGKILL), and return when it is gone."""
    try:
        process.terminate()
        if gone(process, grace_s):
            return
        process.kill()
    except psutil.NoSuchProcess:
        return
    if not gone(process, 10.0):
        raise ServiceError(f"{name} (pid {process.pid}) does not end, not even by SIGKILL; look at the machine's disk")


def mentions(process: psutil.Process, marker: str) -> bool:
    """Whether the process's command line contains the marker."""
    return any(marker in word for word in process.cmdline())


def alive(process: psutil.Process) -> bool:
    """Whether the process runs; one that has ended and waits for its parent does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(process: psutil.Process, timeout_s: float) -> bool:
    """Wait until the process has ended. Nobody may be there to reap it (a container without init), hence no `wait`."""
    deadline = time.monotonic() + timeout_s
    while alive(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _since_boot(process: psutil.Process) -> float:
    return process.create_time() - psutil.boot_time()
