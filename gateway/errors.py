"""Every way in which a request can end badly, and the one writer of OpenAI's error shape.

    GatewayError                  status  code                       type
    * BadRequest                  400     (given per case)           invalid_request_error
    * Unauthorized                401     invalid_api_key or none    invalid_request_error
    * Forbidden                   403     permission_denied          invalid_request_error
    * NotFound                    404     unknown_url                invalid_request_error
      x ModelNotFound             404     model_not_found            invalid_request_error
    * MethodNotAllowed            405     method_not_allowed         invalid_request_error
    * UploadTimeout               408     request_timeout            invalid_request_error
    * PayloadTooLarge             413     request_too_large          invalid_request_error
    * UnsupportedMediaType        415     unsupported_media_type     invalid_request_error
    * RateLimited                 429     rate_limit_exceeded        requests
      x TokenRateLimited          429     rate_limit_exceeded        tokens
    * InternalError               500     internal_error             server_error
    * UpstreamFailed              502     upstream_error             server_error
    * NotReady                    503     gateway_not_ready          server_error
    * Overloaded                  503     gateway_overloaded         server_error
    * IdentityUnavailable         503     identity_unavailable       server_error
    * UpstreamUnavailable         503     upstream_unavailable       server_error
    * UpstreamTimeout             504     upstream_timeout           server_error

The caller's own mistakes say what to fix. Ours and the upstream's carry a fixed sentence, because
anything else would name deployments, hosts, paths or credentials of the operator.
This module imports nothing of ours and does no I/O.
"""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar

#: Longest and shortest Retry-After that a client is ever told, in seconds: openai-python 1.x obeys
#: no more than 60, and a zero means "at once" to some clients and "backoff" to others.
RETRY_AFTER_MIN = 1
RETRY_AFTER_MAX = 60

# Made once: `json.dumps` makes an encoder each time that it is given separators.
_encode = json.JSONEncoder(separators=(",", ":")).encode


class GatewayError(Exception):
    """Base of all errors that end a request; `status`, `code` and `type` belong to the class."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str | None] = None
    default_message: ClassVar[str] = "The gateway could not answer this request."

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """`retry_after` is in seconds; it reaches the client as both retry headers."""
        self.message = message or self.default_message
        self.code = code or self.default_code
        self.param = param
        self.retry_after = retry_after
        super().__init__(self.message)

    def headers(self) -> list[tuple[str, str]]:
        """Response headers that belong to this error."""
        return [] if self.retry_after is None else retry_headers(self.retry_after)


class BadRequest(GatewayError):
    """The caller's body or parameters are wrong; the message says which and why."""

    status = 400
    type = "invalid_request_error"


class Unauthorized(GatewayError):
    """No key, or not one of ours."""

    status = 401
    type = "invalid_request_error"


class Forbidden(GatewayError):
    """A caller that is known, but may not do this."""

    status = 403
    type = "invalid_request_error"
    default_code = "permission_denied"


class NotFound(GatewayError):
    """No such route."""

    status = 404
    type = "invalid_request_error"
    default_code = "unknown_url"


class ModelNotFound(NotFound):
    """No model of that name (or not for this caller: the answers are alike)."""

    default_code = "model_not_found"


class MethodNotAllowed(GatewayError):
    """The route exists, the method does not; `allow` lists those that do."""

    status = 405
    type = "invalid_request_error"
    default_code = "method_not_allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        """`allow` is the value of the Allow header, for example "POST"."""
        super().__init__(message)
        self.allow = allow

    def headers(self) -> list[tuple[str, str]]:
        """The Allow header that RFC 9110 section 15.5.6 asks for."""
        return [("allow", self.allow)]


class UploadTimeout(GatewayError):
    """The caller stopped sending in the middle of its body."""

    status = 408
    type = "invalid_request_error"
    default_code = "request_timeout"
    default_message = "The request's body did not arrive in time."


class PayloadTooLarge(GatewayError):
    """The body exceeds the limit for one request."""

    status = 413
    type = "invalid_request_error"
    default_code = "request_too_large"


class UnsupportedMediaType(GatewayError):
    """A content type or content encoding that the operation does not take."""

    status = 415
    type = "invalid_request_error"
    default_code = "unsupported_media_type"


class RateLimited(GatewayError):
    """Every deployment of the model is at its limit; always carries the retry headers."""

    status = 429
    type = "requests"
    default_code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after: float, retryable: bool = True) -> None:
        """`retryable` False: the same request will not pass later either."""
        super().__init__(message, retry_after=retry_after)
        self.retryable = retryable
        #: The x-ratelimit headers, attached where the limits are known.
        self.limits: list[tuple[str, str]] = []

    def headers(self) -> list[tuple[str, str]]:
        """Both retry headers, x-should-retry for clients that would come again in vain, and the limits."""
        final = [] if self.retryable else [("x-should-retry", "false")]
        return [*super().headers(), *final, *self.limits]


class TokenRateLimited(RateLimited):
    """As RateLimited, where it is tokens that ran out."""

    type = "tokens"


class InternalError(GatewayError):
    """A defect of ours. The text is fixed; the log has the rest."""

    default_code = "internal_error"
    default_message = "The gateway failed to process the request. Quote the request id to its operator."


class UpstreamFailed(GatewayError):
    """The deployments answered, but with failures that are not the caller's."""

    status = 502
    default_code = "upstream_error"
    default_message = "The model's upstream service failed to answer the request."


class NotReady(GatewayError):
    """No valid configuration is loaded."""

    status = 503
    default_code = "gateway_not_ready"
    default_message = "The gateway has no valid configuration yet. Its log lists the problems."


class Overloaded(GatewayError):
    """The instance holds as many request bytes as it may."""

    status = 503
    default_code = "gateway_overloaded"
    default_message = "The gateway holds too many large requests at the moment. Please retry shortly."


class IdentityUnavailable(GatewayError):
    """A token cannot be checked: the keys of its tenant could not be had yet."""

    status = 503
    default_code = "identity_unavailable"
    default_message = "The gateway cannot verify tokens at the moment. Please retry shortly."


class UpstreamUnavailable(GatewayError):
    """No deployment could be reached, or all said that they are unavailable."""

    status = 503
    default_code = "upstream_unavailable"
    default_message = "The model's upstream service is not available at the moment."


class UpstreamTimeout(GatewayError):
    """No deployment answered in time."""

    status = 504
    default_code = "upstream_timeout"
    default_message = "The model's upstream service did not answer in time. Long answers should be streamed."


def error_body(error: GatewayError) -> bytes:
    """OpenAI's error object with all four keys, as JSON bytes."""
    inner: dict[str, Any] = {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
    return _encode({"error": inner}).encode()


def retry_seconds(seconds: float | None) -> int:
    """What a client is told of a wait: whole seconds, 1 to 60, not less than `seconds` up to there."""
    if seconds is None or not seconds > RETRY_AFTER_MIN:
        return RETRY_AFTER_MIN
    return math.ceil(min(seconds, RETRY_AFTER_MAX))


def retry_headers(seconds: float) -> list[tuple[str, str]]:
    """`retry-after` and `retry-after-ms` that agree, whole seconds between 1 and 60.

    Clients differ in which of the two they read and in what they make of zero or of values above a
    minute, so both are sent, equal and within the range that all of them obey.
    """
    whole = retry_seconds(seconds)
    return [("retry-after", str(whole)), ("retry-after-ms", str(whole * 1000))]
