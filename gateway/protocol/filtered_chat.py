"""Completes chat replies whose answer the content filter withheld. Pure.

Azure may then leave a choice's `message` out altogether, and every official client fails on that with a
type error. Everything else of a reply stays as upstream wrote it, byte for byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from gateway.protocol.json_body import JsonMember, scan_object, splice

_MARK = re.compile(rb'"finish_reason"\s*:\s*"content_filter"')
_MESSAGE = '"message":{"role":"assistant","content":null},'
_BETWEEN = re.compile(r"[\s,]*")

_decoder = json.JSONDecoder()


def completed(body: bytes) -> bytes:
    """`body` (a chat reply, JSON) with a message without content in each choice that has none.

    Only where the content filter ended a choice; a body that is no JSON is returned as it is.
    """
    if not _MARK.search(body):
        return body
    try:
        text = body.decode()
        members, _ = scan_object(text, text.index("{"))
        bare = [start + 1 for start, choice in _choices(text, members) if _is_bare(choice)]
    except (ValueError, StopIteration, RecursionError):
        return body
    return splice(text, [(place, place, _MESSAGE) for place in bare]).encode() if bare else body


def _choices(text: str, members: tuple[JsonMember, ...]) -> Iterator[tuple[int, object]]:
    """Every choice, and where it begins."""
    for member in members:
        if member.key != "choices" or not isinstance(member.value, list):
            continue
        position = member.start + 1
        for _ in member.value:
            position = _BETWEEN.match(text, position).end()  # type: ignore[union-attr]  # it matches nothing, too
            choice, end = _decoder.raw_decode(text, position)
            yield position, choice
            position = end


def _is_bare(choice: object) -> bool:
    return (
        isinstance(choice, dict)
        and choice.get("finish_reason") == "content_filter"
        and "message" not in choice
    )
