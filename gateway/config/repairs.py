"""What is left of LiteLLM's configuration, mended until it loads without a problem or a warning. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.config.environment import PREFIX
from gateway.config.patterns import matches
from gateway.config.problems import ConfigError, render
from gateway.config.syntax import write
from gateway.config.urls import is_safe
from gateway.config.values import as_fallbacks
from gateway.config.wildcards import STAR

#: Rounds in which what does not load is left out.
_ROUNDS = 200
_PLACE = re.compile(r"model_list\[(\d+)\]")
_KEY = re.compile(r"([a-z_]+)\.([A-Za-z0-9_-]+)")
#: What a member is called with, or by: without one of these it would be another member.
_ESSENTIAL = frozenset(
    (
        *("model_name", "litellm_params", "model", "custom_llm_provider", "litellm_credential_name"),
        *("api_base", "base_url", "api_version", "api_key", "azure_ad_token", "tenant_id", "client_id"),
        *("client_secret", "federated_token_file", "azure_scope", "organization"),
    )
)
#: LiteLLM's strategies whose place the gateway's own choice takes.
_REPLACED = ("least-busy", "latency-based-routing", "cost-based-routing")
_CAPS = "enforce_model_rate_limits"
_FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
#: Seconds after which every rest ends.
_LONGEST_REST = 60
#: What a reference stands for while the result is checked: any value that its key accepts.
_STAND_INS = {
    "api_base": "https://stand-in.openai.azure.com",
    "base_url": "https://stand-in.openai.azure.com",
    "api_version": "2024-10-21",
    "model": "azure/stand-in",
    "mode": "chat",
}

#: What is wrong with a document, given the environment and whether it may be open to everyone.
Check = Callable[[str, Mapping[str, str], bool], list[str]]


@dataclass(slots=True)
class Migration:
    """The configuration, and what became of the keys that are not in it."""

    document: str = ""
    #: Left out or changed, and nobody misses anything.
    dropped: list[str] = field(default_factory=list)
    #: Protections, models and features that are gone.
    lost: list[str] = field(default_factory=list)


def mend(tree: dict[str, Any], result: Migration) -> None:
    """Change what would load with a warning, or not at all, and can be written as it is meant."""
    router = tree.get("router_settings")
    if isinstance(router, dict):
        _mend_router(router, result)
    for section in ("router_settings", "litellm_settings"):
        if isinstance(settings := tree.get(section), dict):
            _mend_rest(settings, section, result)
    for entry in tree["model_list"]:
        here = f"a member of {_shown(entry.get('model_name'))}: "
        for section in ("litellm_params", "model_info"):
            if isinstance(settings := entry.get(section), dict):
                _mend_rest(settings, f"{here}{section}", result)
        if isinstance(params := entry.get("litellm_params"), dict):
            _mend_params(params, f"{here}litellm_params", result)


def _mend_router(router: dict[str, Any], result: Migration) -> None:
    if router.get("routing_strategy") in _REPLACED:
        del router["routing_strategy"]
        result.dropped.append("router_settings.routing_strategy: deployments are chosen by their room")
    checks = router.get("optional_pre_call_checks")
    if isinstance(checks, list) and any(each != _CAPS for each in checks):
        router["optional_pre_call_checks"] = [each for each in checks if each == _CAPS]
        result.dropped.append(f"router_settings.optional_pre_call_checks: all but {_CAPS} have no effect")


def _mend_rest(settings: dict[str, Any], here: str, result: Migration) -> None:
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
    unused = ("azure_ad_token", "api_key", "tenant_id", "client_id", "client_secret", "federated_token_file")
    for key in unused:
        if key != used and params.pop(key, None) is not None:
            result.dropped.append(f"{here}.{key}: {used} is used, as at LiteLLM")


def _is_safe(base: str) -> bool:
    try:
        return is_safe(base.strip())
    except ValueError:
        return False


def repair(tree: dict[str, Any], result: Migration, check: Check) -> None:
    """Leave out entries and keys that do not load, and other models that are not there.

    Raises ConfigError where nothing can be served, or what is wrong cannot be left out.
    """
    for _ in range(_ROUNDS):
        if not tree["model_list"]:
            raise ConfigError(["model_list: nothing in it can be served here", *result.lost])
        _mend_names(tree, result)
        problems = check(write(tree), _stand_ins(tree), _is_open(tree))
        if not problems:
            return
        gone: set[int] = set()
        changes = [_left_out(problem, tree, gone, result) for problem in problems]
        if not any(changes):
            raise ConfigError(problems)
        tree["model_list"] = [entry for index, entry in enumerate(tree["model_list"]) if index not in gone]
    raise ConfigError(problems)


def _left_out(problem: str, tree: dict[str, Any], gone: set[int], result: Migration) -> bool:
    """Leave out what a problem is about; False where nothing can be. Entries that go are noted in `gone`."""
    path, _, text = problem.partition(": ")
    entries = tree["model_list"]
    # What many entries share is told once, with the places of the first of them at its end.
    text, _, shared = text.partition(" (in ")
    places = {int(number) for number in _PLACE.findall(path)}
    places |= {int(number) for number in re.findall(r"\[(\d+)\]", shared)}
    places = {place for place in places if place < len(entries)} - gone
    steps = [step for step in _PLACE.sub("", path).split(".") if step]
    if places:
        for place in places:
            name = _shown(entries[place].get("model_name"))
            result.lost.append(f"a member of {name}: {'.'.join(steps) or 'it'}: {text}")
            if not _without_key(entries[place], steps):
                gone.add(place)
        return True
    key = _KEY.match(path)
    section = tree.get(key[1]) if key else None
    if key and isinstance(section, dict) and key[2] in section:
        result.lost.append(problem)
        del section[key[2]]
        return True
    return False


def _without_key(entry: dict[str, Any], steps: list[str]) -> bool:
    """Leave out the key of an entry that `steps` lead to; False where it would be another one without it."""
    *section, key = steps[:2] or [""]
    holder = entry.get(section[0]) if section else entry
    if not isinstance(holder, dict) or key not in holder or key in _ESSENTIAL:
        return False
    del holder[key]
    return True


def _shown(name: Any) -> str:
    """A model's name, where it is one and no secret in its place."""
    return str(name) if re.fullmatch(r"[\w./:*@ -]{1,64}", str(name), re.ASCII) else "a model"


