"""A JSON request body: parsed once, strictly, and rewritten by splicing.

Bytes reach upstream as the client wrote them (key order, 1.0, big integers, duplicate keys, escapes).
Where a member must change, only its value's characters are replaced: a scanner finds where they stand.
No I/O, no HTTP, no operation is known here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # the C function; absent from typeshed
from typing import Any, NoReturn

from gateway.errors import BadRequest

#: OpenAI's own text for a body that is not JSON.
NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your "
    "HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON."
)

_WHITESPACE = re.compile(r"[ \t\n\r]*").match


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_scan = _decoder.scan_once  # type: ignore[attr-defined]  # an attribute since Python 2.6, absent from typeshed


@dataclass(frozen=True, slots=True)
class JsonMember:
    """One member of an object: its key, its value and where the value stands in the text."""

    key: str
    value: Any
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Body:
    """A parsed request body. `values` is what a JSON parser gives (the last of duplicate keys)."""

    raw: bytes
    text: str
    values: Mapping[str, Any]

    def replaced(self, changes: dict[str, Any], defaults: dict[str, Any]) -> bytes:
        """The body with `changes` made to members, and `defaults` added where a key is absent.

        A changed key that occurs twice is changed twice, for parsers differ in which one they
        take. Returns the original bytes when nothing changes. Raises BadRequest as `parse` does.
        """
        values = self.values
        absent = {key: value for key, value in (defaults | changes).items() if key not in values}
        changed = {key: value for key, value in changes.items() if key in values and values[key] != value}
        if not absent and not changed:
            return self.raw
        opening = self.text.index("{")
        try:
            members, _ = scan_object(self.text, opening)
        except RecursionError:
            # `parse` ran with fewer frames on the stack, so it can take a few levels more.
            raise BadRequest(f"{NOT_JSON})") from None
        edits = [
            (member.start, member.end, json.dumps(changed[member.key]))
            for member in members
            if member.key in changed
        ]
        if absent:
            added = json.dumps(absent)[1:-1] + (", " if members else "")
            edits.insert(0, (opening + 1, opening + 1, added))
        return splice(self.text, edits).encode()


def splice(text: str, edits: Iterable[tuple[int, int, str]]) -> str:
    """`text` with each (start, end, replacement) applied; edits are in order and do not overlap."""
    pieces: list[str] = []
    position = 0
    for start, end, replacement in edits:
        pieces += (text[position:start], replacement)
        position = end
    pieces.append(text[position:])
    return "".join(pieces)


def parse(raw: bytes) -> Body:
    """Parse a request body that must be one JSON object.

    Raises BadRequest for anything else: no body, other encodings than UTF-8, NaN and Infinity, lone
    surrogates, nesting deeper than the parser takes (about 1,000 levels).
    """
    try:
        text = raw.decode()
        values = _decoder.decode(text)
        if "\\ud" in text or "\\uD" in text:
            # Python's parser lets lone surrogates through; no UTF-8 text can hold them.
            json.dumps(values, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise BadRequest(f"{NOT_JSON})") from None
    if not isinstance(values, dict):
        raise BadRequest(f"{NOT_JSON} The body must be a JSON object.)")
    return Body(raw, text, values)


def scan_object(text: str, start: int) -> tuple[tuple[JsonMember, ...], int]:
    """The members of the JSON object that begins at `start` (its brace), and where it ends.

    Raises ValueError, StopIteration or RecursionError where the text is no JSON.
    """
    members: list[JsonMember] = []
    position = _skip(text, start + 1)
    if text[position : position + 1] == "}":
        return (), position + 1
    while True:
        if text[position : position + 1] != '"':
            raise ValueError("a key must be a string")
        key, position = scanstring(text, position + 1, True)
        position = _skip(text, position)
        if text[position : position + 1] != ":":
            raise ValueError("a colon must follow a key")
        value_start = _skip(text, position + 1)
        value, value_end = _scan(text, value_start)
        members.append(JsonMember(key, value, value_start, value_end))
        position = _skip(text, value_end)
        separator = text[position : position + 1]
        if separator == "}":
            return tuple(members), position + 1
        if separator != ",":
            raise ValueError("a comma or a brace must follow a value")
        position = _skip(text, position + 1)


def _skip(text: str, position: int) -> int:
    match = _WHITESPACE(text, position)
    return position if match is None else match.end()
