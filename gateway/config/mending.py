"""LiteLLM's configuration in words that load: what would be a warning, or refused, as it is meant. Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.config.environment import PREFIX, typed
from gateway.config.model_repairs import name_model
from gateway.config.problems import Path, Problems, grouped, render
from gateway.config.providers import is_mode, mode_of
from gateway.config.urls import is_safe
from gateway.config.values import OIDC_AZURE
from gateway.protocol.capabilities import answers_chats, namesake

#: LiteLLM's strategies whose place the gateway's own choice takes.
_REPLACED = ("least-busy", "latency-based-routing", "cost-based-routing")
_CAPS = "enforce_model_rate_limits"
#: Seconds after which every rest ends.
_LONGEST_REST = 60


class Migration(msgspec.Struct):
    """The configuration, and what became of the keys that are not in it."""

    document: str = ""
    #: Left out or changed, and nobody misses anything.
    dropped: list[str] = msgspec.field(default_factory=list)
    #: Protections, models and features that are gone.
    lost: list[str] = msgspec.field(default_factory=list)
    #: Of both, the keys: where they stand, and why.
    keys_dropped: list[tuple[Path, str]] = msgspec.field(default_factory=list)
    keys_lost: list[tuple[Path, str]] = msgspec.field(default_factory=list)

    def tell_keys(self) -> None:
        """Make sentences of the keys, one for each key however many entries have it."""
        self.dropped[:0] = grouped(self.keys_dropped, render)
        self.lost[:0] = grouped(self.keys_lost, render)


def mend(tree: dict[str, Any], result: Migration) -> None:
    """Change what would load with a warning, or not at all, and can be written as it is meant."""
    for section in ("router_settings", "litellm_settings", "general_settings"):
        if isinstance(settings := tree.get(section), dict):
            _mend_values(settings, section, result)
    general = tree.get("general_settings")
    if isinstance(general, dict) and type(general.get("master_key")) is int:
        general["master_key"] = str(general["master_key"])
    router = tree.get("router_settings")
    if isinstance(router, dict):
        _mend_router(router, result)
    for entry in tree["model_list"]:
        here = f"a member of {shown(entry.get('model_name'))}: "
        _mend_values(entry, f"{here}it", result)
        for section in ("litellm_params", "model_info"):
            if isinstance(settings := entry.get(section), dict):
                _mend_values(settings, f"{here}{section}", result)
        if isinstance(params := entry.get("litellm_params"), dict):
            _mend_mode(entry, params, here, result)
            _mend_params(params, f"{here}litellm_params", result)
            result.dropped += [f"{here}{each}" for each in name_model(entry, params)]


def _mend_mode(entry: dict[str, Any], params: dict[str, Any], here: str, result: Migration) -> None:
    """Leave out a mode that LiteLLM does not know, and that of texts where the model answers chats."""
    info = entry.get("model_info")
    mode = info.get("mode") if isinstance(info, dict) else None
    if not isinstance(info, dict) or not isinstance(mode, str) or mode.startswith(PREFIX):
        return
    model = str(params.get("model"))
    named = info.get("base_model") or params.get("base_model")
    if not is_mode(mode):
        del info["mode"]
        result.dropped.append(f"{here}model_info.mode: is none of LiteLLM's and narrows nothing")
    elif (
        mode_of(mode) == "completion"
        and model.startswith("azure/")
        and answers_chats(named or namesake(model.removeprefix("azure/")))
    ):
        del info["mode"]
        result.dropped.append(
            f"{here}model_info.mode: narrows nothing at LiteLLM, and the model answers chats"
        )


def _mend_router(router: dict[str, Any], result: Migration) -> None:
    if router.get("routing_strategy") in _REPLACED:
        del router["routing_strategy"]
        result.dropped.append("router_settings.routing_strategy: deployments are chosen by their room")
    checks = router.get("optional_pre_call_checks")
    if isinstance(checks, list) and any(each != _CAPS for each in checks):
        router["optional_pre_call_checks"] = [each for each in checks if each == _CAPS]
        result.dropped.append(f"router_settings.optional_pre_call_checks: all but {_CAPS} have no effect")


def _mend_values(settings: dict[str, Any], here: str, result: Migration) -> None:
    """Numbers and flags without quotes, and no rest that is longer than any."""
    for key, value in settings.items():
        if isinstance(value, str) and not value.startswith(PREFIX):
            settings[key] = typed(value, (key,), Problems())
    rest = settings.get("cooldown_time")
    if isinstance(rest, int | float) and not isinstance(rest, bool) and rest > _LONGEST_REST:
        settings["cooldown_time"] = _LONGEST_REST
        result.dropped.append(
            f"{here}.cooldown_time: a rest ends after {_LONGEST_REST} seconds at the latest"
        )


def _mend_params(params: dict[str, Any], here: str, result: Migration) -> None:
    for key in ("api_base", "base_url"):
        base = params.get(key)
        insecure = isinstance(base, str) and base.strip().lower().startswith("http://")
        if insecure and params.get("allow_insecure") is None and not _is_safe(str(base)):
            params["allow_insecure"] = True
            result.dropped.append(f"{here}.{key}: begins with http://, so allow_insecure: true is added")
    headers = params.get("extra_headers")
    if isinstance(headers, dict):
        for name in [name for name in headers if name.lower() == "api-key"]:
            params["api_key"] = headers.pop(name)
            result.dropped.append(f"{here}.extra_headers: its api-key is written as api_key")
    model, provider = params.get("model"), params.get("custom_llm_provider")
    azure = isinstance(model, str) and model.startswith(("azure/", "azure_text/"))
    azure = azure or provider in {"azure", "azure_text"}
    if not (isinstance(model, str) and model.startswith(PREFIX)):
        unused = "organization" if azure else "api_version"
        if params.pop(unused, None) is not None:
            result.dropped.append(f"{here}.{unused}: has no effect for such a member")
    if azure:
        _mend_credentials(params, here, result)
    if params.get("timeout") is not None and params.pop("request_timeout", None) is not None:
        result.dropped.append(f"{here}.request_timeout: timeout says it")


def _mend_credentials(params: dict[str, Any], here: str, result: Migration) -> None:
    """Keep the credential that is used: LiteLLM's order is the gateway's."""
    used = next((key for key in ("azure_ad_token", "api_key") if params.get(key) is not None), None)
    if used is None:
        return
    unused = ["azure_ad_token", "api_key", "tenant_id", "client_id", "client_secret", "federated_token_file"]
    if OIDC_AZURE.fullmatch(str(params[used])):
        # Which tenant's, and which application's, is said beside the token.
        unused = [key for key in unused if key not in ("tenant_id", "client_id")]
    for key in unused:
        if key != used and params.pop(key, None) is not None:
            result.dropped.append(f"{here}.{key}: {used} is used, as at LiteLLM")


def _is_safe(base: str) -> bool:
    try:
        return is_safe(base.strip())
    except ValueError:
        return False


def shown(name: Any) -> str:
    """A model's name, where it is one and no secret in its place."""
    return str(name) if re.fullmatch(r"[\w./:*@ -]{1,64}", str(name), re.ASCII) else "a model"
