"""A listening gRPC server with health and reflection, as every service of ours has."""

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from infra.errors import Problem


class GrpcServer:
    """``server`` takes the servicers before ``start``. ``address`` is where it listens; ``serving`` moves the health service."""

    def __init__(self, service: str, what: str) -> None:
        """``service`` by its full name; ``what`` also names the section of the configuration that its port is in."""
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self.address = ""
        self._service, self._what = service, what
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._serving: bool | None = None
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        reflection.enable_server_reflection((service, health.SERVICE_NAME, reflection.SERVICE_NAME), self.server)

    async def start(self, host: str, port: int) -> None:
        """Problem when the port is taken."""
        try:
            bound = self.server.add_insecure_port(f"{host}:{port}")
        except RuntimeError:
            bound = 0
        if bound == 0:
            raise Problem(
                f"the {self._what} cannot listen on {host}:{port}: is the port taken? ({self._what}.port = 0 takes a free one)"
            )
        self.address = f"{host}:{bound}"
        await self.server.start()
        await self.serving(False)

    async def serving(self, ready: bool) -> None:
        if ready is self._serving:
            return
        self._serving = ready
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", self._service):
            await self._health.set(name, status)

    async def stop(self, grace_s: float) -> None:
        await self.server.stop(grace_s)
