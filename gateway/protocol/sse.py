"""Server-sent events as bytes: cut into events, watched for what matters, never re-serialised.

Bytes in, bytes out; no I/O. The format is the WHATWG's "Server-sent events" (lines end in LF, CRLF
or CR; an empty line ends an event). What is looked for in an event is looked for as bytes: inside a
JSON string a quote is escaped, so `"usage"` with bare quotes can only be a key or a whole string.
"""

from __future__ import annotations

import json
import re
from typing import Any

#: Sent in silent gaps: a comment, which every client ignores and which resets their timers.
KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"

# The last CR of what has come so far may be half of a CRLF, so it ends nothing yet.
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n|\Z)){2}")
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"|"type"\s*:\s*"speech\.audio\.done"')
_ERROR = re.compile(rb'\A(?:event:[^\r\n]*[\r\n]+)?data:\s*\{\s*"error"\s*:')
_DONE = re.compile(rb"(?:\A|[\r\n])data:\s*\[DONE\]")
_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null')


class EventSplitter:
    """Cuts a stream of byte chunks into whole events, each with the empty line that ends it."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes, in order."""
        if not self._rest and b"\r" not in chunk:
            pieces = chunk.split(b"\n\n")
            self._rest += pieces.pop()
            return [piece + b"\n\n" for piece in pieces]
        searched = max(0, len(self._rest) - 4)
        self._rest += chunk
        events = []
        position = 0
        for match in _EVENT_END.finditer(self._rest, searched):
            events.append(bytes(self._rest[position : match.end()]))
            position = match.end()
        del self._rest[:position]
        return events

    def rest(self) -> bytes:
        """What has come since the last whole event."""
        return bytes(self._rest)


class StreamTap:
    """Watches a stream's events: usage, the end, errors; hides the usage that we asked for.

    `usage` is the last usage object seen, `finished` is true after a finish_reason, `done` after
    `[DONE]`, `failed` after an error event.
    """

    __slots__ = ("done", "failed", "finished", "hide_usage", "usage")

    def __init__(self, *, hide_usage: bool) -> None:
        self.hide_usage = hide_usage
        self.usage: dict[str, Any] | None = None
        self.finished = False
        self.done = False
        self.failed = False

    @property
    def complete(self) -> bool:
        """Whether the stream may end here without loss."""
        return self.done or self.finished or self.failed

    def watch(self, event: bytes) -> bytes:
        """Take note of one event and return what the client gets of it (possibly nothing)."""
        if not self.finished and _FINISHED.search(event):
            self.finished = True
        if b'"usage"' in event:
            return self._watch_usage(event)
        if b"[DONE]" in event and _DONE.search(event):
            self.done = True
        elif b'"error"' in event and _ERROR.match(event):
            self.failed = True
        return event

    def _watch_usage(self, event: bytes) -> bytes:
        if _USAGE.search(event):
            chunk = event_json(event)
            usage = chunk.get("usage")
            if isinstance(usage, dict):
                self.usage = usage
                if self.hide_usage and chunk.get("choices") == []:
                    return b""
            return event
        return _NULL_USAGE.sub(b"", event, count=1) if self.hide_usage else event


def event_data(event: bytes) -> bytes:
    """What an event's data lines hold."""
    return b"\n".join(line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:"))


def event_json(event: bytes) -> dict[str, Any]:
    """The JSON object in an event's data; empty when there is none."""
    try:
        value = json.loads(event_data(event))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def is_whole(event: bytes) -> bool:
    """Whether an event that no empty line ended is complete all the same."""
    return bool(_DONE.search(event) or event_json(event))


def is_done(event: bytes) -> bool:
    """Whether the event is `[DONE]`."""
    return _DONE.search(event) is not None


def is_error(event: bytes) -> bool:
    """Whether the event reports an error in OpenAI's form."""
    return _ERROR.match(event) is not None


def error_event(body: bytes) -> bytes:
    """An error object (JSON bytes) as the event that OpenAI clients raise it from."""
    lines = body.splitlines()  # a line break within the data would end the field
    return b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"
