"""Where a worker's metrics are served, and how Prometheus finds them.

A worker listens on a port of its own and leaves a target file in ``<home>/targets/``, one folder for all runs: Prometheus
(``file_sd_configs``) takes a wildcard in a file's name only. A clean stop takes it back; one that was killed is seen as down.
"""

import json
import logging
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from infra.config import MetricsConfig
from infra.metrics import catalog
from infra.version import revision

log = logging.getLogger(__name__)


class Source(Protocol):
    """Something that has metrics. ``collect`` is called at a scrape, in another thread than the worker's own."""

    def collect(self) -> Iterable[Metric]: ...


class _Sources(Collector):
    def __init__(self) -> None:
        self.all: list[Source] = []

    def collect(self) -> Iterator[Metric]:
        for source in list(self.all):
            yield from source.collect()


def targets_of(run_dir: Path, worker: str = "*") -> Path:
    """The target file of a worker, as ``<run_dir>`` is ``<home>/runs/<run>``; of all of the run: a pattern."""
    return run_dir.parent.parent / "targets" / f"{run_dir.name}--{worker}.json"


class Exposition:
    """A worker's metrics; served while in the context, unless they are switched off. ``add`` sources at any time."""

    def __init__(self, config: MetricsConfig, run_dir: Path, stage: str, instance: int = 0) -> None:
        self._config = config
        self._labels = {"run": run_dir.name, "stage": stage, "instance": str(instance)}
        self._path = targets_of(run_dir, f"{stage.replace('/', '-')}.{instance}")
        self._sources = _Sources()
        self._server: tuple[WSGIServer, threading.Thread] | None = None

    def add(self, source: Source) -> None:
        self._sources.all.append(source)

    def collect(self) -> Iterable[Metric]:
        yield catalog.WORKER.of([((revision(),), 1)])
        yield from self._sources.collect()

    def __enter__(self) -> "Exposition":
        if self._config.enabled:
            self._serve()
        return self

    def _serve(self) -> None:
        """A port that is taken costs the metrics, not the trading."""
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server = start_http_server(self._config.port, self._config.host, registry)
        except OSError as error:
            log.error("no metrics: %s:%d: %s", self._config.host, self._config.port, error)
            return
        target = {"targets": [self.address], "labels": self._labels}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps([target]))
        temporary.replace(self._path)

    @property
    def address(self) -> str:
        """As others reach it; empty where nothing is served."""
        if self._server is None:
            return ""
        host = socket.gethostname() if self._config.host in ("", "0.0.0.0", "::") else self._config.host
        return f"{host}:{self._server[0].server_port}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is None:
            return
        if error is None or (isinstance(error, SystemExit) and not error.code):
            self._path.unlink(missing_ok=True)
        server, thread = self._server
        server.shutdown()
        server.server_close()
        thread.join(2)
