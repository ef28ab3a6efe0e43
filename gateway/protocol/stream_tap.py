"""What a stream's events say on their way: usage, the end, errors. Never re-serialises one.

What is looked for in an event is looked for as bytes: inside a JSON string a quote is escaped, so `"usage"`
with bare quotes can only be a key or a whole string.
"""

from __future__ import annotations

import re

from gateway.protocol.operation import Streaming
from gateway.protocol.sse import event_json, is_done, is_error
from gateway.protocol.usage import Usage

_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null')


class StreamTap:
    """Watches a stream's events; hides the usage that we asked for.

    `usage` is the last usage seen, `finished` is true after the mark of its end, `done` after
    `[DONE]`, `failed` after an error event.
    """

    __slots__ = ("_ends", "_fields", "done", "failed", "finished", "hide_usage", "usage")

    def __init__(self, streaming: Streaming, *, hide_usage: bool) -> None:
        self._ends = streaming.end.search
        self._fields = streaming.usage_fields
        self.hide_usage = hide_usage
        self.usage: Usage | None = None
        self.finished = False
        self.done = False
        self.failed = False

    @property
    def complete(self) -> bool:
        """Whether the stream may end here without loss."""
        return self.done or self.finished or self.failed

    def watch(self, event: bytes) -> bytes:
        """Take note of one event and return what the client gets of it (possibly nothing)."""
        if not self.finished and self._ends(event):
            self.finished = True
        if b'"usage"' in event:
            return self._watch_usage(event)
        if b"[DONE]" in event and is_done(event):
            self.done = True
        elif b'"error"' in event and is_error(event):
            self.failed = True
        return event

    def _watch_usage(self, event: bytes) -> bytes:
        if _USAGE.search(event):
            chunk = event_json(event)
            usage = chunk.get("usage")
            if isinstance(usage, dict):
                self.usage = self._fields.read(usage)
                if self.hide_usage and chunk.get("choices") == []:
                    return b""
            return event
        return _NULL_USAGE.sub(b"", event, count=1) if self.hide_usage else event
