"""A host in a process of its own, so that it can be killed. Argument: settings, broker and strategy as JSON."""

import asyncio
import json
import logging
import signal
import sys

from infra.config import parse
from infra.errors import Problem
from pipelines.host import worker


async def main(words: dict[str, object]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    worker.CHECKPOINT_S = 0.5  # several in a test
    await worker.run_host(parse(words["config"]), words["kafka"], words["strategy"], stop)  # type: ignore[arg-type]


if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    try:
        asyncio.run(main(json.loads(sys.argv[1])))
    except Problem as problem:
        print(problem, file=sys.stderr)
        sys.exit(problem.exit_code)
