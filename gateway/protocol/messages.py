"""Requests and replies between the core and whatever called it: an HTTP host, or Python.

Value types only; imports nothing of ours but operations and endpoints.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

import msgspec

from gateway.protocol.endpoints import Endpoint
from gateway.protocol.operation import Operation

Headers = list[tuple[str, str]]


class Caller(Protocol):
    """The caller's end of one request."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises ClientGone when the caller leaves before its end."""

    def watch(self, leave: Callable[[], object] | None) -> None:
        """Call `leave` once when the caller goes away, after the body was read; None stops watching."""


class ClientGone(Exception):
    """The caller left before the answer; nobody will read what is returned."""


class Request(msgspec.Struct, frozen=True):
    """One request: for an operation, or for what the gateway answers itself."""

    target: Operation | Endpoint
    #: Names in lower case; several headers of one name are joined by ", ".
    headers: Mapping[str, str]
    caller: Caller
    #: The model named by the path, which wins over the body's.
    path_model: str | None = None
    #: True on Azure's deployment paths, whose clients expect Azure's error texts.
    azure_path: bool = False


class Stream(Protocol):
    """A reply's body piece by piece; whoever takes it closes it, read or not."""

    def keep_alive(self) -> bytes:
        """What fills a silence now; empty for nothing."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces."""

    async def aclose(self) -> None:
        """End it; more than once does no harm."""


class Reply(msgspec.Struct):
    """An answer: whole (`bytes`) or as a stream.

    A stream that raises Truncated must end without its regular end, so that no client takes it for
    whole. Its keep-alive is sent whenever nothing was for `keep_alive_after` seconds; never where that is 0.
    """

    status: int
    headers: Headers
    body: bytes | Stream
    keep_alive_after: float = 0.0
    #: Upstream's headers, names in lower case. Hosts do not send them: they tell what no client may learn.
    upstream_headers: Mapping[str, str] | None = None


class Truncated(Exception):
    """The upstream broke off in the middle of a reply that has no form for errors."""
