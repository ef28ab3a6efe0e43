"""What LiteLLM's entries leave to the names of their deployments, written out. Pure."""

from __future__ import annotations

from typing import Any

from gateway.config.patterns import STAR
from gateway.config.providers import series_of
from gateway.protocol.capabilities import ORDINARY, SERIES, capabilities_of, namesake


def name_model(entry: dict[str, Any], params: dict[str, Any]) -> list[str]:
    """Say which model is behind an entry's deployment that is called after one: LiteLLM goes by the name.

    Request defaults that the model refuses go: without `drop_params` each call would fail at LiteLLM.
    `params` are the entry's `litellm_params`. Returns what was changed, in words.
    """
    model, info = params.get("model"), entry.get("model_info") or {}
    if not isinstance(model, str) or not isinstance(info, dict) or STAR in model:
        return []
    changes: list[str] = []
    series = series_of(model)
    named = info.get("base_model") or params.get("base_model")
    called = named if isinstance(named, str) else namesake(model)
    known = (SERIES[series] if series else capabilities_of(called or "")) or ORDINARY
    if not named and not series and known != ORDINARY:
        entry["model_info"] = {**info, "base_model": called}
        changes.append(
            f"model: by its name LiteLLM takes it for {called}, so base_model says so; correct it if not"
        )
    extra = params.get("extra_body")
    for fields in (params, extra if isinstance(extra, dict) else {}):
        for key in [key for key, value in fields.items() if not known.takes(key, value)]:
            del fields[key]
            changes.append(f"litellm_params.{key}: the model does not take it")
    return changes
