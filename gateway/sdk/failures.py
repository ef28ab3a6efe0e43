"""The core's errors and refusals as the exceptions that scripts catch. Pure.

Upstream's own status, headers and text reach the caller: here the caller is the operator.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.errors import (
    BadRequest,
    GatewayError,
    RateLimited,
    UpstreamFailed,
    UpstreamTimeout,
    error_body,
)
from gateway.exceptions import (
    BY_STATUS,
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ContentPolicyViolationError,
    ContextWindowExceededError,
    ErrorResponse,
    InternalServerError,
    UnsupportedParamsError,
)
from gateway.protocol.messages import Reply
from gateway.upstream.credentials import IdentityFailed
from gateway.upstream.verdicts import AttemptFailed

#: What a refusal with status 400 says by its code.
_BY_CODE: Mapping[str, type[BadRequestError]] = {
    "context_length_exceeded": ContextWindowExceededError,
    "content_filter": ContentPolicyViolationError,
    "unsupported_parameter": UnsupportedParamsError,
    "unsupported_value": UnsupportedParamsError,
}


def translated(error: GatewayError) -> APIError:
    """The exception for a call that nobody answered; its cause is what a caller's own function raised."""
    raised = _translated(error)
    # The core's own exceptions say nothing beside it.
    raised.__suppress_context__ = True
    return raised


def _translated(error: GatewayError) -> APIError:
    failure = error.__cause__
    if isinstance(failure, AttemptFailed):
        if failure.reply is not None:
            headers = {**dict(error.headers()), **failure.reply.headers}
            return status_error(failure.reply.status, headers, failure.reply.body)
        if isinstance(failure.__cause__, IdentityFailed):
            raised = AuthenticationError(f"no Entra token: {failure.__cause__.reason}")
            raised.__cause__ = failure.__cause__.__cause__
            return raised
        error.message += _reason(failure)
    body = error_body(error)
    if isinstance(error, RateLimited | BadRequest) or error.status < 500:
        return status_error(error.status, dict(error.headers()), body)
    if isinstance(error, UpstreamTimeout):
        return APITimeoutError(error.message, body=_details(body))
    if isinstance(error, UpstreamFailed):
        kind = BY_STATUS.get(error.status, InternalServerError)
        return kind(error.message, response=ErrorResponse(error.status, {}, body), body=_details(body))
    return APIConnectionError(error.message, body=_details(body))


def _reason(failure: AttemptFailed) -> str:
    """What the network said, if it did: the first of the exceptions, from which the others followed."""
    cause: BaseException = failure
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = str(cause)
    return f" ({text})" if text and cause is not failure else ""


def refusal(reply: Reply) -> APIError:
    """The exception for a call that was answered by a refusal."""
    content = reply.body if isinstance(reply.body, bytes) else b""
    return status_error(reply.status, reply.upstream_headers or dict(reply.headers), content)


def status_error(status: int, headers: Mapping[str, str], content: bytes) -> APIError:
    """The exception for a reply with this status."""
    details = _details(content)
    kind = BY_STATUS.get(status, InternalServerError if status >= 500 else APIStatusError)
    if kind is BadRequestError and isinstance(details, dict):
        kind = _BY_CODE.get(str(details.get("code")), kind)
    message = _message(details) or content.decode(errors="replace") or f"status {status}"
    return kind(message, response=ErrorResponse(status, headers, content), body=details)


def event_error(event: Mapping[str, Any]) -> APIError:
    """The exception for an error within a stream."""
    details = event.get("error", event)
    code = details.get("code") if isinstance(details, dict) else None
    message = _message(details) or "The stream ended in an error."
    if code == UpstreamTimeout.default_code:
        return APITimeoutError(message, body=details)
    if code == UpstreamFailed.default_code:
        return APIConnectionError(message, body=details)
    return APIError(message, body=details)


def broken_off() -> APIError:
    """The exception for a reply without a form for errors that broke off."""
    return APIConnectionError("The answer broke off before its end.")


def _details(content: bytes) -> object:
    """The error object in a reply's body; the body's whole value where it has another shape."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value.get("error", value) if isinstance(value, dict) else value


def _message(details: object) -> str | None:
    if isinstance(details, str):
        return details
    message = details.get("message") if isinstance(details, dict) else None
    return message if isinstance(message, str) else None
