"""Errors in OpenAI's shape, as the model's own side of Azure and OpenAI's platform write them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from simulator.reply import Refusal, compact


def model_error(
    message: str, *, code: str | None = None, param: str | None = None, status: int = 400
) -> Refusal:
    """An error in OpenAI's shape, as the model's own side writes it."""
    inner = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Refusal(
        status,
        compact({"error": inner}),
        code=code,
        reason="model_error" if code == "context_length_exceeded" else None,
    )


def not_json() -> Refusal:
    """The body is no JSON object."""
    return model_error(
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your "
        "HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid "
        "JSON. If you have trouble figuring out how to fix this, please contact us through our help center "
        "at help.openai.com.)"
    )


def missing_model() -> Refusal:
    """No `model` where the body must name it."""
    return model_error("you must provide a model parameter")


def missing(name: str) -> Refusal:
    """A parameter that must be there is not."""
    return model_error(
        f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name
    )


def empty_array(name: str) -> Refusal:
    """An array without elements."""
    return model_error(
        f"Invalid '{name}': empty array. Expected an array with minimum length 1, but got an empty array "
        "instead.",
        code="empty_array",
        param=name,
    )


def invalid_type(name: str, expected: str, value: Any) -> Refusal:
    """A value of another type."""
    return model_error(
        f"Invalid type for '{name}': expected {expected}, but got {type_name(value)} instead.",
        code="invalid_type",
        param=name,
    )


def invalid_value(name: str, value: Any, supported: Collection[str]) -> Refusal:
    """A value that is not in the list."""
    names = ", ".join(f"'{item}'" for item in supported)
    return model_error(
        f"Invalid value: '{value}'. Supported values are: {names}.", code="invalid_value", param=name
    )


def unsupported_value(name: str, value: str, hint: str) -> Refusal:
    """A value that this model does not take."""
    return model_error(
        f"Unsupported value: '{name}' does not support {value} with this model. {hint}",
        code="unsupported_value",
        param=name,
    )


def context_length(limit: int, tokens: int) -> Refusal:
    """The prompt is longer than the model can read."""
    return model_error(
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in {tokens} "
        "tokens. Please reduce the length of the messages.",
        code="context_length_exceeded",
        param="messages",
    )


def type_name(value: Any) -> str:
    """A JSON value's type as OpenAI's messages call it."""
    names = {
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a decimal",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "null")
