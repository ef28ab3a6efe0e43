"""Changes to request bodies that leave all other bytes as the client wrote them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import msgspec

from gateway.protocol.json_body import Body, LargeValue, Values, splice
from gateway.protocol.json_walk import JsonMember, drained, walk

_NONE: Mapping[str, str] = {}
_SAME: Mapping[str, bytes] = {}
_BETWEEN = re.compile(rb"[\s,]*")
#: Roles of instructions, as JSON.
_INSTRUCTIONS = frozenset((b'"system"', b'"developer"'))


class _Message(msgspec.Struct):
    role: msgspec.Raw = msgspec.Raw(b"null")


_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_message = msgspec.json.Decoder(_Message).decode


def changed(body: Body, names: Mapping[str, str] = _NONE, values: Mapping[str, bytes] = _SAME) -> Body:
    """`body` with members renamed (old name -> new), and with other values (name -> JSON)."""
    view = memoryview(body.raw)
    pieces: list[bytes] = []
    places: list[JsonMember] = []
    members: dict[str, msgspec.Raw | memoryview | LargeValue] = {}
    position = len(b"{")
    for place in body.places():
        key = names.get(place.key, place.key)
        head = view[place.start : place.value_start] if key == place.key else json.dumps(key).encode() + b":"
        given = values.get(place.key)
        value = view[place.value_start : place.end] if given is None else given
        pieces.append(b"".join((head, value)))
        end = position + len(pieces[-1])
        places.append(JsonMember(key, position, position + len(head), end))
        members[key] = body.values.raw[place.key] if given is None else memoryview(given)
        position = end + len(b",")
    return Body(b"{" + b",".join(pieces) + b"}", Values(members), places)


def member_json(body: Body, name: str) -> bytes:
    """The JSON of one member, as the client wrote it."""
    raw = body.values.raw[name]
    return raw.body[raw.start : raw.end] if isinstance(raw, LargeValue) else bytes(memoryview(raw))


def with_user_roles(messages: bytes) -> bytes:
    """The JSON of a chat's messages with those of the system and of the developer as the user's.

    What is no list of objects stays as it is: it is upstream's to refuse.
    """
    try:
        elements = _elements(messages)
    except msgspec.MsgspecError:
        return messages
    edits: list[tuple[int, int, bytes]] = []
    position = messages.index(b"[") + 1
    for element in elements:
        position = _BETWEEN.match(messages, position).end()  # type: ignore[union-attr]  # it matches nothing, too
        end = position + len(memoryview(element))
        if _instructs(element):
            edits += [
                (position + member.value_start, position + member.end, b'"user"')
                for member in drained(walk(messages[position:end]))
                if member.key == "role"
            ]
        position = end
    return splice(messages, edits) if edits else messages


def _instructs(element: msgspec.Raw) -> bool:
    try:
        return bytes(_message(element).role) in _INSTRUCTIONS
    except msgspec.MsgspecError:
        return False
