"""What the gateway says of itself once a second, in a file that the live view and the supervisor read."""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.gateway.state import State
from topics.orders import OrderStatus
from topics.record import Account


@dataclass
class GatewayStatus:
    """``<run_dir>/status/gateway.<account>.json``, replaced as a whole. ``reconciled``: new orders may pass.
    ``halts``: why an instrument takes no new risk; ``kills``: by whom and why, per scope (a halted strategy is one).
    """

    run_dir: Path
    account: Account
    records_in: int = 0
    events_in: int = 0
    dead_letters: int = 0
    words: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.run_dir / "status" / f"gateway.{self.account}.json"

    def write(self, state: State, *, records_out: int, events_out: int, lag: int) -> None:
        words: dict[str, Any] = {
            "stage": f"gateway/{self.account}",
            "pid": os.getpid(),
            "ready": state.ready,
            "records_in": self.records_in,
            "records_out": records_out,
            "events_in": self.events_in,
            "events_out": events_out,
            "dead_letters": self.dead_letters,
            "lag": lag,
            "ts": time.time_ns(),
            "orders_working": len(state.book.working),
            "denied": state.book.denied,
            "unknown": state.book.count(OrderStatus.UNKNOWN),
            "reconciled": state.ready,
            "halts": {instrument: halt.why for instrument, halt in sorted(state.book.halts.items())},
            "kills": {scope: f"{kill.who}: {kill.why}" for scope, kill in sorted(state.rules.kills.items())},
        }
        self.words = words
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(words))
        temporary.replace(self.path)
