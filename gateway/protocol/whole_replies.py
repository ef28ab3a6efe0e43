"""What must be there for a JSON reply under a 200 to be an answer. Pure.

A reply is read to its end as strict JSON, but only the members that decide are built.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from gateway.protocol.json_walk import LARGE

#: What some servers write before UTF-8. Most JSON parsers of clients fail on it.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_NULL = msgspec.Raw(b"null")
#: Values of `error` that say that there is none.
_NO_ERROR = {b"null", b"false", b"{}", b'""', b"[]"}


class _Member(msgspec.Struct):
    """Any JSON object; its members are checked and skipped."""


class _Reply(msgspec.Struct):
    choices: msgspec.Raw = _NULL
    data: msgspec.Raw = _NULL
    results: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


_reply = msgspec.json.Decoder(_Reply)
_list = msgspec.json.Decoder(list[_Member])
_member = msgspec.json.Decoder(_Member)
_value = msgspec.json.Decoder().decode
_FIRST_OBJECT = re.compile(rb"\[[ \t\r\n]*+\{")
_MEMBERS = re.compile(rb'[ \t\r\n]*+\{[ \t\r\n]*+"')
_INVALID = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def has_choices(body: bytes) -> bool:
    """Whether `body` is an object with choices, at least one.

    Without any it is no answer: an agent would take it for a turn and ask again, up to ten times.
    """
    reply = _read(body)
    return reply is not None and _objects(reply.choices) is True


def has_data(body: bytes) -> bool:
    """Whether `body` is an object with a list of data."""
    reply = _read(body)
    return reply is not None and _objects(reply.data) is not None


def has_results(body: bytes) -> bool:
    """Whether `body` is an object with a list of results."""
    reply = _read(body)
    return reply is not None and _objects(reply.results) is not None


def holds_members(data: bytes) -> bool:
    """Whether `data` is a JSON object that is not empty."""
    try:
        data.decode()
        _member.decode(data)
    except _INVALID:
        return False
    return _MEMBERS.match(data) is not None


def value_of(body: bytes) -> Any:
    """The value of an answer's JSON. Raises ValueError for what is none."""
    try:
        return _value(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Numbers beyond any computer's, and halves of characters: others read them.
        return json.loads(body)


def reports_error(error: msgspec.Raw) -> bool:
    """Whether the value of a reply's `error` says that there is one."""
    return bytes(error) not in _NO_ERROR


def _objects(value: msgspec.Raw) -> bool | None:
    """Whether a list of objects has any; None for what is no such list."""
    data = bytes(value)
    if len(data) > LARGE:
        # Each would become an object.
        return True if _FIRST_OBJECT.match(data) else None
    try:
        return bool(_list.decode(data))
    except _INVALID:
        return None


def _read(body: bytes) -> _Reply | None:
    """The members that decide; None for what is no JSON, no such object, or an error."""
    try:
        # Strings that are skipped are not checked for UTF-8 by the decoder.
        if not body.isascii():
            body.decode()
        reply = _reply.decode(body.removeprefix(BYTE_ORDER_MARK))
    except _INVALID:
        return None
    return None if reports_error(reply.error) else reply
