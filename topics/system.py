"""Records about the platform itself."""

from topics.record import Account, InstrumentId, Record


class StageStarted(Record, frozen=True, kw_only=True):
    """A worker began; divides a log into segments that one version wrote. An edge's epoch is the offset of this record in ``stage.log``."""

    stage: str
    instance: int
    version: str
    config: str
    schema: int
    pid: int = 0
    host: str = ""
    ts_init: int


class GatewayLease(Record, frozen=True, kw_only=True):
    """Until ``expires_ns`` the gateway of this epoch alone may trade the account; ``released`` hands it over at once.

    ``reconciled``: by instrument, the time (ns) up to which every execution at the venue is on the tape.
    """

    account: Account
    epoch: int
    expires_ns: int
    released: bool = False
    pid: int = 0
    host: str = ""
    reconciled: dict[InstrumentId, int] = {}
    ts_init: int


class DeadLetter(Record, frozen=True, kw_only=True):
    """What could not be read; ``payload`` is base64 on the wire."""

    stage: str
    topic: str
    partition: int
    offset: int
    reason: str
    payload: bytes
    key: bytes = b""


class StageSnapshot(Record, frozen=True, kw_only=True):
    """A piece of what a stage knew when every record of its input partition before ``offset`` was folded, and none after.

    The ``n`` pieces of a snapshot share ``topic_id``, ``offset`` and ``ts_init``. ``key`` says whose state it is; without one it is
    the fence. ``state`` (base64 on the wire) is what the store holds; pieces of one key, in the order of ``i``, are joined.
    """

    stage: str
    topic: str
    topic_id: str
    partition: int
    offset: int
    i: int
    n: int
    key: str | None = None
    state: bytes
    ts_init: int
