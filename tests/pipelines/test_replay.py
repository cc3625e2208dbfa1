"""Stage replay finds a run equal, and finds every single byte that is not."""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from infra import archive
from infra.config import Config, ConfigError, load
from infra.errors import Hopeless, Problem
from infra.tail import Place, Taken
from pipelines import archive_reader, cli_research
from pipelines.archive import compact_all
from pipelines.archive_reader import Row
from pipelines.explain import Node, explain
from pipelines.gateway.checks import FLATTEN_CAUSE
from pipelines.recorded_run import ArchivedRun, committed
from pipelines.replay import Range, Replayed
from pipelines.replay_all import covered, replay_one
from pipelines.replay_gateway import replay_decisions
from pipelines.workers import stage_of
from tests.pipelines.backtests import backtest, events, on_flow
from tests.pipelines.flow_capture import record_flow
from tests.synthetic_run import SyntheticRun
from topics import wire
from topics.catalog import (
    CONTROLS,
    FILLS,
    MARKET_RAW,
    ORDERS_EVENTS,
    ORDERS_STATE,
    ORDERS_STATE_LATEST,
    POSITIONS,
    TOPICS,
    Topic,
)
from topics.controls import FIRM, Flatten, SetLimit
from topics.orders import Judgement, OrderDenied, OrderRequested

ACCOUNT = "sim.main"
STAGES = ("controls", "orders", "positions", "portfolio", "normalize", "bars", "signals/buyer", "intents/quoter")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a backtest's run: it has what a live run's folder has."""
    captures = record_flow(tmp_path_factory.mktemp("flow"), seed=7, seconds=20)
    return backtest(on_flow("recorded", tmp_path_factory.mktemp("home")), captures)


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> Path:
    """A copy that a test may alter."""
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def config_of(run: Path) -> Config:
    return load(run / "tapedeck.toml", {})


def replay(run: Path, name: str, recode_every: int | None = None, within: Range = Range()) -> Replayed:  # noqa: B008
    return replay_one(name, config_of(run), ArchivedRun(run / "archive"), run, within=within, recode_every=recode_every)


Alter = Callable[[list[Row]], list[Row]]


def rewrite(run: Path, topic: Topic, alter: Alter, partition: int | None = None) -> None:
    """The partition's files (the first with records where none is named) as one file of altered rows."""
    root = run / "archive"
    chosen = archive_reader.partitions(root, topic)[0] if partition is None else partition
    place, topic_id = Place(topic.name, chosen), archive_reader.topic_id(root, topic)
    rows = alter(list(archive_reader.rows(root, topic, chosen)))
    shutil.rmtree(archive.folder(root, place))
    if rows:
        archive.write(root, place, [taken(topic, topic_id, row) for row in rows])


def taken(topic: Topic, topic_id: str, row: Row) -> Taken:
    src, ver = (None if text is None else text.encode() for text in (row.src, row.ver))
    return Taken(topic.name, topic_id, row.partition, row.offset, row.timestamp_ms, row.key, row.value, src, ver)


def of(row: Row, producer: str) -> bool:
    return (row.src or "").startswith(f"{producer}|")


# --- equal ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recode_every", [None, 1, 7])
def test_every_stage_and_the_gateways_decisions_replay_equal(recorded: Path, recode_every: int | None) -> None:
    names = covered(config_of(recorded))
    assert set(STAGES) < set(names)
    assert f"gateway/{ACCOUNT}" in names
    for name in names:
        result = replay(recorded, name, recode_every)
        assert result.difference is None, (name, result.difference)
        assert result.equal > 0, name


CHILD = """
import sys
from pipelines.cli_research import mount
import typer
app = typer.Typer()
mount(app)
app(["replay-stage", "--all", "--recode", "5", "--run", sys.argv[1]])
"""


def test_a_run_whose_archive_was_cut_into_small_files_and_compacted_replays_equal(run: Path) -> None:
    root = run / "archive"
    for topic in (ORDERS_EVENTS, MARKET_RAW):
        partition = archive_reader.partitions(root, topic)[0]
        place, topic_id = Place(topic.name, partition), archive_reader.topic_id(root, topic)
        rows = list(archive_reader.rows(root, topic, partition))
        shutil.rmtree(archive.folder(root, place))
        for first in range(0, len(rows), 97):
            archive.write(root, place, [taken(topic, topic_id, row) for row in rows[first : first + 97]])
    before, after = compact_all(root)
    assert before.files > after.files
    for name in ("orders", "normalize", f"gateway/{ACCOUNT}"):
        result = replay(run, name)
        assert (result.difference, result.equal > 0) == (None, True), name


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_it_is_equal_under_any_hash_seed(recorded: Path, hash_seed: str) -> None:
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
    arguments = [sys.executable, "-c", CHILD, str(recorded)]
    child = subprocess.run(arguments, env=env, cwd=root, capture_output=True, text=True, timeout=100)
    assert child.returncode == 0, child.stdout + child.stderr
    assert child.stdout.count(": equal, ") == len(covered(config_of(recorded)))


