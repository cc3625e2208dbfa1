"""A gateway process, as ``tapedeck worker`` would run it. Arguments: settings as JSON; ``--hang-on-submit`` never lets an order's answer in."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator

from adapters.binance.execution import BinanceExecution
from adapters.execution import NewOrder, OrderRef, Outcome, StreamUp, VenueEvent
from infra.config import parse
from infra.errors import Problem
from pipelines.gateway.worker import run_gateway


class Deaf(BinanceExecution):
    """Sends, and never comes back with the answer: the process can be killed between write-ahead and answer."""

    async def events(self) -> AsyncIterator[VenueEvent]:
        async for event in super().events():
            if isinstance(event, StreamUp):
                yield event

    async def submit(self, order: NewOrder) -> Outcome:
        await super().submit(order)
        print("submitted", flush=True)
        await asyncio.Event().wait()
        raise AssertionError


class Mute(BinanceExecution):
    """Never sends."""

    async def submit(self, order: NewOrder) -> Outcome:
        print("submitted", flush=True)
        await asyncio.Event().wait()
        raise AssertionError


class HangsOnCancel(Deaf):
    """Cancels at the venue, and hears nothing of it."""

    async def submit(self, order: NewOrder) -> Outcome:
        return await BinanceExecution.submit(self, order)

    async def cancel(self, order: OrderRef, requested_ns: int) -> Outcome:
        await super().cancel(order, requested_ns)
        print("cancelled", flush=True)
        await asyncio.Event().wait()
        raise AssertionError


async def main(words: dict[str, object]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run_gateway(parse(words["config"]), words["kafka"], words["account"], stop)  # type: ignore[arg-type]


if __name__ == "__main__":
    from pipelines.gateway import venue

    if "--deaf" in sys.argv:
        venue.EXECUTION = {"binance": ("tests.pipelines.gateway.child", "Deaf")}
    if "--hang-on-cancel" in sys.argv:
        venue.EXECUTION = {"binance": ("tests.pipelines.gateway.child", "HangsOnCancel")}
    if "--mute" in sys.argv:
        venue.EXECUTION = {"binance": ("tests.pipelines.gateway.child", "Mute")}
    try:
        asyncio.run(main(json.loads(sys.argv[1])))
    except Problem as problem:
        print(problem, file=sys.stderr)
        sys.exit(problem.exit_code)
