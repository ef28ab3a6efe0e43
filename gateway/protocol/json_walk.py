"""Where the members of a JSON object stand in its bytes. Pure.

The bytes are valid JSON already; nothing is built but the members' keys and places. A walk over a large body
takes long, so it goes in steps: whoever drives it may do other work in between.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

from gateway.errors import BadRequest

#: Members of one object.
MAX_MEMBERS = 10_000
#: Bytes of a member's name, as it is written. No parameter's is longer, and a name is built.
MAX_KEY = 65_536
#: Levels of arrays and objects within each other, the body's own included. Far from what Python's parsers and
#: writers take (about 1,000, fewer where the call stack is deep): what is within it can be handled anywhere.
MAX_DEPTH = 500
#: Bytes from which a body, or a value, is large: it is read in steps, and not built.
LARGE = 65_536
#: Most separators and brackets of large JSON that is rewritten in one go (about 20 ms), and of a reply all of
#: whose values are built.
MAX_WIDTH = 10_000
MAX_BUILT = 1_000_000
#: Bytes of a string from which on it is long.
LONG = 4096
#: Members, tokens within a value, or bytes of whatever it is, between two steps.
_MEMBERS = 125
_TOKENS = 1_000
_BYTES = 1 << 16

_QUOTE, _BACKSLASH, _OPENING, _CLOSING = b'"'[0], b"\\"[0], b"{[", b"}]"
_SPACE = re.compile(rb"[ \t\r\n]*+")
#: As far as the next character within a container that matters, or a piece of the way.
_NEXT = re.compile(rb'[^"\[\]{}]{0,%d}+' % _BYTES)
_KEY = re.compile(rb'[ \t\r\n]*+"([^"\\]*+(?:\\.[^"\\]*+)*+)"[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL)
_COMMA = re.compile(rb"[ \t\r\n]*+,")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR = re.compile(rb"[^,}\]\s]*+")
#: A bounded piece of a string's inside: plain bytes, and escapes with plain bytes behind.
_PIECE = re.compile(rb'[^"\\]{0,%d}+(?:\\.[^"\\]{0,256}+){0,256}+' % _BYTES, re.DOTALL)

_T = TypeVar("_T")
Steps = Generator[None, None, _T]


class JsonMember(NamedTuple):
    """One member of an object: its key, and where the whole of it and its value stand in the bytes."""

    key: str
    start: int
    value_start: int
    end: int


def drained(steps: Steps[_T]) -> _T:
    """The result of `steps`, taken without a break."""
    try:
        while True:
            next(steps)
    except StopIteration as finished:
        result: _T = finished.value
        return result


def walk(raw: bytes, long: list[tuple[int, int]] | None = None) -> Steps[list[JsonMember]]:
    """The members of the object that `raw` is.

    `raw` must be valid JSON. `long` gets the places of all strings of more than LONG bytes.
    Raises BadRequest for more than MAX_MEMBERS, a name longer than MAX_KEY, or deeper nesting than MAX_DEPTH.
    """
    long = [] if long is None else long
    members: list[JsonMember] = []
    position = _skip(raw, _skip(raw, 0) + 1)
    due = position + _BYTES
    while raw[position] == _QUOTE:
        start = position
        position = yield from _string_end(raw, start, long)
        if position - start > MAX_KEY:
            raise BadRequest(f"The request body has a member whose name is longer than {MAX_KEY} bytes.")
        key: str = json.loads(raw[start:position])
        value_start = _skip(raw, _skip(raw, position) + 1)
        position = yield from _value_end(raw, value_start, long)
        members.append(JsonMember(key, start, value_start, position))
        if len(members) > MAX_MEMBERS:
            raise BadRequest(f"The request body has more than {MAX_MEMBERS} members.")
        if not len(members) % _MEMBERS or position >= due:
            yield
            due = position + _BYTES
        # Behind a value stands a comma, or the end.
        position = _skip(raw, position)
        if raw[position] not in _CLOSING:
            position = _skip(raw, position + 1)
    return members


def is_wide(data: bytes, most: int = MAX_WIDTH) -> bool:
    """Whether JSON is large and holds more than `most` values: a walk through it takes long.

    Separators and opening brackets are counted, those within texts too.
    """
    return len(data) > LARGE and sum(map(data.count, (b",", b":", b"[", b"{"))) > most


def check_depth(raw: bytes) -> None:
    """Raise BadRequest where `raw`, which must be valid JSON, is nested deeper than MAX_DEPTH."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    brackets = _STRING.sub(b"", raw).translate(None, _NO_BRACKETS)
    if max(accumulate(1 if each in _OPENING else -1 for each in brackets)) > MAX_DEPTH:
        raise too_deep()


def too_deep() -> BadRequest:
    """What a body is told that is nested too deep."""
    return BadRequest(f"The request body is nested deeper than {MAX_DEPTH} levels.")


def places_of(raw: bytes, values: Mapping[str, Any]) -> list[JsonMember] | None:
    """As `walk`, without looking into values that a parser has found: fast, for bodies that are not large.

    None where a key occurs twice: of such a key `values` has the last one only.
    """
    places: list[JsonMember] = []
    match = _KEY.match(raw, raw.index(b"{") + 1)
    while match is not None:
        name = match[1]
        key: str = json.loads(b'"%b"' % name) if _BACKSLASH in name else name.decode()
        value = bytes(values[key])
        start = match.end()
        if not raw.startswith(value, start):
            return None
        end = start + len(value)
        places.append(JsonMember(key, match.start(1) - 1, start, end))
        comma = _COMMA.match(raw, end)
        match = None if comma is None else _KEY.match(raw, comma.end())
    return places if len(places) == len(values) else None


def _skip(raw: bytes, position: int) -> int:
    return _SPACE.match(raw, position).end()  # type: ignore[union-attr]  # it matches nothing, too


def _value_end(raw: bytes, position: int, long: list[tuple[int, int]]) -> Steps[int]:
    """The end of the value that begins at `position`."""
    first = raw[position]
    if first == _QUOTE:
        return (yield from _string_end(raw, position, long))
    if first not in _OPENING:
        return _SCALAR.match(raw, position).end()  # type: ignore[union-attr]
    depth = tokens = 0
    due = position + _BYTES
    while True:
        position = _NEXT.match(raw, position).end()  # type: ignore[union-attr]
        character = raw[position]
        if character == _QUOTE:
            position = yield from _string_end(raw, position, long)
        elif character in _OPENING or character in _CLOSING:
            position += 1
            depth += 1 if character in _OPENING else -1
            if not depth:
                return position
            if depth >= MAX_DEPTH:
                raise too_deep()
        tokens += 1
        if not tokens % _TOKENS or position >= due:
            yield
            due = position + _BYTES


def _string_end(raw: bytes, start: int, long: list[tuple[int, int]]) -> Steps[int]:
    """The end of the string whose opening quote stands at `start`."""
    position = start + 1
    due = position + _BYTES
    while True:
        position = _PIECE.match(raw, position).end()  # type: ignore[union-attr]
        if raw[position] == _QUOTE:
            if position - start > LONG:
                long.append((start + 1, position))
            return position + 1
        if position >= due:
            yield
            due = position + _BYTES
