"""A JSON request body: read once, strictly, and rewritten by splicing.

Bytes reach upstream as the client wrote them (key order, 1.0, big integers, escapes). All of a body is
validated, but only the members that are asked for are built: a body costs about as much memory as it has
bytes, whatever it holds. Reading a large body goes in steps (see `json_walk`). No I/O, no HTTP, no operation
is known here.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from gateway.errors import BadRequest
from gateway.protocol.json_bounds import check_bounds, check_utf8
from gateway.protocol.json_walk import LARGE, JsonMember, Steps, check_depth, drained, places_of, walk

#: OpenAI's own text for a body that is not JSON.
NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your "
    "HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON."
)

_NOT_VALID = f"{NOT_JSON})"
_NOT_AN_OBJECT = f"{NOT_JSON} The body must be a JSON object.)"

#: Members that decide what happens to a call. Parsers differ in which of two equal keys they take, so of
#: these only the last one is sent.
_DECIDING = frozenset(
    (
        "model",
        "stream",
        "stream_options",
        "stream_format",
        "n",
        "max_tokens",
        "max_completion_tokens",
        "messages",
        "prompt",
        "input",
        "data_sources",
        "dataSources",
    )
)

_OBJECT = re.compile(rb"[ \t\r\n]*+\{")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_validate = msgspec.json.Decoder(msgspec.Raw).decode
_value = msgspec.json.Decoder().decode
_INVALID = (msgspec.MsgspecError, ValueError, RecursionError)


class LargeValue(msgspec.Struct, frozen=True):
    """A value that is too large to be built: where its JSON stands in a body."""

    body: bytes
    start: int
    end: int
    #: Where the long strings within it stand.
    long_strings: tuple[tuple[int, int], ...]


class Values(Mapping[str, Any]):
    """The members of a body by key. A value is built when it is asked for, unless it is large."""

    __slots__ = ("_built", "raw")

    def __init__(
        self, raw: Mapping[str, msgspec.Raw | memoryview | LargeValue], built: dict[str, Any] | None = None
    ) -> None:
        """`built` holds values that are built already."""
        #: The members' JSON.
        self.raw = raw
        self._built: dict[str, Any] = {} if built is None else built

    def __getitem__(self, key: str) -> Any:
        if key not in self._built:
            raw = self.raw[key]
            self._built[key] = raw if isinstance(raw, LargeValue) else _built(memoryview(raw))
        return self._built[key]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, `default` where it is absent."""
        return self[key] if key in self.raw else default

    def __contains__(self, key: object) -> bool:
        return key in self.raw

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)


def _built(raw: memoryview) -> Any:
    try:
        return _value(raw)
    except msgspec.MsgspecError:
        # A number beyond any computer's. It is valid JSON, and upstream's to judge.
        return None


class Body:
    """A request body that is one JSON object."""

    __slots__ = ("_places", "raw", "values")

    def __init__(self, raw: bytes, values: Values, places: list[JsonMember] | None = None) -> None:
        """`places` says where the members stand, if that is known already."""
        self.raw = raw
        self.values = values
        self._places = places

    def places(self) -> list[JsonMember]:
        """Where the members stand."""
        if self._places is None:
            self._places = places_of(self.raw, self.values.raw) or drained(walk(self.raw))
        return self._places

    def without(self, names: Collection[str]) -> Body:
        """The body without these members, the others' bytes as they are; itself where it has none of them."""
        if not any(name in self.values for name in names):
            return self
        view = memoryview(self.raw)
        pieces: list[memoryview] = []
        places: list[JsonMember] = []
        position = len(b"{")
        for place in self.places():
            if place.key not in names:
                moved = position - place.start
                pieces.append(view[place.start : place.end])
                places.append(JsonMember(place.key, position, place.value_start + moved, place.end + moved))
                position = place.end + moved + len(b",")
        left = {key: value for key, value in self.values.raw.items() if key not in names}
        return Body(b"{" + b",".join(pieces) + b"}", Values(left), places)

    def replaced(self, changes: Mapping[str, Any], defaults: Mapping[str, Any]) -> bytes:
        """The body with `changes` made to members, and `defaults` added where a key is absent.

        Returns the original bytes when nothing changes.
        """
        values = self.values
        absent = {key: value for key, value in {**defaults, **changes}.items() if key not in values}
        changed = {key: value for key, value in changes.items() if key in values and values[key] != value}
        if not absent and not changed:
            return self.raw
        if changed and self._places is None:
            self._places = places_of(self.raw, values.raw)
        edits = [
            (place.value_start, place.end, json.dumps(changed[place.key]).encode())
            for place in self._places or ()
            if place.key in changed
        ]
        if absent:
            opening = self.raw.index(b"{") + 1
            added = json.dumps(absent)[1:-1] + (", " if values else "")
            edits.insert(0, (opening, opening, added.encode()))
        return splice(self.raw, edits)


