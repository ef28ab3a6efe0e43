"""What the arguments of a call mean: which deployment, how it is called, and with which body. Pure.

An argument goes before what is assigned on the module, that before the environment; what is empty or None
counts as not given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway.config.additions import checked_headers
from gateway.config.keys import REFUSED, WITHOUT_EFFECT
from gateway.config.problems import Problems
from gateway.exceptions import ConfigurationError
from gateway.protocol.calls import NO_OPTIONS, CallOptions

#: Arguments that say which deployment is called: the keys of an entry's `litellm_params`.
ADDRESSING = frozenset(
    (
        *("api_key", "api_base", "base_url", "api_version", "allow_insecure", "custom_llm_provider"),
        *("azure_ad_token", "azure_ad_token_provider", "tenant_id", "client_id", "client_secret"),
        *("azure_scope", "federated_token_file", "organization"),
        *("base_model", "model_info", "drop_params", "additional_drop_params", "allowed_openai_params"),
    )
)
#: Arguments of one call that do not go into its body.
_OPTIONS = frozenset(
    (
        *("timeout", "request_timeout", "stream_timeout", "num_retries", "max_retries"),
        *("extra_headers", "headers"),
    )
)
#: LiteLLM's own, which it does not send, either, and which do nothing here.
_WITHOUT_EFFECT = frozenset(
    (
        *("api_type", "caching", "cache", "force_timeout", "logger_fn", "verbose", "no-log", "tags"),
        *("litellm_call_id", "litellm_metadata", "litellm_session_id", "litellm_trace_id"),
        *("input_cost_per_token", "output_cost_per_token", "input_cost_per_second", "output_cost_per_second"),
        *("disable_fallbacks", "shared_session"),
        # What an entry of a Router's says, given to a call as it is.
        *("rpm", "tpm", "weight", "order", "max_parallel_requests", "cooldown_time", "region_name"),
    )
)
#: LiteLLM's ways to have a Router fail on purpose.
_MOCKED_FAILURES = (
    "mock_testing_fallbacks",
    "mock_testing_context_fallbacks",
    "mock_testing_content_policy_fallbacks",
    "mock_testing_rate_limit_error",
)
_MOCK = "is not provided: every call goes upstream; replace the function where a test wants another answer"
_FALLBACK = "is no argument of a call: give fallbacks to a Router"
#: LiteLLM's own that would change what a call brings.
_REFUSED = {
    **REFUSED["litellm_params"],
    **dict.fromkeys(("mock_response", "mock_tool_calls", "mock_timeout", *_MOCKED_FAILURES), _MOCK),
    **dict.fromkeys(
        ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "context_window_fallback_dict"),
        _FALLBACK,
    ),
    "client": "is not provided: connections are the library's own; give api_base and a credential",
}

_CREDENTIALS = (
    *("api_key", "azure_ad_token", "azure_ad_token_provider", "client_id", "client_secret"),
    *("tenant_id", "federated_token_file"),
)
_AZURE_KEYS = ("AZURE_OPENAI_API_KEY", "AZURE_API_KEY", "AZURE_AD_TOKEN")
_APPLICATION = {
    "tenant_id": "AZURE_TENANT_ID",
    "client_id": "AZURE_CLIENT_ID",
    "client_secret": "AZURE_CLIENT_SECRET",
}
_BASES = {
    "azure": ("AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT"),
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
}
#: The variables of credentials, by provider.
_SECRETS = {
    "azure": (*_AZURE_KEYS, *_APPLICATION.values(), "AZURE_FEDERATED_TOKEN_FILE"),
    "openai": ("OPENAI_API_KEY",),
}


class Defaults(NamedTuple):
    """What is assigned on the module."""

    api_key: str | None = None
    api_base: str | None = None
    api_version: str | None = None
    drop_params: bool = False


class Arguments(NamedTuple):
    """The arguments of one call, by what they are for."""

    addressing: dict[str, Any]
    options: CallOptions
    #: Fields of the body, `extra_body` among them.
    fields: dict[str, Any]


def read_arguments(given: Mapping[str, Any]) -> Arguments:
    """Tell the arguments of a call apart. Raises ConfigurationError for options that cannot be used."""
    addressing: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or name in _WITHOUT_EFFECT:
            continue
        if name in _REFUSED:
            if value:
                raise ConfigurationError(f"{name}: {_REFUSED[name]}")
            continue
        if name in ADDRESSING:
            # An empty text stands for "not set", as in the environment.
            if value != "":
                addressing[name] = value
        elif name in _OPTIONS:
            options[name] = value
        else:
            fields[name] = value
    if "metadata" in fields and not fields.get("store"):
        # It belongs to what is stored: upstream refuses it otherwise, and scripts give it to LiteLLM's logs.
        del fields["metadata"]
    extra = fields.get("extra_body")
    if extra is not None and not isinstance(extra, Mapping):
        raise ConfigurationError("extra_body: must be a mapping of fields to values")
    if not fields.get("stream"):
        options.pop("stream_timeout", None)
    return Arguments(addressing, _options(options) if options else NO_OPTIONS, fields)


def _options(given: Mapping[str, Any]) -> CallOptions:
    timeout = given.get("stream_timeout", given.get("timeout", given.get("request_timeout")))
    # httpx's Timeout: its `read` is the wait for an answer.
    timeout = getattr(timeout, "read", timeout)
    if timeout is not None and not (_is_number(timeout) and timeout > 0):
        raise ConfigurationError("timeout: must be a number of seconds above 0")
    retries = given.get("num_retries", given.get("max_retries"))
    if retries is not None and not (_is_number(retries) and retries == int(retries) >= 0):
        raise ConfigurationError("num_retries: must be a whole number of at least 0")
    headers = {**_headers(given, "headers"), **_headers(given, "extra_headers")}
    return CallOptions(
        None if timeout is None else float(timeout), None if retries is None else int(retries), headers
    )


def _headers(given: Mapping[str, Any], name: str) -> Mapping[str, str]:
    headers = given.get(name) or {}
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"{name}: must be a mapping of names to values")
    problems = Problems()
    values: dict[str, str] = {}
    for header, value in headers.items():
        if value is None:
            continue
        text = str(value)
        if text != text.strip() or not all(" " <= character <= "~" for character in text):
            problems.add((name, str(header)), "holds characters that no header may carry; remove them")
        values[str(header)] = text
    found = checked_headers(values, (name,), problems)
    if problems:
        raise ConfigurationError("\n".join(problems.sentences()))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def asked_for(router_settings: Mapping[str, Any]) -> dict[str, Any]:
    """What of a Router's settings asks for something: neither None, nor switched off and without effect."""
    idle = {*WITHOUT_EFFECT["router_settings"], *REFUSED["router_settings"]}
    return {
        name: value
        for name, value in router_settings.items()
        if value is not None and (value or name not in idle)
    }


