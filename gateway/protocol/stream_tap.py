"""What a stream's events say on their way: usage, the end, errors. Never re-serialises one.

What is looked for in an event is looked for as bytes: inside a JSON string a quote is escaped, so `"usage"`
with bare quotes can only be a key or a whole string. It is `find` that looks, for `in` asks first whether
what it looks for is a number, which raises within and takes longer than the search.
"""

from __future__ import annotations

import re

from gateway.errors import BadRequest
from gateway.protocol.filtered_chat import with_deltas
from gateway.protocol.json_body import without_member
from gateway.protocol.json_walk import LARGE, is_wide
from gateway.protocol.keep_alive import keep_alive
from gateway.protocol.operation import Streaming
from gateway.protocol.sse import event_json, with_data
from gateway.protocol.stream_events import EventKind, kind_of
from gateway.protocol.usage import NO_USAGE, Usage

_USAGE = re.compile(rb'"usage"\s*:\s*\{')
#: Two patterns, for one of both would be looked for at every byte.
_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null')
_NULL_USAGE_FIRST = re.compile(rb'"usage"\s*:\s*null\s*,\s*')
#: How Azure ends every chunk but the last.
_LAST_IS_NULL_USAGE = b',"usage":null}\n\n'
#: What a chunk that only tells the usage has beside it.
_ENVELOPE = {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier",
             "obfuscation"}  # fmt: skip


class StreamTap:
    """Watches a stream's events; hides the usage that we asked for.

    `answered` is true after an event that is part of an answer, `usage` is the last usage seen, `finished` is
    true when all choices have ended, `failed` after an error event, and `over` after one or `[DONE]`: nothing
    that follows belongs to the answer.
    """

    __slots__ = (
        "_choices", "_deltas", "_ended", "_ends", "_first", "_mark", "_streaming", "_translated",
        "answered", "failed", "finished", "hide_usage", "over", "usage",
    )  # fmt: skip

    def __init__(self, streaming: Streaming, *, hide_usage: bool, choices: int = 1) -> None:
        """`choices` is how many the request asks for: so many must end."""
        self._streaming = streaming
        self._ends = streaming.end.search
        self._mark = streaming.mark
        self._deltas = streaming.deltas
        self._translated = None if streaming.translation is None else streaming.translation()
        self._choices = choices
        self._ended: set[object] = set()
        self._first = b""
        self.hide_usage = hide_usage
        self.usage: Usage | None = None
        self.answered = False
        self.finished = False
        self.failed = False
        self.over = False

    @property
    def complete(self) -> bool:
        """Whether the stream may end here without loss."""
        return self.over or self.finished

    @property
    def done(self) -> bool:
        """Whether `[DONE]` has come."""
        return self.over and not self.failed

    def look(self, event: bytes) -> EventKind:
        """What one event is. To be asked until an answer begins."""
        kind = kind_of(event, self._streaming.answer_type)
        if kind is EventKind.ANSWER and not self.answered:
            self.answered = True
            self._first = event
        return kind

    def watch(self, event: bytes) -> bytes:
        """Take note of one event and return what the client gets of it (possibly nothing)."""
        if len(event) > LARGE and is_wide(event):
            return self._watch_wide(event)
        if not self.finished and self._ends(event):
            self._note_end(event)
        if not self.answered or event.find(self._mark) < 0 or event.find(b'"error"') >= 0:
            kind = self._note_kind(event)
            if self.over or kind is EventKind.NOTHING:
                return event
        if event.endswith(_LAST_IS_NULL_USAGE):
            if self.hide_usage:
                event = event[: -len(_LAST_IS_NULL_USAGE)] + b"}\n\n"
        elif event.find(b'"usage"') >= 0:
            event = self._watch_usage(event)
        if self._deltas:
            # A tool call has an index, too.
            if event.find(b'"delta":{') >= 0 and event.count(b'"index"') < 2:
                return event
            if not _has_deltas(event):
                return with_data(event, with_deltas)
        elif self._translated is not None and event:
            return self._translated(event)
        return event

    def keep_alive(self) -> bytes:
        """An event for a silence, which every client takes for a part of this stream that says nothing."""
        return keep_alive(self._streaming, self._first)

    def _watch_wide(self, event: bytes) -> bytes:
        """Take note of an event that it takes too long to rewrite: it is passed on as it came."""
        if self._choices == 1 and self._ends(event):
            self.finished = True
        self._note_kind(event)
        usage = self._streaming.usage_fields.read_reply(event)
        if usage != NO_USAGE:
            self.usage = usage
        return event

    def _note_kind(self, event: bytes) -> EventKind:
        kind = self.look(event)
        self.failed = kind is EventKind.FAILURE
        self.over = self.failed or kind is EventKind.DONE
        return kind

    def _note_end(self, event: bytes) -> None:
        if self._choices > 1:
            choices = event_json(event).get("choices")
            for choice in choices if isinstance(choices, list) else ():
                if isinstance(choice, dict) and isinstance(choice.get("finish_reason"), str):
                    self._ended.add(str(choice.get("index")))
            self.finished = len(self._ended) >= self._choices
        else:
            self.finished = True

    def _watch_usage(self, event: bytes) -> bytes:
        if not _USAGE.search(event):
            if not self.hide_usage:
                return event
            changed = _NULL_USAGE.sub(b"", event, count=1)
            return changed if len(changed) < len(event) else _NULL_USAGE_FIRST.sub(b"", event, count=1)
        chunk = event_json(event)
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.usage = self._streaming.usage_fields.read(usage)
            if self.hide_usage:
                tells = chunk.get("choices") or chunk.keys() - _ENVELOPE
                return with_data(event, _without_usage) if tells else b""
        return event


def _has_deltas(event: bytes) -> bool:
    """Whether every choice of a chunk surely has its delta."""
    if b'"delta": {' in event:
        return event.count(b'"index"') < 2
    return not event or b'"choices":[]' in event


def _without_usage(data: bytes) -> bytes:
    try:
        return without_member(data.strip(), "usage")
    except BadRequest:
        # Names or nesting of which no request may have as much: it is passed on as it came.
        return data
