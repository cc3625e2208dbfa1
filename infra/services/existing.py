"""Services that somebody else runs, named by environment variables.

`TAPEDECK_KAFKA=host:port[,host:port]` and `TAPEDECK_POSTGRES=<dsn>`. Client settings of librdkafka are passed through:
`TAPEDECK_KAFKA_SECURITY_PROTOCOL` is `security.protocol`, `TAPEDECK_KAFKA_SASL_PASSWORD` is `sasl.password`.
"""

from collections.abc import Mapping

import psycopg
from psycopg.conninfo import conninfo_to_dict

from infra.services.broker import cluster_id
from infra.services.errors import ServiceError

KAFKA = "TAPEDECK_KAFKA"
POSTGRES = "TAPEDECK_POSTGRES"
ANSWER_WITHIN_S = 6


def kafka_settings(environment: Mapping[str, str]) -> dict[str, str] | None:
    """librdkafka's client configuration of the named cluster, or None when none is named."""
    if not environment.get(KAFKA):
        return None
    prefix = KAFKA + "_"
    passed = {key.removeprefix(prefix): value for key, value in environment.items() if key.startswith(prefix)}
    settings = {key.lower().replace("_", "."): value for key, value in sorted(passed.items())}
    return {**settings, "bootstrap.servers": environment[KAFKA]}


def postgres_dsn(environment: Mapping[str, str]) -> str | None:
    """The DSN of the named server, or None when none is named."""
    return environment.get(POSTGRES) or None


def check_kafka(settings: Mapping[str, str], within_s: float = ANSWER_WITHIN_S) -> None:
    """Raise ServiceError unless the cluster answers in time."""
    if cluster_id(settings, within_s) is None:
        raise ServiceError(
            f"no Kafka answers at {settings['bootstrap.servers']} within {within_s:.0f} s: check {KAFKA} and its"
            f" security settings ({KAFKA}_SECURITY_PROTOCOL, …), or unset {KAFKA} to use the local one"
        )


def check_postgres(dsn: str) -> None:
    """Raise ServiceError unless the server lets us in."""
    try:
        psycopg.connect(dsn, connect_timeout=ANSWER_WITHIN_S).close()
    except psycopg.Error as error:
        why = str(error).strip().splitlines()[-1]
        raise ServiceError(f"no Postgres at {postgres_address(dsn)}: {why} (check {POSTGRES})") from error


def postgres_address(dsn: str) -> str:
    """What may be shown of a DSN: host, port and database, no user and no password."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error as error:
        raise ServiceError(f"{POSTGRES} is not a connection string that Postgres understands") from error
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
