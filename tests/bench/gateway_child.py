"""A gateway on the stub venue. Arguments: configuration and broker settings as JSON, and the account."""

import asyncio
import json
import signal
import sys

import uvloop

from infra.config import parse
from pipelines.gateway import venue
from pipelines.gateway.worker import run_gateway


async def main(words: dict[str, object]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run_gateway(parse(words["config"]), words["kafka"], words["account"], stop)  # type: ignore[arg-type]


if __name__ == "__main__":
    venue.EXECUTION = {"binance": ("tests.bench.stub_venue", "StubVenue")}
    uvloop.run(main(json.loads(sys.argv[1])))