def splice(raw: bytes, edits: Iterable[tuple[int, int, bytes]]) -> bytes:
    """`raw` with each (start, end, replacement) applied; edits are in order and do not overlap."""
    view = memoryview(raw)
    pieces: list[bytes | memoryview] = []
    position = 0
    for start, end, replacement in edits:
        pieces += (view[position:start], replacement)
        position = end
    pieces.append(view[position:])
    return b"".join(pieces)


def without_member(data: bytes, key: str) -> bytes:
    """`data`, which must be one valid JSON object, without its members of that key."""
    members = drained(walk(data))
    kept = [data[member.start : member.end] for member in members if member.key != key]
    if len(kept) == len(members):
        return data
    return data[: members[0].start] + b",".join(kept) + data[members[-1].end :]


def parse(raw: bytes) -> Body:
    """As `parse_steps`, without a break: for bodies that are not large."""
    return drained(parse_steps(raw))


def parse_steps(raw: bytes) -> Steps[Body]:
    """Parse a request body that must be one JSON object.

    Raises BadRequest for anything else: no body, other encodings than UTF-8, NaN and Infinity, lone
    surrogates, nesting deeper than `json_walk.MAX_DEPTH`; and for more values than any model
    takes. Of a deciding member that occurs twice only the last is kept.
    """
    if len(raw) > LARGE:
        return (yield from _large(raw))
    try:
        if not raw.isascii():
            raw.decode()
        members = _members(raw)
    except _INVALID:
        raise _refusal(raw) from None
    check_depth(raw)
    shortest = 1 + sum(len(key) + len(memoryview(value)) + 4 for key, value in members.items())
    if members and len(raw) == shortest:
        # No byte is left for a second member of a key, nor for white space.
        return Body(raw, Values(members))
    if raw == b"{%b}" % b", ".join([b'"%b": %b' % (key.encode(), value) for key, value in members.items()]):
        # As Python's `json` writes it, each member once.
        return Body(raw, Values(members))
    places = places_of(raw, members)
    return drained(_walked(raw)) if places is None else Body(raw, Values(members), places)


def _large(raw: bytes) -> Steps[Body]:
    yield from check_bounds(raw)
    try:
        if not raw.isascii():
            yield from check_utf8(raw)
        _validate(raw)
    except _INVALID:
        raise BadRequest(_NOT_VALID) from None
    yield
    if not _OBJECT.match(raw):
        raise BadRequest(_NOT_AN_OBJECT)
    return (yield from _walked(raw))


def _walked(raw: bytes) -> Steps[Body]:
    """A body of valid JSON with its members' places, without deciding members that a later one repeats."""
    long: list[tuple[int, int]] = []
    places = yield from walk(raw, long)
    last = {place.key: place for place in places}
    dropped = [place for place in places if place.key in _DECIDING and last[place.key] is not place]
    if dropped:
        # A later member of the same key follows, so each has a comma behind it.
        raw = splice(raw, [(place.start, raw.index(b",", place.end) + 1, b"") for place in dropped])
        return (yield from _walked(raw))
    view = memoryview(raw)
    members: dict[str, memoryview | LargeValue] = {}
    for key, place in last.items():
        start, end = place.value_start, place.end
        if end - start > LARGE:
            first, behind = bisect_left(long, (start,)), bisect_left(long, (end,))
            members[key] = LargeValue(raw, start, end, tuple(long[first:behind]))
        else:
            members[key] = view[start:end]
    return Body(raw, Values(members), places)


def _refusal(raw: bytes) -> BadRequest:
    """What a body is told that is no JSON object."""
    try:
        _validate(raw)
    except _INVALID:
        return BadRequest(_NOT_VALID)
    return BadRequest(_NOT_AN_OBJECT)
