"""One question to a broker, whoever runs it: which cluster are you?"""

import logging
from collections.abc import Mapping

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.services.errors import ServiceError

_SILENT = logging.Logger("librdkafka", logging.CRITICAL + 1)  # a refused connection is an answer here, not news


def cluster_id(configuration: Mapping[str, str], timeout_s: float = 2.0) -> str | None:
    """The id of the cluster that answers a metadata request, or None when none does in time.

    Raises ServiceError when librdkafka refuses the configuration itself.
    """
    try:
        client = AdminClient({**configuration}, logger=_SILENT)
    except (KafkaException, ValueError, TypeError) as error:
        raise ServiceError(f"Kafka's client settings (TAPEDECK_KAFKA_…): {_message(error)}") from error
    try:
        found = client.list_topics(timeout=timeout_s).cluster_id
    except KafkaException:
        return None
    return None if found is None else str(found)


def _message(error: Exception) -> str:
    cause = error.args[0] if error.args else error
    return str(cause.str() if hasattr(cause, "str") else cause)
