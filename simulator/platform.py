"""The errors and headers of OpenAI's own platform."""

from __future__ import annotations

import math
from typing import Literal

from simulator.model_errors import model_error
from simulator.reply import Refusal, compact


def missing_key() -> Refusal:
    """No Authorization header."""
    return model_error(
        "You didn't provide an API key. You need to provide your API key in an Authorization header using "
        "Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) "
        "if you're accessing the API from your browser and are prompted for a username and password. You can "
        "obtain an API key from https://platform.openai.com/account/api-keys.",
        status=401,
    )


def wrong_key(key: str) -> Refusal:
    """A key that is not ours; the answer shows its ends."""
    return model_error(
        f"Incorrect API key provided: {key[:5]}***{key[-2:]}. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
        status=401,
    )


def unknown_url(method: str, path: str) -> Refusal:
    """No such route."""
    return model_error(f"Invalid URL ({method} {path})", status=404)


def model_not_found(model: str) -> Refusal:
    """No such model, or not for this account."""
    return model_error(
        f"The model `{model}` does not exist or you do not have access to it.",
        code="model_not_found",
        status=404,
    )


def wrong_operation(model: str, path: str) -> Refusal:
    """The model exists and cannot do this (the text is assumed)."""
    return model_error(f"The model `{model}` cannot be used with {path}.", param="model", status=404)


def limited(
    what: Literal["token", "call"], model: str, *, limit: int, used: int, requested: int, wait_s: float
) -> Refusal:
    """A limit per minute is reached; carries both retry headers."""
    kind, unit = (
        ("tokens", "tokens per min (TPM)") if what == "token" else ("requests", "requests per min (RPM)")
    )
    inner = {
        "message": f"Rate limit reached for {model} in organization org-x on {unit}: Limit {limit}, "
        f"Used {used}, Requested {requested}. Please try again in {go_duration(wait_s)}.",
        "type": kind,
        "param": None,
        "code": "rate_limit_exceeded",
    }
    milliseconds = max(1, math.ceil(wait_s * 1000))
    return Refusal(
        429,
        compact({"error": inner}),
        code="rate_limit_exceeded",
        headers=[("retry-after", str(-(-milliseconds // 1000))), ("retry-after-ms", str(milliseconds))],
    )


def quota_exhausted() -> Refusal:
    """No credit left; waiting does not help."""
    inner = {
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
    return Refusal(429, compact({"error": inner}), code="insufficient_quota")


def go_duration(seconds: float) -> str:
    """A duration as Go prints it: `120ms`, `2s`, `51.189s`, `1m2s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    text = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{int(minutes)}m{text}" if minutes else text
