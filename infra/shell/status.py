"""What a running stage says about itself: counters, lag and readiness in a small JSON file, replaced once a second."""

import os
import time
from pathlib import Path

import msgspec


class Status(msgspec.Struct, kw_only=True):
    """``lag`` counts the records that wait in all assigned partitions; ``ready`` once all that waited at the assignment
    is folded. ``committed`` is the next offset per partition as of the last checkpoint; ``checkpoint_s`` how long that
    took, from the flush of the outputs to the end of the transaction; ``ends`` where each partition ends as last seen.
    ``snapshot_s`` is what the last snapshot of the state added to its checkpoint. ``missing`` counts input records that
    fell out of retention unread; ``alarm`` is what somebody should look at. ``ts`` is when this was written (UTC
    nanoseconds): an old one means that the process hangs.
    """

    stage: str
    instance: int
    pid: int = msgspec.field(default_factory=os.getpid)
    ts: int = 0
    ready: bool = False
    partitions: tuple[int, ...] = ()
    lag: int = 0
    records_in: int = 0
    events_in: int = 0
    records_out: int = 0
    dead_letters: int = 0
    skipped_by_fence: int = 0
    missing: int = 0
    checkpoints: int = 0
    checkpoint_s: float = 0.0
    snapshots: int = 0
    snapshot_s: float = 0.0
    committed: dict[int, int] = {}
    ends: dict[int, int] = {}
    alarm: str = ""

    def write(self, path: Path) -> None:
        """Replace the file at once, so that a reader never sees half of it."""
        self.ts = time.time_ns()
        temporary = path.with_suffix(f".{self.pid}.tmp")
        temporary.write_bytes(msgspec.json.encode(self))
        temporary.replace(path)


def status_path(state_dir: Path, stage: str, instance: int) -> Path:
    return state_dir.parent / "status" / f"{stage.replace('/', '-')}.{instance}.json"


def read_status(path: Path) -> Status | None:
    """None when there is none yet."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Status)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
