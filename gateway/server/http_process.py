"""The process of the embedded host: one HTTP server on one port, from its start to its end.

The first SIGINT or SIGTERM closes the listener and lets requests in flight finish for a while, the second
ends them at once; both lead to exit code 0.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp

from gateway.descriptors import make_room, most_connections
from gateway.server.connection_table import TICK_SECONDS, ConnectionTable
from gateway.server.http_server import HttpServer
from gateway.server.stop_signals import Signals

logger = logging.getLogger("gateway.hosting")

#: Connections the kernel holds until they are accepted.
BACKLOG = 2048
#: Descriptors of the listening socket on which connections are accepted. uvloop accepts one on each in a
#: turn: with one, an honest client waited for as many turns as attackers had connected before it. Each more
#: costs 5 µs a connection, to find that another has accepted it.
LISTENERS = 4
#: Connections that asyncio accepts on each in a turn: those to be turned away are, before more are accepted.
ACCEPTED_AT_ONCE = 4
#: Connections open at one time, where the caller names no other number.
MAX_CONNECTIONS = 1000


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the listening socket names its protocol. With it on, the
    # second write of a reply waits for the client's delayed acknowledgement: 40 ms each.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Its connections inherit it, which costs less than a call for each.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def run(
    app: ASGIApp,
    host: str,
    port: int,
    grace_seconds: float,
    *,
    max_connections: int = MAX_CONNECTIONS,
    on_ready: Callable[[int], None] | None = None,
    on_stop: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """Serve until a signal comes; returns the exit code: 0, or 1 where the address cannot be bound.

    Fewer than `max_connections` are allowed where the system has no descriptors for them, which is logged.
    `port` 0 takes a free one; `on_ready` is told the port once connections are accepted. Requests in flight
    have `grace_seconds` to finish after the first signal; `on_stop` is awaited after the last one, in their
    event loop.
    """
    try:
        listener = listen(host, port)
    except OSError as error:
        print(f"Cannot listen on {host}:{port}: {error.strerror or error}", file=sys.stderr)  # noqa: T201 - for people
        return 1
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        runner.run(
            serve(
                app,
                listener,
                grace_seconds=grace_seconds,
                max_connections=allowed_connections(max_connections),
                on_ready=on_ready,
                on_stop=on_stop,
            )
        )
    return 0


def allowed_connections(wanted: int) -> int:
    """How many of the `wanted` connections the system has descriptors for; fewer are logged."""
    make_room(wanted)
    most = most_connections(wanted)
    if most < wanted:
        logger.warning(
            "The limit on open files (ulimit -n) has room for %d connections instead of %d.", most, wanted
        )
    return most


def event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop of uvloop where it is installed, else None for asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - not a requirement
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def accept(
    listener: socket.socket, protocol: Callable[[], asyncio.BaseProtocol]
) -> list[asyncio.Server]:
    """Accept connections, some in each turn of the loop, however many wait. Each server is to be closed."""
    loop = asyncio.get_running_loop()
    descriptors = [listener, *(listener.dup() for _ in range(LISTENERS - 1))]
    servers = [
        await loop.create_server(protocol, sock=descriptor, backlog=ACCEPTED_AT_ONCE)
        for descriptor in descriptors
    ]
    # The loop has made it the length of the kernel's queue, too.
    listener.listen(BACKLOG)
    return servers


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    grace_seconds: float,
    max_connections: int,
    on_ready: Callable[[int], None] | None,
    on_stop: Callable[[], Awaitable[None]] | None,
) -> None:
    """Serve until a signal comes, then end as `run` says."""
    loop = asyncio.get_running_loop()
    signals = Signals(loop)
    connections = ConnectionTable(max_connections, loop)
    servers = await accept(listener, HttpServer(app, connections))
    if on_ready is not None:
        on_ready(listener.getsockname()[1])
    await signals.first.wait()
    for server in servers:
        server.close()
    connections.close_idle()
    hurry = asyncio.ensure_future(signals.second.wait())
    emptied = asyncio.ensure_future(connections.emptied())
    await asyncio.wait({hurry, emptied}, timeout=grace_seconds, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    await connections.cut()
    await asyncio.wait({emptied}, timeout=TICK_SECONDS)
    emptied.cancel()
    if on_stop is not None:
        await on_stop()
    signals.ignore()
