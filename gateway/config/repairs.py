"""What is left of LiteLLM's configuration, made smaller until nothing is wrong with it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway.config.environment import variable
from gateway.config.mending import Migration, shown
from gateway.config.patterns import STAR, matches
from gateway.config.problems import ConfigError, render
from gateway.config.syntax import write
from gateway.config.values import as_fallbacks

#: Rounds in which what does not load is left out.
_ROUNDS = 200
_PLACE = re.compile(r"model_list\[(\d+)\]")
#: What a member is called with, or by: without one of these it would be another member.
_ESSENTIAL = frozenset(
    (
        *("model_name", "litellm_params", "model", "custom_llm_provider", "litellm_credential_name"),
        *("api_base", "base_url", "api_version", "api_key", "azure_ad_token", "tenant_id", "client_id"),
        *("client_secret", "federated_token_file", "azure_scope", "organization"),
    )
)
_FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
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
        round_ = _Round(tree, result)
        for problem in problems:
            round_.leave_out(problem)
        if not round_.gone:
            raise ConfigError(problems)
        entries = tree["model_list"]
        tree["model_list"] = [each for index, each in enumerate(entries) if (index,) not in round_.gone]
    raise ConfigError(problems)


class _Round:
    """Leaves out what one check has found."""

    def __init__(self, tree: dict[str, Any], result: Migration) -> None:
        self._tree = tree
        self._result = result
        #: Entries by their place, keys of entries and sections by their path.
        self.gone: set[tuple[int | str, ...]] = set()

    def leave_out(self, problem: str) -> None:
        """Leave out what a problem is about, where that is anything."""
        path, _, text = problem.partition(": ")
        # What many entries share is told once, with the places of the first of them at its end.
        text, _, shared = text.partition(" (in ")
        steps = [step for step in _PLACE.sub("", path).split(".") if step]
        entries = self._tree["model_list"]
        for number in dict.fromkeys([*_PLACE.findall(path), *re.findall(r"\[(\d+)\]", shared)]):
            if int(number) < len(entries):
                self._shrink(int(number), entries[int(number)], steps, text)
        if "model_list" not in problem:
            self._drop(problem, re.split(r"[.\[]", path))

    def _shrink(self, place: int, entry: dict[str, Any], steps: list[str], text: str) -> None:
        """Leave out the key of an entry that `steps` lead to, or the entry that it would change."""
        *section, key = steps[:2] or [""]
        if (place,) in self.gone or (place, *section, key) in self.gone:
            return
        name = shown(entry.get("model_name"))
        self._result.lost.append(f"a member of {name}: {'.'.join(steps) or 'it'}: {text}")
        holder = entry.get(section[0]) if section else entry
        if not isinstance(holder, dict) or key not in holder or key in _ESSENTIAL:
            self.gone.add((place,))
        else:
            self.gone.add((place, *section, key))
            del holder[key]

    def _drop(self, problem: str, steps: list[str]) -> None:
        """Leave out a key of a section, or the whole of another part of the document."""
        holder: dict[str, Any] = self._tree
        path: tuple[str, ...] = (steps[0],)
        section = self._tree.get(steps[0])
        if isinstance(section, dict) and len(steps) > 1 and steps[1] in section:
            holder, path = section, (steps[0], steps[1])
        if path[-1] in holder and path not in self.gone:
            self._result.lost.append(problem)
            self.gone.add(path)
            del holder[path[-1]]


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
            settings[key] = left
            if left != value:
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
    elif isinstance(tree, str) and (reference := variable(tree, key)) is not None:
        before, name = reference
        yield "deployment" if before else key, name
