"""Server-sent events as bytes: cut into events, told apart, never re-serialised.

Bytes in, bytes out; no I/O. The format is the WHATWG's "Server-sent events" (lines end in LF, CRLF
or CR; an empty line ends an event).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gateway.protocol.whole_replies import holds_members, value_of

DONE = b"data: [DONE]\n\n"

#: As a number, which is found several times as fast as one that bytes hold.
_CR = 0x0D
#: What ends an event in a stream without a CR.
_END = b"\n\n"
# The last CR of what has come so far may be half of a CRLF, so it ends nothing yet. Behind another CR it is
# none: lines of that stream end in CR. Both alternatives begin with a character of their own: `re` then looks
# at no other place, which is seven times as fast.
_EVENT_END = re.compile(rb"\n(?:\r?\n|\r(?!\n|\Z))|\r(?:\r|\n(?:\r?\n|\r(?!\n|\Z)))")
_DONE = re.compile(rb"(?:\A|[\r\n])data:\s*\[DONE\]")
#: Bytes of `[DONE]` with whatever stands around it.
_LONGEST_DONE = 200


#: Bytes that are cut into events at a time. More may hold any number of events: an upstream that sends them
#: without end must not keep the event loop for itself.
PART = 8192
#: Bytes of one event, and line breaks (two in a CRLF) within it where it comes in several pieces.
LONGEST_EVENT = 16_000_000
MOST_BREAKS = 20_000


class EventTooLong(Exception):
    """An event has more than LONGEST_EVENT bytes or MOST_BREAKS line breaks, or never ends."""


class EventSplitter:
    """Cuts a stream of byte chunks into whole events, each with the empty line that ends it."""

    __slots__ = ("_breaks", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()
        #: Line breaks in it.
        self._breaks = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes, in order. Raises EventTooLong."""
        if len(self._rest) > LONGEST_EVENT or self._breaks > MOST_BREAKS:
            raise EventTooLong
        if not self._rest and _CR not in chunk:
            if chunk.endswith(_END) and chunk.find(_END) == len(chunk) - len(_END):
                # One event, as most often.
                self._breaks = 0
                return [chunk]
            pieces = chunk.split(_END)
            self._rest += pieces.pop()
            self._breaks = 0
            return [piece + _END for piece in pieces]
        searched = max(0, len(self._rest) - 4)
        self._rest += chunk
        events = []
        position = 0
        for match in _EVENT_END.finditer(self._rest, searched):
            events.append(bytes(self._rest[position : match.end()]))
            position = match.end()
        del self._rest[:position]
        self._breaks = 0 if events else self._breaks + chunk.count(b"\n") + chunk.count(b"\r")
        return events

    def ends(self) -> bool:
        """Whether what has come since the last whole event is `[DONE]`: nothing need end it."""
        return 0 < len(self._rest) < _LONGEST_DONE and is_done(self._rest)

    def rest(self) -> bytes:
        """What has come since the last whole event."""
        return bytes(self._rest)


def event_data(event: bytes) -> bytes:
    """What an event's data lines hold."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and _CR not in event:
        # One line, as nearly always.
        return event[6:-2]
    return b"\n".join(line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:"))


def event_json(event: bytes) -> dict[str, Any]:
    """The JSON object in an event's data; empty when there is none."""
    try:
        value = value_of(event_data(event))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def is_whole(event: bytes) -> bool:
    """Whether an event that no empty line ended is complete all the same."""
    return bool(_DONE.search(event)) or holds_members(event_data(event))


def is_done(event: bytes | bytearray) -> bool:
    """Whether the event is `[DONE]`."""
    return _DONE.search(event) is not None


def error_event(body: bytes) -> bytes:
    """An error object (JSON bytes) as the event that OpenAI clients raise it from."""
    lines = body.splitlines()  # a line break within the data would end the field
    return b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"


def with_data(event: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """`event` with its data changed, and all else of it as it was; `event` itself where nothing changes.

    Changed data over several lines becomes one line.
    """
    data = event_data(event)
    changed = change(data)
    if changed == data:
        return event
    if data in event:
        return event.replace(data, changed, 1)
    lines = (line for line in event.splitlines() if line and not line.startswith(b"data:"))
    return b"".join(line + b"\n" for line in lines) + b"data: " + b" ".join(changed.splitlines()) + b"\n\n"
