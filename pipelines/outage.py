"""The services as a supervisor sees them: one line when they go away, one when all is well again.

While they are away every worker waits, dies or complains, each in its own words: those stay in the logs.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from infra import services
from infra.errors import Problem
from infra.services import existing
from infra.services.broker import cluster_id

EVERY_S = 2.0
ANSWER_S = 5
RECOVERY_S = 90.0


def missing(home: Path, found: services.Endpoints) -> list[str]:
    """Which of the two do not answer; a local one whose process is gone is known at once."""
    if services.broker(home) is None:
        return ["Kafka"]
    gone = [] if cluster_id(found.kafka, ANSWER_S) is not None else ["Kafka"]
    return [*gone, *([] if _postgres_answers(home, found.postgres) else ["Postgres"])]


def _postgres_answers(home: Path, dsn: str) -> bool:
    if services.endpoints(home) is None and services.broker(home) is not None:
        return False
    try:
        existing.check_postgres(dsn)
    except services.ServiceError:
        return False
    return True


@dataclass
class Outage:
    """``notice`` once a second, from the main thread; ``on`` from the first failed answer until every worker is well.

    ``look`` says what does not answer; it may take seconds, and is asked in a thread of its own between ``start`` and ``stop``.
    """

    look: Callable[[], list[str]]
    say: Callable[[str], None]
    gone: list[str] = field(default_factory=list)
    """What did not answer when it was looked at last."""
    on: bool = False
    looked_at: float = float("-inf")
    """When the last look began that has ended: what was known before it is judged by it."""
    _back_at: float | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self._watch, name="services", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            with contextlib.suppress(OSError, Problem):  # no answer to the question is no answer of the services
                self.gone = self.look()
            self.looked_at = began
            self._ended.wait(EVERY_S)

    def notice(self, workers: int, unwell: Callable[[], list[str]], now: float | None = None) -> None:
        """``workers``: how many there are; ``unwell``: those that do not say that they are well."""
        now = time.monotonic() if now is None else now
        if self.gone:
            self._back_at = None
            if not self.on:
                self.on = True
                self.say(_words(self.gone, workers))
        elif self.on:
            self._back_at = now if self._back_at is None else self._back_at
            self._recover(unwell(), now - self._back_at)

    def _recover(self, unwell: list[str], since_s: float) -> None:
        if unwell and since_s < RECOVERY_S:
            return
        self.on = False
        left = f"not well yet: {', '.join(unwell)}" if unwell else "every worker is well"
        self.say(f"the services answer again; {left}")


def _words(names: list[str], workers: int) -> str:
    many = f"{workers} workers wait" if "Kafka" in names else "the audit waits"
    verb = "does" if len(names) == 1 else "do"
    return f"{' and '.join(names)} {verb} not answer: {many}; 'tapedeck services up' starts what is down"
