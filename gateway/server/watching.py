"""What the embedded host's server shows of a request beyond ASGI: the connection, which can be watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

#: The extension of ASGI's scope that holds it.
CONNECTION = "gateway.connection"


class WatchedConnection(Protocol):
    """A client's connection. With ASGI's `receive` alone a task has to wait for its end."""

    def watch(self, leave: Callable[[], object] | None) -> None:
        """Call `leave` once when the client leaves, or has left; None stops watching."""
