"""Changes to request bodies that leave all other bytes as the client wrote them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping

import msgspec

from gateway.protocol.field_paths import FieldPath, without_field
from gateway.protocol.json_body import Body, LargeValue, Values
from gateway.protocol.json_walk import JsonMember

_NONE: Mapping[str, str] = {}
_SAME: Mapping[str, bytes] = {}
#: Azure takes no more messages. (https://learn.microsoft.com/azure/ai-foundry/openai/quotas-limits)
_MOST_MESSAGES = 2048
#: The role of instructions.
_INSTRUCTIONS = re.compile(rb'("role"[ \t\r\n]*:[ \t\r\n]*)"(?:system|developer)"')


def changed(
    body: Body,
    *,
    without: Collection[str] = (),
    names: Mapping[str, str] = _NONE,
    values: Mapping[str, bytes] = _SAME,
) -> Body:
    """`body` without some members, with others renamed (old name -> new), or of other values (name -> JSON).

    Itself where it has none of them. Its bytes are copied once, for it may be large.
    """
    if not any(name in body.values for name in (*without, *names, *values)):
        return body
    view = memoryview(body.raw)
    pieces: list[bytes | memoryview] = []
    places: list[JsonMember] = []
    members: dict[str, msgspec.Raw | memoryview | LargeValue] = {}
    position = len(b"{")
    for place in body.places():
        if place.key in without:
            continue
        key = names.get(place.key, place.key)
        head = view[place.start : place.value_start] if key == place.key else json.dumps(key).encode() + b":"
        given = values.get(place.key)
        value = view[place.value_start : place.end] if given is None else given
        pieces += (b"," if pieces else b"{", head, value)
        value_start = position + len(head)
        end = value_start + len(value)
        places.append(JsonMember(key, position, value_start, end))
        members[key] = body.values.raw[place.key] if given is None else memoryview(given)
        position = end + len(b",")
    return Body(b"".join((*(pieces or (b"{",)), b"}")), Values(members), places)


def trimmed(body: Body, names: Collection[str], paths: Collection[FieldPath]) -> Body:
    """`body` without some members, nor the fields at some paths within others; itself if it has none."""
    if names:
        body = body.without(names)
    if not paths:
        return body
    values: dict[str, bytes] = {}
    for name, *rest in paths:
        if isinstance(name, str) and name in body.values:
            old = values.get(name) or member_json(body, name)
            if (new := without_field(old, tuple(rest))) is not old:
                values[name] = new
    return changed(body, values=values)


def member_json(body: Body, name: str) -> bytes:
    """The JSON of one member, as the client wrote it."""
    raw = body.values.raw[name]
    return raw.body[raw.start : raw.end] if isinstance(raw, LargeValue) else bytes(memoryview(raw))


def with_user_roles(messages: bytes) -> bytes:
    """The JSON of a chat's messages with those of the system and of the developer as the user's.

    Searched for as bytes, since messages may be large: a quote within a JSON string is escaped, so a role
    between bare quotes is a member.
    """
    return _INSTRUCTIONS.sub(rb'\1"user"', messages, count=_MOST_MESSAGES)
