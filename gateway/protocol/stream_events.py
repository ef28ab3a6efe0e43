"""What one event of a stream is: a part of an answer, its end, a failure, or nothing to a client. Pure."""

from __future__ import annotations

import re
from enum import Enum, auto

import msgspec

from gateway.protocol.json_walk import is_wide
from gateway.protocol.sse import event_data
from gateway.protocol.whole_replies import reports_error

_NULL = msgspec.Raw(b"null")
_PING = re.compile(rb"^event:\s*(?:ping|heartbeat|keep-?alive)\s*$", re.MULTILINE)
_ERROR = re.compile(rb"^event:\s*error\s*$", re.MULTILINE)


class EventKind(Enum):
    """What an event is to whoever waits for an answer."""

    #: A blank line, a comment, a ping, `retry:` or `id:` alone, or empty data.
    NOTHING = auto()
    #: Data that neither answers nor fails, such as Azure's `prompt_filter_results`.
    ASIDE = auto()
    ANSWER = auto()
    FAILURE = auto()
    #: `[DONE]`.
    DONE = auto()


class _Choice(msgspec.Struct):
    delta: msgspec.Raw = _NULL
    text: msgspec.Raw = _NULL
    finish_reason: msgspec.Raw = _NULL


class _EventData(msgspec.Struct):
    choices: msgspec.Raw = _NULL
    type: msgspec.Raw = _NULL
    object: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL
    message: msgspec.Raw = _NULL
    detail: msgspec.Raw = _NULL
    status: msgspec.Raw = msgspec.field(default=_NULL, name="statusCode")


_data = msgspec.json.Decoder(_EventData)
_choices = msgspec.json.Decoder(list[_Choice])


def kind_of(event: bytes, answer_type: bytes | None) -> EventKind:
    """What `event` is. An answer has choices, or a `type` that begins with `answer_type` if one is given."""
    if event.isspace():
        return EventKind.NOTHING
    data = event_data(event).strip()
    if not data:
        return EventKind.NOTHING
    if data.startswith(b"[DONE]"):
        return EventKind.DONE
    named_error = b"event:" in event and _ERROR.search(event) is not None
    try:
        values = _data.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        failed = data.startswith(b"{") and b'"error"' in data[:64]
        return EventKind.FAILURE if failed or named_error else EventKind.ASIDE
    type_ = bytes(values.type)
    if reports_error(values.error) or b'"error"' in (type_, bytes(values.object)) or named_error:
        return EventKind.FAILURE
    if answer_type is not None and type_.startswith(b'"' + answer_type):
        return EventKind.ANSWER
    choices = bytes(values.choices)
    if answer_type is None and choices.startswith(b"["):
        return EventKind.ANSWER if is_wide(choices) or _answers(choices) else EventKind.ASIDE
    if type_ == b'"ping"' or (b"event:" in event and _PING.search(event)):
        return EventKind.NOTHING
    told = (values.message, values.detail, values.status)
    return EventKind.FAILURE if any(bytes(value) != b"null" for value in told) else EventKind.ASIDE


def _answers(choices: bytes) -> bool:
    """Whether one of `choices` says something or ends. Chunks of Azure's asynchronous filter do not."""
    try:
        read = _choices.decode(choices)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return any(
        bytes(value) != b"null"
        for choice in read
        for value in (choice.delta, choice.text, choice.finish_reason)
    )