def test_every_record_that_a_stage_wrote_was_compared(recorded: Path) -> None:
    wrote = sum(
        of(row, "orders") for topic in TOPICS.values() for row in archive_reader.all_rows(recorded / "archive", topic)
    )
    assert replay(recorded, "orders").equal == wrote


def test_a_range_compares_only_the_outputs_of_its_inputs(recorded: Path) -> None:
    whole = replay(recorded, "orders").equal
    parts = [replay(recorded, "orders", within=Range(*ends)).equal for ends in ((0, 40), (40, 90), (90, None))]
    assert sum(parts) == whole
    assert min(parts) > 0


def test_records_delivered_again_are_told_and_change_nothing(run: Path) -> None:
    def again(rows: list[Row]) -> list[Row]:
        end = rows[-1].offset + 1
        return rows + [row._replace(offset=end + n) for n, row in enumerate(rows[-5:])]

    rewrite(run, FILLS, again)
    orders, positions = replay(run, "orders"), replay(run, "positions")
    assert (orders.difference, orders.repeated) == (None, 5)
    assert positions.difference is None  # its fence skips what came twice, as it did then
    assert positions.equal == replay_of_untouched(run, "positions")


def replay_of_untouched(run: Path, stage: str) -> int:
    name = stage_of(stage, config_of(run)).name
    rows = (row for t in TOPICS.values() for row in archive_reader.all_rows(run / "archive", t))
    return sum(of(row, name) for row in rows)


def test_what_compaction_took_is_not_missed(run: Path) -> None:
    before = replay(run, "orders").equal
    rewrite(run, ORDERS_STATE_LATEST, lambda rows: rows[::2])
    result = replay(run, "orders")
    assert result.difference is None
    assert result.equal < before


def test_what_the_stage_had_not_taken_when_the_recording_ended_is_counted_apart(run: Path) -> None:
    shutil.rmtree(run / "status")
    last = {p: last_offset(run, p) for p in archive_reader.partitions(run / "archive", FILLS)}
    for topic in (t for t in TOPICS.values() if t.name in WRITTEN_BY_POSITIONS):
        for partition in archive_reader.partitions(run / "archive", topic):
            rewrite(run, topic, lambda rows: [r for r in rows if not is_last(r, last)], partition)
    result = replay(run, "positions")
    assert result.difference is None
    assert result.beyond == len(last) * len(WRITTEN_BY_POSITIONS)


WRITTEN_BY_POSITIONS = ("positions", "positions.latest", "portfolio.inbox", "strategy.inbox")


def last_offset(run: Path, partition: int) -> int:
    return list(archive_reader.rows(run / "archive", FILLS, partition))[-1].offset


def is_last(row: Row, last: dict[int, int]) -> bool:
    if not of(row, "positions"):
        return False
    _, source, offset, _ = (row.src or "").split("|")
    return int(offset) == last[int(source.rpartition("/")[2])]


# --- different --------------------------------------------------------------------------------------------------------


def altered(n: int) -> Alter:
    """One digit of the n-th record."""

    def alter(rows: list[Row]) -> list[Row]:
        value = rows[n].value or b""
        at = max(value.rfind(b"%d" % digit) for digit in range(10))
        changed = value[:at] + (b"1" if value[at : at + 1] != b"1" else b"2") + value[at + 1 :]
        return [*rows[:n], rows[n]._replace(value=changed), *rows[n + 1 :]]

    return alter


def test_one_altered_digit_is_found_and_named(run: Path) -> None:
    rewrite(run, POSITIONS, altered(3))
    difference = replay(run, "positions").difference
    assert difference is not None
    assert difference.what == "other bytes"
    assert difference.place is not None
    assert (difference.place.topic, difference.place.offset) == ("positions", 3)
    assert difference.coordinate.startswith("positions|fills@")
    assert difference.recorded is not None
    assert difference.replayed is not None
    assert difference.recorded.value != difference.replayed.value


def test_an_altered_key_is_found(run: Path) -> None:
    rewrite(run, POSITIONS, lambda rows: [rows[0]._replace(key=b"another"), *rows[1:]])
    assert replay(run, "positions").difference is not None


def test_a_missing_output_is_found(run: Path) -> None:
    rewrite(run, ORDERS_STATE, lambda rows: rows[:4] + rows[5:])
    difference = replay(run, "orders").difference
    assert difference is not None
    assert (difference.what, difference.recorded) == ("replayed, not recorded", None)


