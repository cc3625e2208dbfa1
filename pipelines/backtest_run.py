"""A backtest as a run: its folder with configuration, archive and statuses, so that report, replay and explain read it like any run.

``<home>/runs/<name>/tapedeck.toml``, ``archive/`` and ``status/``. The archive's files depend on the records alone.
"""

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from infra import archive, typed
from infra.config import Config
from infra.errors import Hopeless, Problem
from infra.shell.status import status_path
from infra.tail import Place, Taken
from pipelines.backtest import Backtest, Counts, Settings
from pipelines.backtest_source import Source
from pipelines.compose import TOPIC_ID, Written
from pipelines.toml import to_toml
from topics.catalog import DEAD_LETTERS

ROWS = 20_000
BYTES = 32 * 1024 * 1024


class ArchiveSink:
    """Records to files of so many rows or bytes each. ``version`` is every record's header."""

    def __init__(self, root: Path) -> None:
        self.version = b""
        self.unreadable = 0
        self._root = root
        self._held: dict[Place, list[Taken]] = defaultdict(list)
        self._bytes: dict[Place, int] = defaultdict(int)

    def __call__(self, written: Written) -> None:
        place = Place(written.topic.name, written.partition)
        self.unreadable += written.topic is DEAD_LETTERS
        self._held[place].append(self._taken(written))
        self._bytes[place] += len(written.value)
        if len(self._held[place]) >= ROWS or self._bytes[place] >= BYTES:
            self._write(place)

    def close(self) -> None:
        for place in sorted(self._held):
            self._write(place)
        typed.derive_all(self._root)

    def _write(self, place: Place) -> None:
        rows = self._held.pop(place, [])
        self._bytes.pop(place, None)
        if rows:
            archive.write(self._root, place, rows)

    def _taken(self, w: Written) -> Taken:
        return Taken(
            w.topic.name, TOPIC_ID, w.partition, w.offset, w.ts // 1_000_000, w.key, w.value, w.src, self.version
        )


def run_backtest(
    config: Config,
    source: Source,
    settings: Settings,
    progress: Callable[[float], None] = lambda share: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Counts:
    """Run it into the configuration's own run folder; Problem where that has an archive already, or where it cannot be written."""
    root = config.run_dir / "archive"
    if root.exists():
        raise Hopeless(f"{root} exists already: use another run name")
    with _whole_or_none(config.run_dir):
        return _run(config, source, settings, root, progress, stopped)


def _run(
    config: Config,
    source: Source,
    settings: Settings,
    root: Path,
    progress: Callable[[float], None],
    stopped: Callable[[], bool],
) -> Counts:
    sink = ArchiveSink(root)
    backtest = Backtest(config, source, settings, sink, counted=True)
    sink.version = backtest.version
    config.run_dir.mkdir(parents=True, exist_ok=True)
    (config.run_dir / "tapedeck.toml").write_text(to_toml(plain(config)))
    counts = backtest.run(progress, stopped)
    sink.close()
    _write_statuses(config, backtest)
    return replace(counts, unreadable=sink.unreadable)


@contextmanager
def _whole_or_none(folder: Path) -> Iterator[None]:
    """Half a run would be taken for a run."""
    new = not folder.exists()
    try:
        yield
    except (OSError, duckdb.IOException) as error:
        shutil.rmtree(folder if new else folder / "archive", ignore_errors=True)
        why = str(error).partition("\n")[0]
        raise Problem(
            f"the run could not be written and is removed: {why}; make room there, or name another TAPEDECK_HOME"
        ) from error


def _write_statuses(config: Config, backtest: Backtest) -> None:
    for fold in backtest.folds:
        path = status_path(config.run_dir / "state", fold.stage.name, 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        fold.status.write(path)


def plain(config: Config) -> dict[str, Any]:
    """The configuration as its TOML file has it: absent is absent, decimals are text."""
    found = _without_none(msgspec.to_builtins(config, str_keys=True))
    assert isinstance(found, dict)
    return found


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list | tuple) else value
