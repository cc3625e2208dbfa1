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
"""

from infra.shell.processor import StageBroken
from infra.shell.quix import Timing
from infra.shell.status import Status, read_status, status_path
from infra.shell.worker import run_stage

__all__ = ["StageBroken", "Status", "Timing", "read_status", "run_stage", "status_path"]