def completed(params: Mapping[str, Any], defaults: Defaults, environ: Mapping[str, str]) -> dict[str, Any]:
    """`litellm_params` with what the module and the environment add, as far as the reader would not find it.

    The reader of configurations knows the keys and tokens of the environment, AZURE_API_BASE and
    AZURE_API_VERSION.
    """
    found = {name: value for name, value in params.items() if value is not None and value != ""}
    azure = _is_azure(found.get("model"), found)
    if "api_base" not in found and "base_url" not in found:
        base = defaults.api_base or _first(environ, _BASES["azure" if azure else "openai"])
        if base:
            found["api_base"] = base
    if azure and defaults.api_version:
        found.setdefault("api_version", defaults.api_version)
    if not any(name in found for name in _CREDENTIALS):
        if defaults.api_key:
            found["api_key"] = defaults.api_key
        elif azure and _first(environ, _AZURE_KEYS) is None:
            application = {name: _first(environ, (variable,)) for name, variable in _APPLICATION.items()}
            if all(application.values()):
                found |= application
    if defaults.drop_params:
        found.setdefault("drop_params", True)
    return found


def variables(model: str, addressing: Mapping[str, Any], defaults: Defaults) -> tuple[str, ...]:
    """The environment variables that a call depends on whose arguments say no more than this."""
    azure = _is_azure(model, addressing)
    kind = "azure" if azure else "openai"
    names: tuple[str, ...] = ()
    if not (defaults.api_base or "api_base" in addressing or "base_url" in addressing):
        names = _BASES[kind]
    if azure and not (defaults.api_version or "api_version" in addressing):
        names += ("AZURE_API_VERSION",)
    if not (defaults.api_key or "api_key" in addressing or "azure_ad_token" in addressing):
        names += _SECRETS[kind]
    return names


def _is_azure(model: object, params: Mapping[str, Any]) -> bool:
    provider = params.get("custom_llm_provider") or (
        model.partition("/")[0] if isinstance(model, str) else ""
    )
    return provider in {"azure", "azure_text"}


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    """The first of these variables that is not empty."""
    return next((text for name in names if (text := environ.get(name, "").strip())), None)
