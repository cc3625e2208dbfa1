"""A bare unary call over grpc.aio: takes the very request of SubmitOrder, and answers with its id. Writes its port to a file."""

import asyncio
import signal
import sys
from pathlib import Path

import grpc
import uvloop

from infra.proto.tapedeck.v1 import gateway_pb2 as pb
from infra.proto.tapedeck.v1 import gateway_pb2_grpc as rpc


class Echo(rpc.OrderGatewayServicer):
    async def SubmitOrder(self, request: pb.SubmitOrderRequest, context: object) -> pb.SubmitOrderResponse:
        return pb.SubmitOrderResponse(client_order_id=request.client_order_id, accepted=True)


async def main(path: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    rpc.add_OrderGatewayServicer_to_server(Echo(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    temporary = path.with_suffix(".tmp")
    temporary.write_text(f"127.0.0.1:{port}")
    temporary.replace(path)
    await stop.wait()
    await server.stop(0.2)


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
