"""The fan-out over gRPC (grpc.aio), with health and reflection."""

from collections.abc import AsyncIterator, Collection
from typing import Any

import grpc

from infra.kafka import KafkaConf
from infra.proto.tapedeck.v1 import marketdata_pb2 as pb
from infra.proto.tapedeck.v1 import marketdata_pb2_grpc as rpc
from infra.serving import GrpcServer
from pipelines.marketdata.history import from_tape
from pipelines.marketdata.hub import Everything, Hub, Latest, Market, Subscriber
from topics.catalog import MARKET_EVENTS
from topics.record import InstrumentId

SERVICE = pb.DESCRIPTOR.services_by_name["MarketData"].full_name

SHOWN = 20
"""Names of instruments in one answer."""

Context = grpc.aio.ServicerContext[Any, Any]


class MarketData(rpc.MarketDataServicer):
    """``known``: the configured instruments; what else is on the tape may be asked for too."""

    def __init__(self, hub: Hub, conf: KafkaConf, prefix: str, known: Collection[InstrumentId]) -> None:
        self.ready = False
        self.sent = 0
        self._hub, self._conf, self._prefix, self._known = hub, conf, prefix, known

    async def Subscribe(self, request: pb.SubscribeRequest, context: Context) -> AsyncIterator[pb.MarketRecord]:
        await self._check(request, context)
        subscriber: Subscriber = Latest() if request.mode == pb.MODE_LATEST else Everything()
        instruments = list(request.instruments)
        try:
            if isinstance(subscriber, Latest):
                self._hub.join_latest(subscriber, instruments)
                await context.send_initial_metadata(())
            else:
                async for record in self._before(subscriber, instruments, context):
                    self.sent += 1
                    yield message(record)
            while True:
                for record, skipped in await subscriber.take():
                    self.sent += 1
                    yield message(record, skipped)
                if subscriber.overrun:
                    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "fell too far behind: ask again")
        finally:
            self._hub.leave(subscriber)

    async def _before(
        self, subscriber: Everything, instruments: list[InstrumentId], context: Context
    ) -> AsyncIterator[Market]:
        kept, firsts = self._hub.join_all(subscriber, instruments)
        spans = {partition: (first, self._hub.next[partition]) for partition, first in firsts.items()}
        starts = {i: self._hub.tails[i].start for i in instruments if i in self._hub.tails}
        await context.send_initial_metadata(())
        for record in kept:
            yield record
        async for record in from_tape(self._conf, self._prefix, spans, starts):
            yield record

    async def _check(self, request: pb.SubscribeRequest, context: Context) -> None:
        if not request.instruments or not all(request.instruments):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "instruments are required")
        if stray := [name for name in request.instruments if not all(name.partition(":")[::2])]:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"not an instrument: {stray[0]!r} (they are like sim:BTC-USDT)"
            )
        if request.mode not in (pb.MODE_UNSPECIFIED, pb.MODE_ALL, pb.MODE_LATEST):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"mode is none that is known: {request.mode}")
        if not self.ready:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not yet at the end of the tape: try again")
        known = {*self._known, *self._hub.instruments}
        if unknown := [name for name in request.instruments if name not in known]:
            names = sorted(known)
            told = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no instrument {unknown[0]!a}: one of {told}")


def message(record: Market, skipped: int = 0) -> pb.MarketRecord:
    return pb.MarketRecord(
        topic=MARKET_EVENTS.name,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        src=record.src,
        skipped=skipped,
    )


class Server(GrpcServer):
    def __init__(self, servicer: MarketData) -> None:
        super().__init__(SERVICE, "marketdata")
        rpc.add_MarketDataServicer_to_server(servicer, self.server)
