from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.shell_run import Run


@pytest.fixture
def run(kafka_conf: dict[str, str], run_prefix: str, tmp_path: Path) -> Iterator[Run]:
    """Toy stages on the real broker; their processes do not outlive the test."""
    run = Run(kafka_conf, run_prefix, tmp_path)
    yield run
    run.close()
