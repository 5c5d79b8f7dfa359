"""A TCP relay that can be cut and mended: the network between a client and its server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from development.processes import LOOPBACK


class Relay:
    """Passes bytes on while it is not cut.

    Attributes:
        port: where it listens, cut or not.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._connections: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._is_cut = False
        self.port = 0

    def cut(self) -> None:
        """End all connections, and every new one at once."""
        self._is_cut = True
        for task in self._connections:
            task.cancel()

    def mend(self) -> None:
        """Let new connections through again."""
        self._is_cut = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until an end closes it or it is cut."""
        task = asyncio.current_task()
        assert task is not None
        writers = self._connections.setdefault(task, [writer])
        try:
            if not self._is_cut:
                far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._target_port)
                writers.append(far_writer)
                await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        except (asyncio.CancelledError, OSError):
            pass  # cut, or an end went away: both ends learn of it below
        finally:
            del self._connections[task]
            for each in writers:
                each.close()


@contextlib.asynccontextmanager
async def relay(target_port: int) -> AsyncIterator[Relay]:
    """Listen on a free port of the loopback interface for the block."""
    running = Relay(target_port)
    server = await asyncio.start_server(running.serve, LOOPBACK, 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        running.cut()
        await asyncio.sleep(0)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
