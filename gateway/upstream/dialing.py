"""TCP connections to the first of several addresses that answers (RFC 8305), on any event loop.

asyncio has this as an option of its own loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence

from gateway.upstream.local import EXHAUSTED, LocalFault
from gateway.upstream.names import Address

#: Seconds after which the next address is tried beside those that have not answered (RFC 8305 section 8).
STAGGER = 0.25

#: A silent connection is probed after 60 seconds, then every 10, and given up with the fifth probe:
#: before Azure's load balancer forgets it after four minutes, so that a long silent call is not cut unseen.
_OPTIONS = [
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 10),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 5),
]


async def dial(addresses: Sequence[Address]) -> socket.socket:
    """A socket connected to one of `addresses`; all others are closed.

    Raises OSError where none answers (the last one's error), LocalFault where this machine could not try one.
    """
    racing: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    waiting = list(addresses)
    try:
        while waiting or racing:
            if waiting:
                racing.add(asyncio.create_task(_connected(waiting.pop(0))))
            done, racing = await asyncio.wait(
                racing, timeout=STAGGER if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            connected = [task.result() for task in done if task.exception() is None]
            for spare in connected[1:]:
                spare.close()
            if connected:
                return connected[0]
            errors += [error for task in done if isinstance(error := task.exception(), OSError)]
    finally:
        await _call_off(racing)
    for error in errors:
        if error.errno in EXHAUSTED:
            raise LocalFault(error.strerror) from error
    raise errors[-1]


async def _connected(address: Address) -> socket.socket:
    connection = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        connection.setblocking(False)
        for level, name, value in _OPTIONS:
            option = getattr(socket, name, None)  # not every system has all of them
            if option is not None:
                connection.setsockopt(level, option, value)
        await asyncio.get_running_loop().sock_connect(connection, address.address)
    except BaseException:
        connection.close()
        raise
    return connection


async def _call_off(racing: set[asyncio.Task[socket.socket]]) -> None:
    for task in racing:
        task.cancel()
    for task in racing:
        with contextlib.suppress(asyncio.CancelledError, OSError):
            (await task).close()
