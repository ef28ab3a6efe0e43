"""The request log: what arrived, byte by byte, and what became of it."""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload


@dataclass(slots=True)
class Entry:
    """One request."""

    number: int
    #: Seconds on the simulator's clock, and on the computer's monotonic one (for intervals).
    time: float
    arrived: float
    #: The client's port: equal for requests of one connection.
    peer_port: int
    method: str
    #: Request target, path and query undecoded.
    target: str
    headers: list[tuple[bytes, bytes]]
    #: The parts of the body that have arrived; grows.
    body_parts: list[bytes]
    account: str | None = None
    deployment: str | None = None
    status: int | None = None
    error: str | None = None
    #: Monotonic seconds; None while the answer is under way.
    completed: float | None = None
    #: Monotonic seconds at which the client left before the answer was complete.
    disconnected: float | None = None

    def document(self) -> dict[str, Any]:
        """The entry as JSON; a body that is no UTF-8 stands in `body_base64`."""
        path, _, query = self.target.partition("?")
        body = b"".join(self.body_parts)
        try:
            content = {"body": body.decode()}
        except UnicodeDecodeError:
            content = {"body_base64": b64encode(body).decode()}
        return {
            "number": self.number,
            "time": self.time,
            "arrived": self.arrived,
            "peer_port": self.peer_port,
            "method": self.method,
            "path": path,
            "query": query,
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in self.headers],
            **content,
            "account": self.account,
            "deployment": self.deployment,
            "status": self.status,
            "error": self.error,
            "completed": self.completed,
            "disconnected": self.disconnected,
        }


@dataclass(slots=True)
class Journal:
    """The latest requests, oldest first."""

    size: int
    entries: deque[Entry] = field(init=False)

    def __post_init__(self) -> None:
        """Bound the list."""
        self.entries = deque(maxlen=self.size)

    def add(self, entry: Entry) -> None:
        """Take up a request that has just arrived."""
        self.entries.append(entry)

    def of(self, *deployments: str) -> list[Entry]:
        """The requests that these deployments got."""
        return [entry for entry in self.entries.copy() if entry.deployment in deployments]

    def clear(self) -> None:
        """Forget everything."""
        self.entries.clear()


class Documents(Sequence[dict[str, Any]]):
    """The documents of some entries; each is made when it is looked at."""

    def __init__(self, entries: list[Entry]) -> None:
        """`entries` are those of one moment; they go on changing while their answers are under way."""
        self._entries = entries

    def __len__(self) -> int:
        """How many there are."""
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        """One document, or some."""
        if isinstance(index, slice):
            return [entry.document() for entry in self._entries[index]]
        return self._entries[index].document()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All of them, one by one."""
        return (entry.document() for entry in self._entries)
