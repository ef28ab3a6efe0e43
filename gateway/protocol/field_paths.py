"""Paths to fields within a JSON value, as LiteLLM writes them: `tools[*].input_examples`. Pure.

Source of the notation: <https://docs.litellm.ai/docs/completion/drop_params>, "Nested Field Removal".
"""

from __future__ import annotations

import json
import re

import msgspec

#: The steps to a field: the name of a member, the place of an element, or None for every element.
FieldPath = tuple[str | int | None, ...]

#: Steps of a path.
MAX_STEPS = 20
#: Elements of a list that are looked into; no API takes as many objects.
MAX_ELEMENTS = 10_000
_NAME = r"(?:[^.\[\]\\]|\\.)+"
_STEP = re.compile(rf"({_NAME})((?:\[(?:\*|\d{{1,6}})\])*)(?:\.(?=.)|\Z)", re.DOTALL)
_ELEMENT = re.compile(r"\[(\*|\d+)\]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode


def read_path(text: str) -> FieldPath | None:
    r"""The path that `text` writes: `a.b`, `a[0].b`, `a[*].b`, a name's dot as `\.`; None if it is none."""
    steps: list[str | int | None] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            return None
        steps.append(_ESCAPE.sub(r"\1", match[1]))
        steps += [None if place == "*" else int(place) for place in _ELEMENT.findall(match[2])]
        position = match.end()
    return tuple(steps) if 0 < len(steps) <= MAX_STEPS else None


def without_field(value: bytes, path: FieldPath) -> bytes:
    """The JSON of a value without the fields at `path`, which ends in the name of a member.

    The very same bytes where it has none. The bytes of all else are kept, but for white space between the
    members and elements that `path` leads through, and for members whose name comes again.
    """
    step, rest = path[0], path[1:]
    name = step if isinstance(step, str) else next(each for each in rest if isinstance(each, str))
    # A name is found as it is, unless somebody wrote it with escapes.
    if b"\\" not in value and json.dumps(name, ensure_ascii=False).encode() not in value:
        return value
    opening = value.lstrip()[:1]
    if isinstance(step, str):
        return _without_member(value, step, rest) if opening == b"{" else value
    elements = _elements(value) if opening == b"[" else []
    if len(elements) > MAX_ELEMENTS:
        return value
    left: list[bytes] = []
    changed = False
    for place, element in enumerate(elements):
        old = bytes(memoryview(element))
        new = without_field(old, rest) if step in (None, place) else old
        changed = changed or new is not old
        left.append(new)
    return b"[" + b",".join(left) + b"]" if changed else value


def _without_member(value: bytes, name: str, rest: FieldPath) -> bytes:
    members = {key: bytes(memoryview(member)) for key, member in _members(value).items()}
    if name not in members:
        return value
    if rest:
        inner = without_field(members[name], rest)
        if inner is members[name]:
            return value
        members[name] = inner
    else:
        del members[name]
    return (
        b"{" + b",".join(json.dumps(key).encode() + b":" + member for key, member in members.items()) + b"}"
    )
