"""Refusals and error events of upstream, in the one shape that every client reads. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from gateway.errors import BadRequest, GatewayError, RateLimited, error_body
from gateway.limits.tokens.signals import COOLDOWN_UNKNOWN

#: Wrong fields of which an error tells.
_MOST_FIELDS = 5

REFUSED = "The model's upstream service refused the request."


def too_many(sentence: str | None) -> GatewayError:
    """A 429 that upstream words as `sentence`."""
    return RateLimited(sentence or REFUSED, retry_after=COOLDOWN_UNKNOWN)


def in_openais_shape(body: bytes, otherwise: Callable[[str | None], GatewayError] = BadRequest) -> bytes:
    """`body` where it is an error in OpenAI's shape, byte for byte; else such an error with its sentence.

    Clients find the message in that shape only. An error of another shape is what `otherwise` makes of it.
    """
    values = json_object(body)
    error = values.get("error")
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return body
    return error_body(otherwise(_sentence(values) or (REFUSED if otherwise is BadRequest else None)))


def error_details(values: dict[str, Any]) -> dict[str, Any]:
    """The members that describe an error: those of `error`, or the object's own."""
    error = values.get("error")
    return error if isinstance(error, dict) else values


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; empty where there is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _sentence(values: dict[str, Any]) -> str | None:
    """The sentence in an error of another shape."""
    errors = values.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    inner = first.get("message") if isinstance(first, dict) else first
    sentences = (*(values.get(key) for key in ("message", "detail", "error", "title", "msg")), inner)
    return next((each for each in sentences if isinstance(each, str)), None) or _fields(values.get("detail"))


def _fields(detail: Any) -> str | None:
    """What FastAPI says of each wrong field."""
    found = [each for each in detail if isinstance(each, dict)] if isinstance(detail, list) else []
    named = [(each.get("loc"), each["msg"]) for each in found if isinstance(each.get("msg"), str)]
    return "; ".join(f"{_place(place)}{text}" for place, text in named[:_MOST_FIELDS]) or None


def _place(place: Any) -> str:
    return f"{'.'.join(map(str, place))}: " if isinstance(place, list) else ""
