"""How long each step of a connection may take. Only completed work moves a deadline. No I/O.

* idle: before the first request and between two. Where no room is left, the longest idle connection makes it;
* head: from its first byte, stray blank lines included, to its end;
* lingering: what is left of a body or of a reply when the connection is to be closed;
* reading: the client takes less than 48 KB of a reply in `READ_SECONDS` (asyncio's write buffer pauses the
  writer at 64 KB and lets it go on at 16 KB).

A body's deadline is kept where it is read (`pipeline.uploads`). The clock is read once for all connections,
so a deadline may be late by `connection_table.TICK_SECONDS`.
"""

from __future__ import annotations

import enum

from gateway.server import connection_table

#: Seconds a connection stays open between two requests. Longer than the usual 60 of proxies, which cannot
#: retry a POST on a connection that this side has just closed.
IDLE_SECONDS = 75.0
#: Seconds for a request's head from its first byte on; and for a first byte on a new connection.
HEAD_SECONDS = 30.0
#: Seconds for the rest of a body that nobody reads, and for the rest of a reply before the connection closes.
LINGER_SECONDS = 10.0
#: Seconds for a client to make room for more of a reply.
READ_SECONDS = 60.0


class Overdue(enum.Enum):
    """What becomes of a connection whose time is over."""

    #: Its head did not come to an end, which it is told.
    REFUSE = enum.auto()
    #: It was silent, and closes once what was written has been sent.
    CLOSE = enum.auto()
    #: Its client does not take what was written.
    ABORT = enum.auto()


class Deadlines:
    """Since when a connection waits for what; in seconds of the event loop's time, None where it does not."""

    __slots__ = ("blocked_since", "closing_since", "head_since", "idle_since", "used")

    def __init__(self) -> None:
        #: A request was served.
        self.used = False
        #: The last request has ended; before the first one, the connection was made.
        self.idle_since = 0.0
        self.head_since: float | None = None
        #: The client takes no more of a reply.
        self.blocked_since: float | None = None
        self.closing_since: float | None = None

    def overdue(self, now: float, *, serving: bool, body_left: bool) -> Overdue | None:
        """What is to be done at `now`, while a request is served (`serving`) or some of a body is to come."""
        if self.closing_since is not None:
            return Overdue.ABORT if now - self.closing_since > LINGER_SECONDS else None
        if self.blocked_since is not None and now - self.blocked_since > READ_SECONDS:
            return Overdue.ABORT
        if serving:
            return None
        if body_left:
            # The server gives what is left of it LINGER_SECONDS, too, but waits where it is paused.
            late = now - self.idle_since > LINGER_SECONDS + connection_table.TICK_SECONDS
            return Overdue.CLOSE if late else None
        if self.head_since is not None:
            return Overdue.REFUSE if now - self.head_since > HEAD_SECONDS else None
        late = now - self.idle_since > (IDLE_SECONDS if self.used else HEAD_SECONDS)
        return Overdue.CLOSE if late else None
