"""A toy stage in a process of its own, which dies or freezes where it is told to. The argument is `Orders` as JSON."""

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
from quixstreams.processing import ProcessingContext

from infra.shell import Timing, run_stage
from infra.shell.processor import Inbound, Processor
from infra.shell.quix import _TransactionalProducer, _WriteBehind
from tests.infra.shell_toys import STAGES


class Orders(msgspec.Struct, kw_only=True):
    """``freeze_after``: in the first checkpoint with more records, stop (SIGSTOP) between flush and changelog.
    ``freeze_within``: stop when that many records are folded and the next one came.
    ``die_after``: with so many records in one checkpoint, be killed when their changelog is flushed but not committed."""

    stage: str
    kafka: dict[str, str]
    prefix: str
    state_dir: str
    instance: int = 0
    commit_interval_s: float = 0.1
    session_s: float = 10.0
    transaction_s: float = 5.0
    freeze_after: int = 0
    freeze_within: int = 0
    die_after: int = 0
    snapshot_every_s: float = 0.0


def freeze_after(records: int) -> None:
    flush = _WriteBehind.flush
    frozen = False

    def flush_and_freeze(self: _WriteBehind) -> None:
        nonlocal frozen
        flush(self)
        if not frozen and self._callbacks._status.records_in > records:  # type: ignore[attr-defined]
            frozen = True
            os.kill(os.getpid(), signal.SIGSTOP)

    _WriteBehind.flush = flush_and_freeze  # type: ignore[method-assign]


def freeze_within(record: int) -> None:
    process = Processor.process

    def process_or_freeze(self: Processor[Any], inbound: Inbound) -> None:
        if self._status.records_in == record:
            os.kill(os.getpid(), signal.SIGSTOP)
        process(self, inbound)

    Processor.process = process_or_freeze  # type: ignore[assignment,method-assign]


def die_after(records: int) -> None:
    commit_checkpoint = ProcessingContext.commit_checkpoint

    def wait_for_records(self: ProcessingContext, force: bool = False, revoking: bool = False) -> None:
        if self.checkpoint._total_offsets_processed >= records:
            commit_checkpoint(self, True, revoking)

    def die(*args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    ProcessingContext.commit_checkpoint = wait_for_records  # type: ignore[method-assign]
    _TransactionalProducer.commit_transaction = die  # type: ignore[method-assign]


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(process)d %(name)s %(message)s")
    orders = msgspec.json.decode(sys.argv[1], type=Orders)
    if orders.freeze_after:
        freeze_after(orders.freeze_after)
    if orders.freeze_within:
        freeze_within(orders.freeze_within)
    if orders.die_after:
        die_after(orders.die_after)
    run_stage(
        STAGES[orders.stage],
        kafka=orders.kafka,
        prefix=orders.prefix,
        subscriptions={},
        state_dir=Path(orders.state_dir),
        config_digest="test",
        instance=orders.instance,
        snapshot_every_s=orders.snapshot_every_s,
        timing=Timing(orders.commit_interval_s, orders.session_s, orders.transaction_s),
    )


if __name__ == "__main__":
    main()
