"""A process that makes a market for a demo: it says in a line of JSON that it is ready, and waits for the start."""

import ctypes
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.errors import Problem


def _end_with_parent() -> None:
    """In the child: ask Linux to end it when the demo dies without having stopped it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class MarketProcess(AbstractContextManager["MarketProcess"]):
    """``python -m <arguments>``, its errors in ``log``; ``ready`` is what it said. Problem with its own last line when it refuses
    to start.
    """

    def __init__(self, arguments: Sequence[str], log: Path, env: Mapping[str, str], what: str) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._errors = log.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**env},
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(5)
            words = log.read_text(errors="replace").strip().splitlines()
            raise Problem(words[-1].removeprefix("tapedeck: ") if words else f"{what} did not start")
        self.ready: dict[str, Any] = json.loads(line)

    @property
    def address(self) -> str:
        return str(self.ready["address"])

    def begin(self) -> None:
        """Let the market move."""
        request = urllib.request.Request(f"http://{self.address}/control/start", method="POST", data=b"")
        with urllib.request.urlopen(request, timeout=5):
            pass

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