class _Names:
    """The names that the entries serve, wildcards included."""

    def __init__(self, entries: list[Any]) -> None:
        names = [entry.get("model_name") for entry in entries if isinstance(entry, dict)]
        self.listed = {name for name in names if isinstance(name, str)}
        self._patterns = [name for name in self.listed if STAR in name]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or STAR in name:
            return False
        return name in self.listed or any(matches(pattern, name) for pattern in self._patterns)


def _mend_names(tree: dict[str, Any], result: Migration) -> None:
    """Leave out aliases of models that are gone, and fallbacks to them."""
    names = _Names(tree["model_list"])
    router = tree.get("router_settings")
    aliases = router.get("model_group_alias") if isinstance(router, dict) else None
    if isinstance(aliases, dict):
        for alias, target in list(aliases.items()):
            if (target.get("model") if isinstance(target, dict) else target) not in names:
                result.lost.append(
                    f"{render(('router_settings', 'model_group_alias', alias))}: its model is gone"
                )
                del aliases[alias]
        names.listed |= aliases.keys()
    policies = router.get("model_group_retry_policy") if isinstance(router, dict) else None
    if isinstance(policies, dict):
        for model in [model for model in policies if model not in names and model not in names.listed]:
            del policies[model]
            result.dropped.append("router_settings.model_group_retry_policy: of a model that is not there")
    for section in ("router_settings", "litellm_settings"):
        if isinstance(settings := tree.get(section), dict):
            _mend_fallbacks(settings, section, names, result)


def _mend_fallbacks(settings: dict[str, Any], section: str, names: _Names, result: Migration) -> None:
    for key in _FALLBACKS:
        value = as_fallbacks(settings.get(key))
        if isinstance(value, list) and all(isinstance(each, dict) for each in value):
            left = [kept for each in value if (kept := _without_gone(each, names))]
            if left != value:
                settings[key] = left
                result.dropped.append(f"{section}.{key}: without models that are not there")
    default = settings.get("default_fallbacks")
    if isinstance(default, list) and any(name not in names for name in default):
        settings["default_fallbacks"] = [name for name in default if name in names]
        result.dropped.append(f"{section}.default_fallbacks: without models that are not there")


def _without_gone(fallbacks: dict[str, Any], names: _Names) -> dict[str, Any]:
    return {
        model: left
        for model, others in fallbacks.items()
        if (model in names or model in names.listed or model == STAR) and isinstance(others, list)
        if (left := [name for name in others if name in names])
    }


def _is_open(tree: Mapping[str, Any]) -> bool:
    general = tree.get("general_settings")
    keyed = isinstance(general, dict) and ("master_key" in general or general.get("allow_anonymous"))
    return not keyed and "clients" not in tree and "entra" not in tree


def _stand_ins(tree: dict[str, Any]) -> dict[str, str]:
    """An environment in which all that the document leaves to it is set."""
    own = tree.get("environment_variables")
    own = own if isinstance(own, dict) else {}
    named: dict[str, str] = {}
    for key, name in _references({**tree, "environment_variables": None}, ""):
        named[name] = _STAND_INS.get(key, "1")
        # A variable of the document's own may stand for one of the environment.
        for _, other in _references(own.get(name), ""):
            named[other] = named[name]
    for _, name in _references(own, ""):
        named.setdefault(name, "1")
    return {"AZURE_API_BASE": _STAND_INS["api_base"], "OPENAI_API_KEY": "1", **named}


def _references(tree: Any, key: str) -> Iterator[tuple[str, str]]:
    """Each variable that is referred to, and the key that it stands at."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _references(value, name)
    elif isinstance(tree, list):
        for value in tree:
            yield from _references(value, key)
    elif isinstance(tree, str) and tree.startswith(PREFIX):
        yield key, tree.removeprefix(PREFIX)
