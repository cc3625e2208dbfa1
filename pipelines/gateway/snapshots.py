"""Sees to it that the snapshot of the book stays close to the tape: a helper process from time to time."""

import asyncio
import contextlib
import logging
import sys
from pathlib import Path

import msgspec

from infra.kafka import KafkaConf
from pipelines.gateway.state import State
from topics.record import Account

log = logging.getLogger(__name__)

EVERY = 100_000
"""Facts since the last snapshot, after which another is taken: some seconds of folding at the next start."""
LOOK_S = 5.0


class Snapshots:
    """``keep`` runs beside everything else; what goes wrong with a snapshot is said and makes the next start longer."""

    def __init__(
        self, conf: KafkaConf, prefix: str, account: Account, path: Path, state: State, every: int = EVERY
    ) -> None:
        self._conf, self._prefix, self._account, self._path, self._state = conf, prefix, account, path, state
        self._every = every
        self.covered = 0
        """Facts in the last one."""

    async def keep(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            if self._state.book.seq - self.covered >= self._every:
                await self._take()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_S)

    async def _take(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pipelines.gateway.snapshot", self._prefix, self._account, str(self._path)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, errors = await process.communicate(msgspec.json.encode(dict(self._conf)))
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode == 0:
            self.covered = int(out)
            log.info("snapshot of %d facts", self.covered)
        else:
            words = errors.decode(errors="replace").strip().splitlines()
            log.warning("no snapshot of the book: %s", words[-1] if words else f"exit code {process.returncode}")
            self.covered = self._state.book.seq  # not again at once
