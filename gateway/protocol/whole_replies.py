"""What must be there for a JSON reply under a 200 to be an answer. Pure.

A reply is read to its end as strict JSON, but only the members that decide are built.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

#: What some servers write before UTF-8. Most JSON parsers of clients fail on it.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_NULL = msgspec.Raw(b"null")
#: Values of `error` that say that there is none.
_NO_ERROR = {b"null", b"false", b"{}", b'""', b"[]"}


class _Member(msgspec.Struct):
    """Any JSON object; its members are checked and skipped."""


class _Choices(msgspec.Struct):
    choices: list[_Member]
    error: msgspec.Raw = _NULL


class _ReplyData(msgspec.Struct):
    data: list[_Member]
    error: msgspec.Raw = _NULL


class _Results(msgspec.Struct):
    results: list[_Member]
    error: msgspec.Raw = _NULL


_choices = msgspec.json.Decoder(_Choices)
_data = msgspec.json.Decoder(_ReplyData)
_results = msgspec.json.Decoder(_Results)
_value = msgspec.json.Decoder().decode


def has_choices(body: bytes) -> bool:
    """Whether `body` is an object with choices, at least one.

    Without any it is no answer: an agent would take it for a turn and ask again, up to ten times.
    """
    reply = _read(_choices, body)
    return reply is not None and bool(reply.choices)


def has_data(body: bytes) -> bool:
    """Whether `body` is an object with a list of data."""
    return _read(_data, body) is not None


def has_results(body: bytes) -> bool:
    """Whether `body` is an object with a list of results."""
    return _read(_results, body) is not None


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


def _read(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """The members that decide; None for what is no JSON, no such object, or an error."""
    try:
        # Strings that are skipped are not checked for UTF-8 by the decoder.
        if not body.isascii():
            body.decode()
        reply = decoder.decode(body.removeprefix(BYTE_ORDER_MARK))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if reports_error(reply.error) else reply
