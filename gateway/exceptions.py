"""What the Python API raises: the names and bases of openai-python, and those of LiteLLM that scripts catch.

    OpenAIError
    * APIError                           upstream, or the way to it, brought no answer
      x APIStatusError                   upstream's own status and text
        + BadRequestError                400
          - UnsupportedParamsError       a parameter that the model does not take
          - ContextWindowExceededError   a prompt that is too long
          - ContentPolicyViolationError  a prompt that the content filter blocked
          - ConfigurationError           arguments or a configuration that cannot be used; no call was made
        + AuthenticationError            401, or no token could be had
        + PermissionDeniedError          403
        + NotFoundError                  404
        + ConflictError                  409
        + UnprocessableEntityError       422
        + RateLimitError                 429
        + InternalServerError            500 and above; ServiceUnavailableError, BadGatewayError
      x APIConnectionError               no whole reply
        + APITimeoutError, Timeout       not in time

This module imports nothing of ours and does no I/O.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


class HeaderMap(dict[str, str]):
    """Headers by name, in whatever case."""

    def __init__(self, headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        super().__init__({name.lower(): value for name, value in dict(headers).items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a header, `default` where it is absent."""
        return super().get(name.lower(), default)


class ErrorResponse:
    """The reply behind an error: `status_code`, `headers`, and the body as `text`, `content` or `json()`."""

    def __init__(
        self, status_code: int, headers: Mapping[str, str] | None = None, content: bytes = b""
    ) -> None:
        self.status_code = status_code
        self.headers = HeaderMap(headers or {})
        self.content = content

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """The body's JSON value. Raises ValueError."""
        return json.loads(self.content)

    def __repr__(self) -> str:
        return f"<ErrorResponse [{self.status_code}]>"


class OpenAIError(Exception):
    """Base of all that the Python API raises."""


class APIError(OpenAIError):
    """No answer. `body` is the error object of the reply, if any; `code`, `param` and `type` are its own."""

    #: The status of the class; an instance has that of its reply.
    status_code: int | None = None

    def __init__(
        self,
        message: str = "",
        llm_provider: str | None = None,
        model: str | None = None,
        *,
        response: ErrorResponse | None = None,
        body: object | None = None,
        **more: Any,
    ) -> None:
        """`llm_provider`, `model` and `more` become attributes: scripts' own tests raise errors with them."""
        super().__init__(message)
        self.llm_provider = llm_provider
        self.model = model
        self.message = message
        self.response: Any = response
        self.body = body
        fields = body if isinstance(body, Mapping) else {}
        self.code: Any = fields.get("code")
        self.param: Any = fields.get("param")
        self.type: Any = fields.get("type")
        if response is not None:
            self.status_code = response.status_code
        self.more = more
        vars(self).update(more)

    @property
    def request_id(self) -> str | None:
        """The id that upstream gave the request."""
        headers = {} if self.response is None else self.response.headers
        found: str | None = headers.get("x-request-id") or headers.get("apim-request-id")
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        more = {"llm_provider": self.llm_provider, "model": self.model, **self.more}
        return _rebuilt, (type(self), self.message, self.response, self.body, more)


class APIStatusError(APIError):
    """Upstream refused, or failed, with a status of its own."""


class BadRequestError(APIStatusError):
    """400: the request is wrong."""

    status_code = 400


class UnsupportedParamsError(BadRequestError):
    """A parameter that the model does not take; `drop_params` leaves it out."""


class ContextWindowExceededError(BadRequestError):
    """The prompt is longer than the model's context."""


class ContentPolicyViolationError(BadRequestError):
    """The content filter blocked the prompt."""


class ConfigurationError(BadRequestError, ValueError):
    """Arguments, or a Router's configuration, cannot be used; no call was made. The text names each path."""


class AuthenticationError(APIStatusError):
    """401, or no token could be had for the identity that was to be used."""

    status_code = 401


class PermissionDeniedError(APIStatusError):
    """403."""

    status_code = 403


class NotFoundError(APIStatusError):
    """404: no such deployment or model."""

    status_code = 404


class ConflictError(APIStatusError):
    """409."""

    status_code = 409


class UnprocessableEntityError(APIStatusError):
    """422."""

    status_code = 422


class RateLimitError(APIStatusError):
    """429: upstream's limit, or a Router's own; `response.headers` tell when to come again."""

    status_code = 429


class InternalServerError(APIStatusError):
    """500 and above."""

    status_code = 500


class APIConnectionError(APIError):
    """No connection, or one that broke before the answer was whole."""

    status_code = 500


class APITimeoutError(APIConnectionError):
    """The answer did not come in time."""

    status_code = 408


#: LiteLLM's names.
Timeout = APITimeoutError
BadGatewayError = ServiceUnavailableError = InternalServerError

#: The class of each status. What is not here is an APIStatusError.
BY_STATUS: Mapping[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: APITimeoutError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


def _rebuilt(
    kind: type[APIError], message: str, response: ErrorResponse | None, body: object, more: dict[str, Any]
) -> APIError:
    """An error that was pickled."""
    return kind(message, response=response, body=body, **more)
