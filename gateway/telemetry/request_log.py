"""What is recorded of a finished request: one JSON log line. Never a prompt, an answer or a key.

The field names follow OpenTelemetry's GenAI conventions where those have one.
"""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import msgspec

from gateway.quoting import LONGEST
from gateway.telemetry.record import Record

_encode = msgspec.json.Encoder().encode
_encode_escaped = json.JSONEncoder(separators=(",", ":")).encode
_log = logging.getLogger("gateway.request")

#: Status recorded for a caller that left before its answer, as nginx does.
CLIENT_CLOSED_REQUEST = 499
#: Seconds between the lines of requests without a valid key.
REFUSALS_EVERY = 1.0


class Refusals:
    """Counts requests without a valid key, so that a flood of them is one line a second."""

    def __init__(self) -> None:
        self._told = -math.inf
        self._untold = 0

    def count(self, now: float) -> int:
        """How many requests the line of the one that is refused at `now` stands for; 0 for no line."""
        self._untold += 1
        # Requests are not refused in the order in which they began: one that is told may be later than `now`.
        if abs(now - self._told) < REFUSALS_EVERY:
            return 0
        untold, self._untold, self._told = self._untold, 0, now
        return untold


def write(record: Record, now: float) -> None:
    """Write the line of a request that ended at `now` (on the clock of `record.started`)."""
    if record.refusals == 0 or not _log.isEnabledFor(logging.INFO):
        return
    duration = now - record.started
    first_byte = duration if record.first_byte is None else record.first_byte - record.started
    fields: dict[str, Any] = {
        "request_id": record.request_id,
        "gen_ai.operation.name": record.operation,
        "client": record.client,
        "gen_ai.request.model": record.requested_model and record.requested_model[:LONGEST],
        "deployment": record.deployment and record.deployment[:LONGEST],
        "stream": record.stream,
        "status": record.status,
        "error": record.error_code and record.error_code[:LONGEST],
        "gen_ai.usage.input_tokens": record.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": record.usage.completion_tokens,
        "attempts": record.attempts,
        "first_byte_ms": _ms(first_byte),
        "duration_ms": _ms(duration),
        "own_ms": _ms(max(0.0, first_byte - record.waited)),
    }
    if record.refusals is not None and record.refusals > 1:
        fields["refusals"] = record.refusals
    if record.over_limit:
        fields["over_limit"] = True
    # Made by hand: looking for the caller's file and line, which a log line made by `info` carries, and
    # formatting cost more than the line itself.
    _log.handle(logging.LogRecord(_log.name, logging.INFO, "", 0, _line(fields), None, None))


def _line(fields: dict[str, Any]) -> str:
    """`fields` as JSON in printable ASCII: what else a name holds is escaped."""
    try:
        line = _encode(fields)
    except UnicodeEncodeError:
        # Half a character.
        return _encode_escaped(fields)
    return line.decode() if line.isascii() and b"\x7f" not in line else _encode_escaped(fields)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
