"""What can be made to go wrong, as one strictly decoded profile; `injector` carries it out.

Every fault has a probability and bounds. Probabilities of answers are per request, of events per event and listener,
of market frames per frame, of disconnects per connection and second, of maintenance per second. `most` is how often
at most, since the profile was set. Each fault draws from its own random sequence, made from the seed and its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

Probability = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=600_000)]
Offset = Annotated[int, msgspec.Meta(ge=-86_400_000, le=86_400_000)]


class FaultError(Exception):
    """The profile cannot be read; one line that says why."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    probability: Probability = 0.0
    most: Count | None = None


class Delay(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long, drawn evenly between the two."""

    min_ms: Millis = 100
    max_ms: Millis = 1000

    def __post_init__(self) -> None:
        if self.min_ms > self.max_ms:
            raise ValueError("min_ms must not be above max_ms")


class AnswerFault(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`on` names the requests as `POST order`, over REST or WebSocket API; none: every request."""

    on: tuple[str, ...] = ()


class AnswerDelay(Delay, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As `AnswerFault`; answers overtake each other."""

    on: tuple[str, ...] = ()


class RateLimited(AnswerFault, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """429 before anything is done."""

    retry_after_s: Count = 1


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All faults that may be injected; without a probability none is."""

    seed: int = 0
    answer_lost: AnswerFault = AnswerFault()
    """Carried out, then the connection is closed without an answer."""
    answer_delayed: AnswerDelay = AnswerDelay()
    """Carried out at once, answered late."""
    answer_repeated: AnswerFault = AnswerFault()
    """Answered twice; over the WebSocket API only."""
    error_before: AnswerFault = AnswerFault()
    """A 5xx and nothing done."""
    error_after: AnswerFault = AnswerFault()
    """The same 5xx after everything was done."""
    rate_limited: RateLimited = RateLimited()
    event_delayed: Delay = Delay()
    """A listener's user data stands still; nothing overtakes."""
    event_repeated: Fault = Fault()
    event_reordered: Delay = Delay()
    """Sent after its successor, or alone after the time."""
    event_dropped: Fault = Fault()
    market_disconnected: Fault = Fault()
    user_disconnected: Fault = Fault()
    depth_missing: Fault = Fault()
    """A depth update reaches nobody."""
    snapshot_lags: Delay = Delay()
    """The depth snapshot is as old as that."""
    maintenance: Delay = Delay()
    """503 on everything, all sockets closed; matching goes on."""
    time_offset_ms: Offset = 0
    """Added to the exchange's clock, as `--time-offset-ms` is."""


def decode_profile(data: bytes, requests: frozenset[str]) -> Profile:
    """`FaultError` on what is no profile, or one that names a request that there is not."""
    try:
        profile = msgspec.json.decode(data, type=Profile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FaultError(f"no fault profile: {error}") from error
    for name in profile.__struct_fields__:
        for request in getattr(getattr(profile, name), "on", ()):
            if request not in requests:
                raise FaultError(f"no fault profile: {name}.on: there is no request {request!r}, only as 'POST order'")
    return profile


def read_profile(given: str, requests: frozenset[str]) -> Profile:
    """JSON itself, or the path of a file with it."""
    if given.lstrip().startswith("{"):
        return decode_profile(given.encode(), requests)
    try:
        return decode_profile(Path(given).read_bytes(), requests)
    except OSError as error:
        raise FaultError(f"no fault profile: {error}") from error
