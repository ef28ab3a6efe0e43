"""Addresses of upstreams' host names: looked up in threads of their own, remembered, bounded in time.

The event loop's own look-up shares a handful of threads with everything else in the process, where one name
that resolves slowly makes all others wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any, NamedTuple

from gateway.upstream.local import LocalFault

#: Seconds for which addresses are good. The system tells no time to live; Azure's records have 30 to 300.
FRESH_SECONDS = 30.0
#: Seconds for which old addresses stand in where a look-up gets no answer; the wait for an answer then.
STALE_SECONDS = 600.0
STALE_WAIT = 1.0
#: Names that are looked up at one time, each in a thread.
MAX_LOOKUPS = 64
#: Names that are remembered.
MAX_NAMES = 1024

#: What says nothing of the name: the resolver did not answer, or this process has run out of something.
_NO_ANSWER = frozenset({socket.EAI_AGAIN, socket.EAI_MEMORY, socket.EAI_SYSTEM})


class Address(NamedTuple):
    """Where to connect: what socket.socket and connect take."""

    family: int
    address: Any


class Names:
    """Looks host names up. Bound to the loop it is made on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._known: dict[tuple[str, int], tuple[float, list[Address]]] = {}
        self._lookups: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}

    async def find(self, host: str, port: int, seconds: float) -> list[Address]:
        """The addresses of `host`, best first, within `seconds`.

        Raises OSError where there are none, UnicodeError for what cannot be a name, TimeoutError where it
        does not resolve in time, LocalFault where the resolver does not answer or is busy with other names.
        """
        key = host, port
        until, addresses = self._known.get(key, (0.0, []))
        now = self._loop.time()
        if now < until:
            return addresses
        if now > until + STALE_SECONDS:
            return await self._look_up(key, seconds)
        try:
            return await self._look_up(key, min(seconds, STALE_WAIT))
        except (TimeoutError, LocalFault):
            return addresses

    async def _look_up(self, key: tuple[str, int], seconds: float) -> list[Address]:
        """One look-up for all who want the same name at the same time: a slow one takes one thread."""
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._begin(key)
        # The look-up goes on for others, and for the next call, when this one does not wait any longer.
        done, _ = await asyncio.wait({lookup}, timeout=seconds)
        if not done:
            raise TimeoutError("name not resolved in time")
        try:
            return lookup.result()
        except socket.gaierror as error:
            if error.errno in _NO_ANSWER:
                raise LocalFault(f"resolver: {error.strerror}") from error
            raise

    def _begin(self, key: tuple[str, int]) -> asyncio.Future[list[Address]]:
        """Look a name up in a thread of its own, which does not keep the process from ending."""
        if len(self._lookups) >= MAX_LOOKUPS:
            raise LocalFault("resolver: busy with other names")
        lookup: asyncio.Future[list[Address]] = self._loop.create_future()
        try:
            threading.Thread(target=self._run, args=(key, lookup), name="look-up", daemon=True).start()
        except RuntimeError as error:
            raise LocalFault(f"resolver: {error}") from error
        self._lookups[key] = lookup
        return lookup

    def _run(self, key: tuple[str, int], lookup: asyncio.Future[list[Address]]) -> None:
        """The thread's work; the loop may be closed when it is done."""
        found: list[Address] | Exception
        try:
            found = _addresses(*key)
        except (OSError, UnicodeError) as error:
            found = error
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end, key, lookup, found)

    def _end(
        self, key: tuple[str, int], lookup: asyncio.Future[list[Address]], found: list[Address] | Exception
    ) -> None:
        del self._lookups[key]
        if isinstance(found, Exception):
            lookup.set_exception(found)
            lookup.exception()  # it may be that nobody waits any more
            return
        if len(self._known) >= MAX_NAMES:
            self._known.clear()
        self._known[key] = self._loop.time() + FRESH_SECONDS, found
        lookup.set_result(found)


def _addresses(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return _interleaved([Address(family, address) for family, _, _, _, address in found])


def _interleaved(addresses: list[Address]) -> list[Address]:
    """The families in turn, beginning with the resolver's first (RFC 8305 section 4)."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address.family, []).append(address)
    queues = list(families.values())
    return [queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue)]
