"""Any worker, a gateway on the stub venue. Arguments: the worker, and configuration and broker settings as JSON."""

import json
import sys

from infra.config import parse
from pipelines.gateway import venue
from pipelines.workers import run_worker


def main() -> None:
    words = json.loads(sys.argv[2])
    run_worker(sys.argv[1], parse(words["config"]), words["kafka"], "")


if __name__ == "__main__":
    venue.EXECUTION = {"binance": ("tests.bench.stub_venue", "StubVenue")}
    main()
