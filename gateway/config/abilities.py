"""What is known of the model behind a member, from its base model and what `model_info` says of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gateway.config.deployment import Provider
from gateway.config.providers import series_of
from gateway.config.sections import Info, Params
from gateway.protocol.capabilities import (
    COMPLETES_TEXTS,
    ORDINARY,
    REASONING,
    SERIES,
    Capabilities,
    capabilities_of,
    namesake,
)


def read_capabilities(params: Params, info: Info, provider: Provider) -> Capabilities | None:
    """What the member's model takes; None where nothing is known, or nothing differs from most models.

    `base_model` decides (`model_info` before `litellm_params`), else the series before the deployment's name.
    With either of them what `model_info` says of the model counts, too. The name of a deployment never does.
    """
    if provider == "azure_text":
        return COMPLETES_TEXTS
    known = _named(info.base_model, params.base_model) or _of_series(params, provider)
    if known is None:
        # Whatever the model is: that it cannot stream is asked of nothing but its streams.
        known = replace(ORDINARY, streams=False) if info.supports_native_streaming is False else ORDINARY
    else:
        known = _as_described(known, info)
    allowed = frozenset(params.allowed_openai_params or ())
    refused = {name: value for name, value in known.refused.items() if name not in allowed}
    known = replace(known, refused=refused, doubtful=known.doubtful - allowed)
    return None if known == ORDINARY else known


def _named(*names: Any) -> Capabilities | None:
    """What is known of the first of `names` that is one; an unknown model is taken for an ordinary one."""
    for name in names:
        if isinstance(name, str) and name.strip():
            return capabilities_of(name) or ORDINARY
    return None


def _of_series(params: Params, provider: Provider) -> Capabilities | None:
    series = series_of(params.model or "") if provider == "azure" else None
    return None if series is None else SERIES[series]


def _as_described(known: Capabilities, info: Info) -> Capabilities:
    """`known` with what `model_info` says instead; values of other types say nothing, as at LiteLLM."""
    if info.supports_reasoning is True and not known.renames_max_tokens:
        known = REASONING
    elif info.supports_reasoning is False and known.renames_max_tokens:
        known = replace(ORDINARY, streams=known.streams)
    if isinstance(info.supports_system_messages, bool):
        known = replace(known, system_messages=info.supports_system_messages)
    if isinstance(info.supports_native_streaming, bool):
        known = replace(known, streams=info.supports_native_streaming)
    return known


def is_called_after_another(params: Params, info: Info, name: str) -> bool:
    """Tell whether a member without a base model is called after one that takes other bodies than most."""
    if any(isinstance(each, str) and each.strip() for each in (info.base_model, params.base_model)):
        return False
    called = namesake(name)
    return called is not None and (capabilities_of(called) or ORDINARY) != ORDINARY


def as_known(
    fields: Mapping[str, Any], capabilities: Capabilities | None
) -> tuple[dict[str, Any], list[str]]:
    """Fields that the configuration adds to bodies, as the model takes them; and those that it refuses.

    A bound on the answer gets the name that the model knows.
    """
    if capabilities is None:
        return dict(fields), []
    names = ("max_tokens", "max_completion_tokens")
    old, new = names if capabilities.renames_max_tokens else names[::-1]
    known = dict(fields)
    if (capabilities.renames_max_tokens or capabilities.completes_texts) and old in known:
        bound = known.pop(old)
        known.setdefault(new, bound)
    refused = [name for name, value in known.items() if not capabilities.takes(name, value)]
    return {name: value for name, value in known.items() if name not in refused}, refused
