"""The simulator on a socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from simulator.app import Simulator
from simulator.wire import Connection


@asynccontextmanager
async def listening(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Serve while the block runs; gives the port. Raises OSError if the port is taken.

    At the end connections are closed at once: whoever still waits for an answer gets none.
    """
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()
    listener = socket.create_server((host, port), backlog=1024)
    server = await loop.create_server(lambda: Connection(simulator, connections), sock=listener, backlog=1024)
    try:
        yield listener.getsockname()[1]
    finally:
        server.close()
        for connection in list(connections):
            connection.transport.abort()
        # Aborted transports report back in the loop's next round.
        await asyncio.sleep(0)
        await server.wait_closed()
