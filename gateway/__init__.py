"""An OpenAI-compatible gateway in front of Azure OpenAI, and its core as a library.

    import gateway as litellm
    litellm.completion(model="azure/my-deployment", messages=[...])

The names below are the Python API (docs/python-api.md); they are loaded when they are first asked for, so
that neither the server nor the library pays for the other.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway import exceptions
    from gateway.exceptions import (
        APIConnectionError,
        APIError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadGatewayError,
        BadRequestError,
        ConfigurationError,
        ConflictError,
        ContentPolicyViolationError,
        ContextWindowExceededError,
        InternalServerError,
        NotFoundError,
        OpenAIError,
        PermissionDeniedError,
        RateLimitError,
        ServiceUnavailableError,
        Timeout,
        UnprocessableEntityError,
        UnsupportedParamsError,
    )
    from gateway.sdk.functions import (
        acompletion,
        aembedding,
        aspeech,
        atext_completion,
        completion,
        embedding,
        speech,
        text_completion,
    )
    from gateway.sdk.router import Router

__version__ = "0.1.0"

#: For all calls that say nothing else; an argument goes before these, these before the environment.
api_key: str | None = None
api_base: str | None = None
api_version: str | None = None
drop_params: bool = False
#: Taken for LiteLLM's sake: nothing has to be switched on for newer models, and `logging` shows what is done.
enable_preview_features: bool = False
set_verbose: bool = False

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadGatewayError",
    "BadRequestError",
    "ConfigurationError",
    "ConflictError",
    "ContentPolicyViolationError",
    "ContextWindowExceededError",
    "InternalServerError",
    "NotFoundError",
    "OpenAIError",
    "PermissionDeniedError",
    "RateLimitError",
    "Router",
    "ServiceUnavailableError",
    "Timeout",
    "UnprocessableEntityError",
    "UnsupportedParamsError",
    "acompletion",
    "aembedding",
    "aspeech",
    "atext_completion",
    "completion",
    "embedding",
    "exceptions",
    "speech",
    "text_completion",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        said = "" if name.startswith("__") else ": of LiteLLM's names it has those in docs/python-api.md"
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{said}")
    if name == "exceptions":
        return importlib.import_module("gateway.exceptions")
    if name == "Router":
        home = "gateway.sdk.router"
    else:
        home = "gateway.exceptions" if name[0].isupper() else "gateway.sdk.functions"
    value = globals()[name] = getattr(importlib.import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
