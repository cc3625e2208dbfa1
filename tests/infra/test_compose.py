"""The compose file has exactly the workers that a configuration asks for, and all that they need."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import yaml

from infra.config import parse
from infra.services.maven import ENDPOINT
from pipelines.starting_point import TEMPLATE
from pipelines.workers import worker_names

FOLDER = Path(__file__).parents[2] / "infra"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
CONFIG = parse(tomllib.loads(TEMPLATE))
BESIDE = {"kafka", "postgres", "prometheus", "grafana", "topics"}
"""Services that are no workers of ours."""


def workers() -> dict[str, dict[str, Any]]:
    return {name: one for name, one in SERVICES.items() if one.get("command", [""])[0] == "worker"}


def test_every_worker_of_the_configuration_that_init_writes_has_a_service() -> None:
    assert sorted(one["command"][1] for one in workers().values()) == sorted(worker_names(CONFIG))
    assert set(SERVICES) - set(workers()) == BESIDE
    for name, one in workers().items():
        assert name == re.sub(r"[/.]", "-", one["command"][1])


def test_every_worker_runs_our_image_starts_again_and_waits_for_the_topics() -> None:
    for one in workers().values():
        assert one["image"] == "tapedeck"
        assert one["restart"] == "unless-stopped"
        assert one["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}
        assert {"TAPEDECK_CONFIG", "TAPEDECK_HOME", "TAPEDECK_KAFKA", "TAPEDECK_POSTGRES"} <= set(one["environment"])
    needed = SERVICES["topics"]["depends_on"]
    assert needed == {name: {"condition": "service_healthy"} for name in ("kafka", "postgres")}
    assert all("healthcheck" in SERVICES[name] for name in needed)


def test_the_gateway_alone_gets_the_keys() -> None:
    secrets = {v for a in CONFIG.accounts.values() for v in (a.api_key_env, a.api_secret_env)}
    for one in SERVICES.values():
        has = secrets & set(one.get("environment", {}))
        assert has == (secrets if one.get("command", ["", ""])[-1].startswith("gateway/") else set())


def test_every_volume_is_declared_and_used_and_every_file_is_there() -> None:
    mounts = [mount for one in SERVICES.values() for mount in one.get("volumes", ())]
    sources = {str(mount).split(":")[0] for mount in mounts}
    named = {s for s in sources if not s.startswith((".", "/"))}
    assert named == set(COMPOSE["volumes"])
    for source in sources - named:
        assert source == "../tapedeck.toml" or (FOLDER / source).exists(), (
            f"{source}: 'tapedeck init' does not write it"
        )


def test_ports_are_on_this_machine_alone_and_not_taken_twice() -> None:
    ports = [port for one in SERVICES.values() for port in one.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    published = [port.split(":")[1] for port in ports]
    assert len(set(published)) == len(published)


def test_the_broker_is_the_version_that_the_embedded_one_has() -> None:
    version = re.search(r"kafka_2\.13:([0-9.]+)", ENDPOINT)
    assert version is not None
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version[1]}"


def test_what_the_dockerfile_copies_is_there() -> None:
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    for line in lines:
        if line.startswith("COPY"):
            *sources, _ = shlex.split(line)[1:]
            assert all((FOLDER.parent / source).exists() for source in sources)
    assert lines[-1] == 'ENTRYPOINT ["tapedeck"]'
