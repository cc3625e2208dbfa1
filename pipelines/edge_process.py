"""What the edges have in common: opening the tape, and a word about oneself once a second.

The word stands in ``<run_dir>/status/<name>.json``, in the same terms as a stage's shell uses and with an edge's own.
"""

import asyncio
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from infra.config import Config
from infra.edge import Edge
from infra.kafka import KafkaConf
from infra.metrics import Words

EVERY_S = 1.0


async def open_edge(config: Config, kafka_conf: KafkaConf, name: str) -> Edge:
    """An edge of this run; its start is acknowledged by the broker. EdgeFailed when it does not answer."""
    make = partial(Edge, config_digest=config.digest(), subscriptions=config.subscriptions())
    return await asyncio.to_thread(make, kafka_conf, config.prefix, name)


def write_status(path: Path, words: dict[str, Any]) -> None:
    """Replaced as a whole, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(msgspec.json.encode({"pid": os.getpid(), "ts": time.time_ns(), **words}))
    temporary.replace(path)


async def keep_status(path: Path, words: Callable[[], dict[str, Any]], told: Words | None = None) -> None:
    """Until cancelled; the last word is written on the way out. ``told`` is what metrics are made of."""
    try:
        while True:
            now = words()
            write_status(path, now)
            if told is not None:
                told.say({"ts": time.time_ns(), **now})
            await asyncio.sleep(EVERY_S)
    finally:
        write_status(path, {**words(), "ready": False})
