"""A TCP relay that can cut every connection through it, as a network does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Relay:
    """Listens on ``port``; while ``open`` is False new connections are closed at once."""

    def __init__(self, host: str, target: int) -> None:
        self._host, self._target = host, target
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.open = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.open:
            writer.close()
            return
        there, back = await asyncio.open_connection(self._host, self._target)
        self._writers |= {writer, back}
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer), return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    def cut(self) -> None:
        self.open = False
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


@contextlib.asynccontextmanager
async def relay(host: str, target: int) -> AsyncIterator[Relay]:
    made = Relay(host, target)
    server = await asyncio.start_server(made.serve, host, 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.cut()
        server.close()