def test_an_output_that_nothing_explains_is_found(run: Path) -> None:
    def invent(rows: list[Row]) -> list[Row]:
        stage, source, offset, _ = (rows[-1].src or "").split("|")
        return [*rows, rows[-1]._replace(offset=rows[-1].offset + 1, src=f"{stage}|{source}|{offset}|77")]

    rewrite(run, ORDERS_STATE, invent)
    difference = replay(run, "orders").difference
    assert difference is not None
    assert (difference.what, difference.replayed) == ("recorded, not replayed", None)


def test_a_record_delivered_again_with_other_bytes_is_found(run: Path) -> None:
    def again(rows: list[Row]) -> list[Row]:
        return [*rows, rows[0]._replace(offset=rows[-1].offset + 1, value=b"[]")]

    rewrite(run, POSITIONS, again)
    difference = replay(run, "positions").difference
    assert difference is not None
    assert difference.what == "delivered twice with other bytes"


def test_an_input_with_a_hole_cannot_be_replayed(run: Path) -> None:
    rewrite(run, ORDERS_EVENTS, lambda rows: rows[:4] + rows[6:])
    with pytest.raises(Problem, match="lacks offsets 4 to 5"):
        replay(run, "orders")


def test_other_parameters_give_another_decision(run: Path) -> None:
    config = config_of(run)
    quoter = config.strategies["quoter"]
    text = (run / "tapedeck.toml").read_text()
    assert str(quoter.params["order_qty"]) in text
    (run / "tapedeck.toml").write_text(text.replace('"order_qty" = "0.2"', '"order_qty" = "0.3"'))
    result = replay(run, "intents/quoter")
    assert result.difference is not None
    assert any("recorded under configuration" in note for note in result.notes)


# --- the gateway's decisions ------------------------------------------------------------------------------------------


def test_decisions_are_judged_by_what_was_known_then(recorded: Path) -> None:
    result = replay_decisions(ACCOUNT, ArchivedRun(recorded / "archive"))
    decided = [e for e in events(recorded, ORDERS_EVENTS) if hasattr(e, "judged_by")]
    assert result.equal == len(decided)
    assert result.difference is None


def test_another_limit_on_the_tape_would_have_decided_otherwise(run: Path) -> None:
    def tighten(rows: list[Row]) -> list[Row]:
        return [row._replace(value=wire.encode([tight(c) for c in wire.decode(row.value or b"")])) for row in rows]

    def tight(control: object) -> SetLimit:
        assert isinstance(control, SetLimit)
        return SetLimit(
            **{f: getattr(control, f) for f in SetLimit.__struct_fields__ if f != "value"}, value=control.value / 10**6
        )

    rewrite(run, CONTROLS, tighten)
    difference = replay(run, f"gateway/{ACCOUNT}").difference
    assert difference is not None
    assert difference.what == "decided otherwise"
    assert difference.replayed is not None
    assert isinstance(wire.decode(difference.replayed.value)[0], OrderDenied)


# --- why --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["buyer", "quoter", "cross"])
def test_an_order_is_explained_back_to_the_frames_that_caused_it(recorded: Path, strategy: str) -> None:
    fills = [f for f in events(recorded, FILLS) if f.strategy == strategy]
    chains = set()
    for order in list(dict.fromkeys(f.client_order_id for f in fills))[:10]:
        tree = explain(ArchivedRun(recorded / "archive"), order)
        became, why = tree.causes
        assert {"OrderRequested", "OrderSent", "OrderFilled", "Fill"} <= {node.title for node in walk(became)}
        assert all(later.ts >= earlier.ts for earlier, later in itertools.pairwise(became.causes))
        chains |= {tuple(node.where.partition("/")[0] for node in path[1:]) for path in paths(why)}
        assert all(node.ts >= node.after for node in walk(tree) if node.ts)
    assert any(chain[:2] == ("orders.intents", "strategy.inbox") for chain in chains)
    assert any("market.raw" in chain for chain in chains)


def test_a_denied_order_is_explained_by_the_check(tmp_path: Path) -> None:
    run = SyntheticRun(executions=12)
    (denied,) = run.events(OrderDenied)
    became, why = explain(ArchivedRun(run.write_archive(tmp_path)), denied.client_order_id).causes
    assert "check=price_collar limit=0.02" in became.causes[0].detail
    assert why.causes[0].title == "SubmitOrder"


