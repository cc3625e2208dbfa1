"""The topic table and the routing table fit each other."""

import pytest

from infra.shell.changelog import changelog
from topics import catalog, wire
from topics.catalog import TOPICS, Topic
from topics.record import Record
from topics.routes import ROUTES


@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda t: t.name)
def test_a_topic_carries_what_is_routed_to_it_and_nothing_else(topic: Topic) -> None:
    routed = {record for record, rows in ROUTES.items() for to, _ in rows if to == topic}
    assert routed <= set(topic.types)
    by_the_clock = {t for t in topic.types if t.__name__ == "Tick"}
    if not topic.compacted:  # the twin of a log carries only what is a state
        assert set(topic.types) - by_the_clock == routed


def test_every_record_has_a_row_in_the_routing_table() -> None:
    bases = {"BookOrderEvent", "Control", "OrderFact", "Tick"}
    assert {n for n in wire.RECORD_TYPES if n not in bases} == {t.__name__ for t in ROUTES}


@pytest.mark.parametrize("name", sorted(wire.RECORD_TYPES))
def test_a_record_is_told_from_all_others_by_its_tag(name: str) -> None:
    record: type[Record] = wire.RECORD_TYPES[name]
    assert record.__struct_config__.tag == name
    assert record.__struct_config__.frozen


def test_state_is_kept_for_ever_and_only_what_may_be_forgotten_is() -> None:
    kept = [catalog.POSITIONS_LATEST, catalog.INSTRUMENTS_LATEST, catalog.CONTROLS_STATE_LATEST, catalog.GATEWAY_LEASES]
    for topic in [*kept, changelog("g", "t", 4)]:
        assert topic.config()["cleanup.policy"] == "compact"
    assert catalog.ORDERS_STATE_LATEST.config()["cleanup.policy"] == "compact,delete"
    for log in (catalog.ORDERS_EVENTS, catalog.CONTROLS, catalog.STAGE_LOG):
        assert log.config()["retention.ms"] == "-1"
