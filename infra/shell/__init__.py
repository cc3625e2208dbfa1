"""The one shell that runs every stage on Kafka, over Quix Streams.

A record comes in, is fenced by its coordinate and folded into live objects by the stage's pure function; its outputs
leave at once through our own idempotent producer. A checkpoint flushes the outputs, writes the changed objects back,
and commits changelog and offsets in one transaction. So after any crash the replay emits the same outputs again, under
the same coordinates, and the next stage's fence skips them.

- `worker` puts it together and runs it
- `processor` what happens to one record, `live` the objects of one partition: both know neither Kafka nor Quix
- `outputs` the producer of outputs
- `changelog` the state's topic; `quix` all that touches the inside of Quix Streams
- `status` what an operator sees

Quix Streams is imported when `run_stage` or `Timing` is asked for: a backtest and a replay use `processor` alone.
"""

import warnings
from typing import TYPE_CHECKING, Any

from infra.shell.processor import StageBroken
from infra.shell.status import Status, read_status, status_path

if TYPE_CHECKING:
    from infra.shell.quix import Timing
    from infra.shell.worker import run_stage

__all__ = ["StageBroken", "Status", "Timing", "read_status", "run_stage", "status_path"]


def __getattr__(name: str) -> Any:
    if name == "run_stage":
        with warnings.catch_warnings(record=True):  # a library under Quix Streams tells of its own deprecations
            from infra.shell.worker import run_stage

        return run_stage
    if name == "Timing":
        from infra.shell.quix import Timing

        return Timing
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
