"""Market data from the marketdata worker: every record of the strategy's instruments, again and again until cancelled."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc

from infra.proto.tapedeck.v1 import marketdata_pb2 as pb
from infra.proto.tapedeck.v1 import marketdata_pb2_grpc as rpc
from topics.catalog import MAX_MESSAGE_BYTES
from topics.record import InstrumentId

PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)
OPTIONS = [("grpc.max_receive_message_length", 2 * MAX_MESSAGE_BYTES)]

log = logging.getLogger(__name__)


def address_in(path: Path) -> str:
    """Where a service of this run listens; empty while it has not said so."""
    try:
        return str(json.loads(path.read_bytes())["address"])
    except (OSError, ValueError, KeyError):
        return ""


class MarketStream:
    """``take`` gets each record in the event loop. After an interruption the stream begins again with the last snapshots: what was seen
    before comes again, and ``take`` knows it by its coordinates.
    """

    def __init__(
        self, address: Callable[[], str], instruments: Sequence[InstrumentId], take: Callable[[pb.MarketRecord], None]
    ) -> None:
        self.is_up = False
        self.interruptions = 0
        self._address, self._instruments, self._take = address, instruments, take

    async def follow(self) -> None:
        failures = 0
        while True:
            address = self._address()
            try:
                if address:
                    await self._once(address)
            except grpc.aio.AioRpcError as error:
                if self.is_up or failures == len(PAUSES_S):
                    log.warning("market data: %s %s", error.code().name, error.details())
            failures = 0 if self.is_up else failures + 1
            self.interruptions += self.is_up
            self.is_up = False
            await asyncio.sleep(PAUSES_S[min(failures, len(PAUSES_S) - 1)])

    async def _once(self, address: str) -> None:
        async with grpc.aio.insecure_channel(address, OPTIONS) as channel:
            request = pb.SubscribeRequest(instruments=self._instruments, mode=pb.MODE_ALL)
            call = rpc.MarketDataStub(channel).Subscribe(request)
            await call.initial_metadata()  # sent once nothing is missed any more
            self.is_up = not call.done()
            async for record in call:
                self._take(record)
