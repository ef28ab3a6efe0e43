"""Completes chat replies whose answer the content filter withheld. Pure.

Azure may then leave a choice's `message` out altogether, and every official client fails on that with a
type error. Everything else of a reply stays as upstream wrote it, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from gateway.errors import BadRequest
from gateway.protocol.json_body import splice
from gateway.protocol.json_walk import drained, walk

_MARK = re.compile(rb'"finish_reason"\s*:\s*"content_filter"')
_MESSAGE = b'"message":{"role":"assistant","content":null},'
_BETWEEN = re.compile(rb"[\s,]*")

_validate = msgspec.json.Decoder(msgspec.Raw).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_value = msgspec.json.Decoder().decode


def completed(body: bytes) -> bytes:
    """`body` (a chat reply, JSON) with a message without content in each choice that has none.

    Only where the content filter ended a choice; a body that is no JSON is returned as it is.
    """
    if not _MARK.search(body):
        return body
    try:
        body.decode()
        _validate(body)
        bare = [start + 1 for start, choice in _choices(body) if _is_bare(choice)]
    except (BadRequest, msgspec.MsgspecError, ValueError, RecursionError):
        return body
    return splice(body, [(place, place, _MESSAGE) for place in bare]) if bare else body


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


def _is_bare(choice: object) -> bool:
    return (
        isinstance(choice, dict)
        and choice.get("finish_reason") == "content_filter"
        and "message" not in choice
    )
