"""HTTP servers on loopback whose connections can be cut without an answer."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState


class Connections:
    """The open connections of one server."""

    def __init__(self) -> None:
        self.state = ServerState()

    def cut(self, client: tuple[str, int] | None = None) -> None:
        """Close a client's connection, or all, at once and without a word."""
        for connection in list(self.state.connections):
            if isinstance(connection, H11Protocol) and client in (None, connection.client):
                connection.transport.abort()


class CutConnection(Response):
    """An answer that is none: the connection closes instead."""

    def __init__(self, connections: Connections, request: Request) -> None:
        super().__init__()
        self._connections = connections
        self._client = request.client

    async def __call__(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        """Cut, and wait until the server has noticed."""
        if self._client is not None:
            self._connections.cut((self._client.host, self._client.port))
        while (await receive())["type"] != "http.disconnect":
            pass


@contextlib.asynccontextmanager
async def serve(app: ASGIApp, port: int = 0, connections: Connections | None = None) -> AsyncIterator[str]:
    """Serve an app on 127.0.0.1 and give its base URL.

    uvicorn's protocol without its server class: signals stay with the process, and stopping waits for no timer.

    Args:
        app: The ASGI application.
        port: TCP port; 0 takes a free one.
        connections: Handle on the server's connections, when they are to be cut.
    """
    connections = connections or Connections()
    state = connections.state
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        # Longer than a client keeps an idle connection: none is closed under a request that is on its way.
        timeout_keep_alive=75,
    )
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: H11Protocol(config=config, server_state=state, app_state={}), "127.0.0.1", port, family=socket.AF_INET
    )
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        connections.cut()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
