"""Replies and their headers, all made here; `ending.py` adds the request's id."""

from __future__ import annotations

from gateway.errors import GatewayError, RateLimited, error_body, retry_headers
from gateway.limits.tokens.signals import COOLDOWN_UNKNOWN
from gateway.protocol.messages import Headers, Reply, Stream
from gateway.upstream.answers import BytesAnswer, WholeAnswer

_JSON = ("content-type", "application/json")
_EVENTS = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    # Proxies of nginx's kind would collect the events.
    ("x-accel-buffering", "no"),
]


def json_reply(body: bytes) -> Reply:
    """An answer of the gateway's own."""
    return Reply(200, [_JSON], body)


def error_reply(error: GatewayError) -> Reply:
    """An error in OpenAI's shape."""
    return Reply(error.status, [_JSON, *error.headers()], error_body(error))


def whole_reply(answer: WholeAnswer, limits: Headers) -> Reply:
    """Upstream's reply as it came."""
    # A 429 that is passed on has named no wait, or it would be one of a limit.
    wait = retry_headers(COOLDOWN_UNKNOWN) if answer.status == RateLimited.status else []
    headers = [*_content_type(answer.content_type), *wait, *limits]
    return Reply(answer.status, headers, answer.body, upstream_headers=answer.headers)


def bytes_reply(answer: BytesAnswer, body: Stream, limits: Headers) -> Reply:
    """Upstream's body, copied as it comes."""
    length = [] if answer.length is None else [("content-length", answer.length)]
    return Reply(answer.status, [*_content_type(answer.content_type), *length, *limits], body)


def events_reply(body: Stream, limits: Headers, seconds: float) -> Reply:
    """A stream of events, with a keep-alive after so many seconds of silence."""
    return Reply(200, [*_EVENTS, *limits], body, seconds)


def _content_type(value: str | None) -> Headers:
    return [] if value is None else [("content-type", value)]
