"""What another version, other parameters or other limits would have decided on a recorded day.

The inputs are the recorded ones throughout: an order that was not sent was not filled either, and what would have
followed from another decision is the backtest's business. Decisions are a stage's output events, each once, or a
gateway's answers to orders; they are compared per input record, by kind and by what identifies them.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from infra.config import Config, parse
from infra.errors import Hopeless, Problem
from pipelines import toml
from pipelines.operate import scope_of
from pipelines.recorded_run import Recorded
from pipelines.replay import Range, outputs_of
from pipelines.replay_child import Input, Made, Request, fold, judge, read_frames, write_frames
from pipelines.workers import stage_of
from topics.catalog import CONTROLS, ORDERS_EVENTS, PORTFOLIO_INBOX, TOPICS
from topics.controls import LimitName
from topics.coordinates import Coordinate

IDENTIFY = ("client_order_id", "command_id", "account", "strategy", "instrument", "name", "spec", "scope", "trade_id")
UNJUDGED = ("judged_by",)
"""What every decision under other limits would differ in."""

Event = dict[str, Any]
Place = tuple[int, int]


class Differing(msgspec.Struct, omit_defaults=True):
    """``what``: only recorded, only replayed, changed. ``at`` is the input record; of a gateway, its recorded answer."""

    stage: str
    at: str
    what: str
    kind: str
    about: str
    fields: dict[str, tuple[Any, Any]] = {}
    recorded: Event | None = None
    replayed: Event | None = None


class WhatIf(msgspec.Struct):
    """``software`` is another checkout's folder; ``limits`` are [scope, name, value]; ``raw`` the changed configuration."""

    raw: dict[str, Any]
    limits: list[tuple[str, str, str]] = []
    software: Path | None = None


def changed(raw: dict[str, Any], params: Iterable[str], limits: Iterable[str], software: Path | None) -> WhatIf:
    """``params`` as ``quoter.order_qty=0.3``, ``limits`` as ``firm.max_order_value=100``. Problem where one is none of these."""
    for text in params:
        name, value = _split(text, "--param", "quoter.order_qty=0.3")
        strategy, _, key = name.partition(".")
        if strategy not in raw.get("strategies", {}):
            raise Hopeless(f"--param {text!r}: no strategy {strategy!r} in this configuration")
        raw["strategies"][strategy].setdefault("params", {})[key] = _value(value)
    config = parse(raw)
    return WhatIf(raw, [_limit(text, config) for text in limits], software)


def differing(name: str, run: Recorded, whatif: WhatIf, within: Range, taken: Mapping[int, int]) -> list[Differing]:
    """Of a stage or a gateway's decisions, in the order of the tape. ``taken``: per partition, how far the stage was."""
    config = parse(whatif.raw)
    if name.startswith("gateway/"):
        recorded, made, source = _judged(name, run, whatif)
    else:
        recorded, made, source = _folded(name, run, whatif, config)
        ends = dict(taken) or _ends(recorded)
        made = {at: values for at, values in made.items() if at[1] < ends.get(at[0], 0)}
    found = []
    for at in sorted({*recorded, *made}):
        if at[1] in within and recorded.get(at) != made.get(at):
            found += _compare(name, f"{source}/{at[0]}@{at[1]}", recorded.get(at, []), made.get(at, []))
    return found


def has_input(name: str, run: Recorded, whatif: WhatIf, within: Range) -> bool:
    topic = ORDERS_EVENTS if name.startswith("gateway/") else stage_of(name, parse(whatif.raw)).input
    firsts = (next(run.rows(topic, p, within.first), None) for p in run.partitions(topic))
    return any(row is not None and row.offset in within for row in firsts)


Outputs = dict[Place, list[bytes]]


def _folded(name: str, run: Recorded, whatif: WhatIf, config: Config) -> tuple[Outputs, Outputs, str]:
    stage = stage_of(name, config)
    topic_id = run.topic_id(stage.input)
    rows = (row for p in run.partitions(stage.input) for row in run.rows(stage.input, p))
    if whatif.software is None:
        made = fold(config, name, topic_id, rows)
    else:
        inputs = ((stage.input.name, *row) for row in rows)
        made = _elsewhere(whatif, Request(name, topic_id, whatif.limits), inputs)
    source = f"{stage.input.name}@{topic_id}"
    recorded: Outputs = defaultdict(list)
    seen: set[Coordinate] = set()
    for topic in outputs_of(stage):
        for partition in () if topic.compacted else run.partitions(topic):
            for row in run.rows(topic, partition):
                at = _coordinate(row.src)
                if at is not None and at.producer == stage.name and at.source.startswith(source) and at not in seen:
                    seen.add(at)
                    recorded[int(at.source.rpartition("/")[2]), at.major].append(row.value or b"")
    return _sorted(recorded), _by_place(m for m in made if not TOPICS[m.topic].compacted), stage.input.name