def test_the_orders_that_no_strategy_made_name_who_asked_for_them(tmp_path: Path) -> None:
    run = SyntheticRun(executions=2)
    flatten = Flatten(control_id="f-1", scope=FIRM, who="ada", why="enough", ts_init=1)
    order = next(run.events(OrderRequested)).command
    run._edge("operator", flatten)
    for cause, cid in ((f"{FLATTEN_CAUSE}f-1", "closing-1"), ("", "manual-1")):
        command = msgspec.structs.replace(order, client_order_id=cid, cause=cause, strategy="MANUAL")
        of = {"account": order.account, "instrument": order.instrument, "strategy": "MANUAL", "client_order_id": cid}
        judged = Judgement(values={"position": "1"})
        run._edge("gateway", OrderRequested(**of, command=command, venue_client_id="v", judged_by=judged, ts_init=2))
    archived = ArchivedRun(run.write_archive(tmp_path))
    (control,) = explain(archived, "closing-1").causes[1].causes
    assert (control.title, control.detail) == ("Flatten", "firm by ada: enough")
    assert "over gRPC by MANUAL" in explain(archived, "manual-1").causes[1].detail


def walk(node: Node) -> list[Node]:
    return [node, *(n for cause in node.causes for n in walk(cause))]


def paths(node: Node) -> list[list[Node]]:
    if not node.causes:
        return [[node]]
    return [[node, *path] for cause in node.causes for path in paths(cause)]


def test_an_order_that_is_not_on_the_tape_is_no_order(recorded: Path) -> None:
    with pytest.raises(Problem, match="no order nobody-1 on this tape"):
        explain(ArchivedRun(recorded / "archive"), "nobody-1")


# --- the command ------------------------------------------------------------------------------------------------------


def command(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    cli_research.mount(app)
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_the_command_says_equal_and_how_many(recorded: Path) -> None:
    code, text = command("replay-stage", "positions", "--run", str(recorded))
    assert code == 0
    assert text.startswith(f"positions: equal, {replay(recorded, 'positions').equal:,} records")


def test_the_command_fails_on_a_difference_and_shows_both_sides(run: Path) -> None:
    rewrite(run, POSITIONS, altered(0))
    code, text = command("replay-stage", "--all", "--run", str(run))
    assert code == 1
    assert "positions: DIFFERS: other bytes" in text
    assert "orders: equal" in text
    assert "recorded: positions" in text
    assert "replayed: positions" in text
    assert "not replayed, being edges: ingest/sim, clock" in text


@pytest.mark.parametrize("name", ["clock", "audit", "gateway/nobody", "intents/nobody", "nonsense"])
def test_what_is_no_stage_is_named(recorded: Path, name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        command("replay-stage", name, "--run", str(recorded))
    assert "\n" not in str(refused.value)


def test_how_far_each_stage_came_stands_in_the_runs_statuses(recorded: Path) -> None:
    assert committed(recorded, "orders") == {0: len(list(archive_reader.all_rows(recorded / "archive", ORDERS_EVENTS)))}
    assert committed(recorded, "nothing") == {}


def test_outputs_of_an_input_that_is_not_recorded_are_no_replay(run: Path) -> None:
    whole = last_offset_of(run, ORDERS_EVENTS)
    rewrite(run, ORDERS_EVENTS, lambda rows: rows[: len(rows) // 2])
    code, text = command("replay-stage", "--all", "--run", str(run))
    assert code == 1
    assert "orders: DIFFERS: its input orders.events/0 is recorded to offset" in text
    assert f"gateway/{ACCOUNT}: DIFFERS" in text
    rewrite(run, ORDERS_EVENTS, lambda rows: [])
    code, text = command("replay-stage", "orders", "--run", str(run))
    assert code == 1
    assert "its input orders.events/0 is not recorded" in text
    assert f"of offsets up to {whole}" in text


def last_offset_of(run: Path, topic: Topic) -> int:
    return max(row.offset for row in archive_reader.all_rows(run / "archive", topic))


@pytest.mark.parametrize("stage", ["orders", "--all", f"gateway/{ACCOUNT}"])
def test_a_range_without_inputs_is_nothing_to_replay(recorded: Path, stage: str) -> None:
    with pytest.raises(Hopeless, match="nothing to replay"):
        command("replay-stage", stage, "--from", "999999", "--run", str(recorded))


def test_a_damaged_file_of_the_archive_is_named(run: Path) -> None:
    (path,) = archive.folder(run / "archive", Place(ORDERS_EVENTS.name, 0)).glob("*.parquet")
    whole = path.read_bytes()
    middle = len(whole) // 3
    for damaged in (whole[:100], whole[:middle] + bytes(8) + whole[middle + 8 :]):
        path.write_bytes(damaged)
        with pytest.raises(archive.ArchiveProblem, match="is damaged") as refused:
            replay(run, "orders")
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)
