"""The end of a raw path: consume, perhaps call a bare unary gRPC service, produce, and tell when the broker has acknowledged it.

Arguments: Kafka settings as JSON, source, target, and the service's address ("" for none).
"""

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable

import grpc
import uvloop
from confluent_kafka import Consumer, Message, TopicPartition

from infra import kafka
from infra.proto.tapedeck.v1 import gateway_pb2 as pb
from infra.proto.tapedeck.v1 import gateway_pb2_grpc as rpc
from tests.bench.told import teller


class End:
    def __init__(self, conf: dict[str, str], source: str, target: str) -> None:
        self._consumer: Consumer = kafka.consumer(conf, f"raw-end-{source}")
        partitions = self._consumer.list_topics(source, timeout=10).topics[source].partitions
        self._consumer.assign([TopicPartition(source, p, 0) for p in partitions])
        self._producer, self._target, self._tell = kafka.producer(conf), target, teller()

    def next(self) -> Message | None:
        message = self._consumer.poll(0.2)
        return message if message is not None and message.error() is None else None

    def write(self, message: Message) -> None:
        """The acknowledgement is waited for."""
        told = lambda *_: self._tell()  # noqa: E731
        self._producer.produce(
            self._target, message.value(), message.key(), headers=message.headers(), on_delivery=told
        )
        self._producer.flush(10)

    def close(self) -> None:
        self._consumer.close()


def by_kafka(end: End, running: Callable[[], bool]) -> None:
    while running():
        if (message := end.next()) is not None:
            end.write(message)


async def by_grpc(end: End, address: str, running: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = rpc.OrderGatewayStub(channel)
        await channel.channel_ready()
        request = pb.SubmitOrderRequest(
            client_order_id="taker-1700000000000-0.1.0-0",
            strategy="taker",
            account="sim.main",
            instrument="sim:BTC-USDT",
            side=pb.SIDE_BUY,
            order_type=pb.ORDER_TYPE_LIMIT,
            order_qty="0.001",
            price="60000",
        )

        async def carry(message: Message) -> None:
            await stub.SubmitOrder(request)
            end.write(message)

        await asyncio.to_thread(_hand_on, end, loop, carry, running)


def _hand_on(
    end: End, loop: asyncio.AbstractEventLoop, carry: Callable[[Message], Awaitable[None]], running: Callable[[], bool]
) -> None:
    while running():
        if (message := end.next()) is not None:
            loop.call_soon_threadsafe(lambda message=message: asyncio.ensure_future(carry(message)))


def main() -> None:
    conf, source, target, address = json.loads(sys.argv[1]), *sys.argv[2:5]
    stopped: list[object] = []
    end = End(conf, source, target)
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(None))
    if address:
        uvloop.run(by_grpc(end, address, lambda: not stopped))
    else:
        by_kafka(end, lambda: not stopped)
    end.close()


if __name__ == "__main__":
    main()