def _judged(name: str, run: Recorded, whatif: WhatIf) -> tuple[Outputs, Outputs, str]:
    from pipelines.replay_gateway import rejudged
    from topics import wire

    account = name.partition("/")[2]
    if whatif.software is None:
        made = judge(account, whatif.limits, run)
    else:
        topics = (ORDERS_EVENTS, PORTFOLIO_INBOX, CONTROLS)
        inputs = ((t.name, *row) for t in topics for p in run.partitions(t) for row in run.rows(t, p))
        made = _elsewhere(whatif, Request(name, "", whatif.limits), inputs)
    recorded: Outputs = defaultdict(list)
    for one in rejudged(account, run):
        recorded[one.row.partition, one.row.offset].append(wire.encode([one.fact]))
    return recorded, _by_place(made), ORDERS_EVENTS.name


def _elsewhere(whatif: WhatIf, request: Request, inputs: Iterable[Input]) -> Iterator[Made]:
    """By the other checkout's code, in a process of its own, with its libraries where it has them."""
    assert whatif.software is not None
    software = whatif.software.absolute()
    if not (software / "pipelines").is_dir():
        raise Hopeless(f"--with {software}: no checkout of tapedeck there")
    own = software / ".venv" / "bin" / "python"
    with tempfile.TemporaryDirectory(prefix="tapedeck-replay-") as name:
        folder = Path(name)
        (folder / "request.json").write_bytes(msgspec.json.encode(request))
        (folder / "tapedeck.toml").write_text(toml.to_toml(whatif.raw))
        write_frames(folder / "inputs", inputs)
        script = Path(__file__).with_name("replay_child.py")
        command = [str(own) if own.exists() else sys.executable, "-P", str(script), str(folder)]
        env = {**os.environ, "PYTHONPATH": str(software)}
        child = subprocess.run(command, env=env, cwd=software, capture_output=True, text=True)
        if child.returncode:
            last = (child.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise Problem(f"the code of {software} could not replay {request.name}: {last}")
        yield from read_frames(folder / "outputs", Made)


def _by_place(made: Iterable[Made]) -> Outputs:
    found: Outputs = defaultdict(list)
    for one in made:
        found[one.partition, one.offset].append(one.value)
    return _sorted(found)


def _sorted(found: Outputs) -> Outputs:
    """One event goes to several topics: in which order they are read says nothing."""
    return {at: sorted(values) for at, values in found.items()}


def _compare(stage: str, at: str, recorded: list[bytes], made: list[bytes]) -> list[Differing]:
    ours, theirs = _events(recorded, stage), _events(made, stage)
    found = []
    for (kind, about), one in ours.items():
        other = theirs.pop((kind, about), None)
        if other is None:
            found.append(Differing(stage, at, "only recorded", one["type"], about, recorded=one))
        elif fields := _fields(one, other):
            found.append(Differing(stage, at, "changed", _kinds(one, other), about, fields, one, other))
    rest = (Differing(stage, at, "only replayed", o["type"], about, replayed=o) for (_, about), o in theirs.items())
    return [*found, *rest]


def _events(values: Iterable[bytes], stage: str) -> dict[tuple[str, str], Event]:
    """By kind and identity; the second of one identity is told apart by its number. An answer of a gateway is one kind."""
    found: dict[tuple[str, str], Event] = {}
    for event in (e for value in values for e in json.loads(value)):
        kind = "" if stage.startswith("gateway/") else event["type"]
        about = " ".join(str(event[name]) for name in IDENTIFY if name in event and name != "strategy") or stage
        number = 2
        while (kind, about) in found and found[kind, about] != event:
            about, number = f"{about.partition(' #')[0]} #{number}", number + 1
        found[kind, about] = event
    return found


def _fields(one: Event, other: Event) -> dict[str, tuple[Any, Any]]:
    names = [n for n in dict.fromkeys((*one, *other)) if n not in UNJUDGED and n != "venue_client_id"]
    return {n: (one.get(n), other.get(n)) for n in names if one.get(n) != other.get(n)}


def _kinds(one: Event, other: Event) -> str:
    return str(one["type"] if one["type"] == other["type"] else f"{one['type']} → {other['type']}")


def _ends(recorded: Outputs) -> dict[int, int]:
    ends: dict[int, int] = {}
    for partition, offset in recorded:
        ends[partition] = max(offset + 1, ends.get(partition, 0))
    return ends


def _coordinate(src: str | None) -> Coordinate | None:
    try:
        return Coordinate.decode((src or "").encode())
    except ValueError:
        return None


def _split(text: str, option: str, like: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or "." not in name:
        raise Hopeless(f"{option} {text!r}: write it like {like}")
    return name, value


def _value(text: str) -> Any:
    try:
        return text if "." in text else json.loads(text)
    except json.JSONDecodeError:
        return text


def _limit(text: str, config: Config) -> tuple[str, str, str]:
    name, value = _split(text, "--limit", "firm.max_order_value=100")
    scope, _, limit = name.rpartition(".")
    try:
        scope_of(scope, config)
    except Problem as error:
        raise Hopeless(f"--limit {text!r}: {error}") from None
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) is None:
        raise Hopeless(f"--limit {text!r}: {value!r} is no number of plain digits")
    if limit not in set(LimitName):
        raise Hopeless(f"--limit {text!r}: no limit {limit!r}: one of {', '.join(LimitName)}")
    return scope, limit, value
