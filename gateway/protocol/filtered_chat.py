"""Completes chat replies and chunks to which the content filter gives less than the API's schema wants. Pure.

Azure may leave a choice's `message` out where the filter withheld the answer, and chunks of its asynchronous
filter have choices without `delta`. Every official client fails on either with a type error. Everything else
stays as upstream wrote it, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from gateway.errors import BadRequest
from gateway.protocol.json_body import splice
from gateway.protocol.json_walk import drained, is_wide, walk

_MARK = re.compile(rb'"finish_reason"\s*:\s*"content_filter"')
_MESSAGE = b'"message":{"role":"assistant","content":null},'
_DELTA = b'"delta":{}'
_BETWEEN = re.compile(rb"[\s,]*")

_validate = msgspec.json.Decoder(msgspec.Raw).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_value = msgspec.json.Decoder().decode

#: What is changed in a body: from where, to where, and into what.
Edit = tuple[int, int, bytes]


def completed(body: bytes) -> bytes:
    """`body` (a chat reply, JSON) with a message without content in each choice that has none.

    Only where the content filter ended a choice; a body that is no JSON, or is wide, is returned as it is.
    """
    return _edited(body, _message) if _MARK.search(body) and not is_wide(body) else body


def with_deltas(data: bytes) -> bytes:
    """`data` (a chat chunk, JSON) with an empty delta in each choice that has none; else as it is."""
    return _edited(data, _delta)


def _edited(body: bytes, edit: Callable[[bytes, int, object], Edit | None]) -> bytes:
    try:
        body.decode()
        _validate(body)
        edits = [found for start, choice in _choices(body) if (found := edit(body, start, choice))]
    except (BadRequest, msgspec.MsgspecError, ValueError, RecursionError):
        return body
    return splice(body, edits) if edits else body


def _choices(body: bytes) -> Iterator[tuple[int, object]]:
    """Every choice of a valid reply, and where it begins."""
    if not body.lstrip().startswith(b"{"):
        return
    for member in drained(walk(body)):
        if member.key != "choices" or body[member.value_start : member.value_start + 1] != b"[":
            continue
        position = member.value_start + 1
        for element in _elements(body[member.value_start : member.end]):
            position = _BETWEEN.match(body, position).end()  # type: ignore[union-attr]  # it matches nothing, too
            choice = memoryview(element)
            yield position, _value(choice)
            position += len(choice)


def _message(_body: bytes, start: int, choice: object) -> Edit | None:
    """What gives a withheld choice a message."""
    if not isinstance(choice, dict) or choice.get("finish_reason") != "content_filter" or "message" in choice:
        return None
    return start + 1, start + 1, _MESSAGE


def _delta(body: bytes, start: int, choice: object) -> Edit | None:
    """What gives a choice a delta, in place of a null too."""
    if not isinstance(choice, dict) or choice.get("delta") is not None:
        return None
    if "delta" not in choice:
        return start + 1, start + 1, _DELTA + b"," if choice else _DELTA
    members = drained(walk(body[start:]))
    last = next(member for member in reversed(members) if member.key == "delta")
    return start + last.value_start, start + last.end, b"{}"
