"""LiteLLM's configuration to one that loads here without a warning, and what becomes of each key. Pure.

References stay references. Notes name keys and paths, never values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.config import litellm_keys as tables
from gateway.config.document import TOP_LEVEL, effective_names, harmless_owner
from gateway.config.environment import PREFIX
from gateway.config.keys import REFUSED, meaning, weakens
from gateway.config.preparation import LeftOut, Reason, without_unserved
from gateway.config.problems import WHOLE, ConfigError, Path, Problems, is_name, render
from gateway.config.syntax import parse, write
from gateway.protocol.body_fields import ALL_FIELDS

#: Of keys with these meanings something that callers or operators had is gone.
_LOSSES = frozenset((tables.CACHE, tables.DATABASE, tables.VIRTUAL, tables.OBSERVERS, tables.OTHER_ENDPOINTS))
#: Documents of this size at most are repaired, one problem's entry or key at a time.
_REPAIRS = 1000
_ENTRY = re.compile(r"model_list\[(\d+)\]")
_KEY = re.compile(r"([a-z_]+)\.([A-Za-z0-9_-]+)")
#: What a reference stands for while the result is checked: any value that its key accepts.
_STAND_INS = {
    "api_base": "https://stand-in.openai.azure.com",
    "base_url": "https://stand-in.openai.azure.com",
    "api_version": "2024-10-21",
    "model": "azure/stand-in",
}
_MASTER_KEY = (
    "general_settings.master_key: is not in the file; set GATEWAY_MASTER_KEY or LITELLM_MASTER_KEY, add "
    "clients, or start with --allow-anonymous"
)


#: What is wrong with a document, given the environment and whether it may be open to everyone.
Check = Callable[[str, Mapping[str, str], bool], list[str]]


@dataclass(slots=True)
class Migration:
    """The configuration, and what became of the keys that are not in it."""

    document: str = ""
    #: Left out, and nobody misses anything.
    dropped: list[str] = field(default_factory=list)
    #: Protections, models and features that are gone.
    lost: list[str] = field(default_factory=list)


def migrate(text: str, check: Check) -> Migration:
    """The configuration in LiteLLM's `text`, for this gateway. Raises ConfigError where it cannot be read."""
    problems = Problems()
    tree = parse(text, problems)
    if not isinstance(tree, dict):
        problems.add((), "must be a mapping with model_list in it")
    if problems:
        raise ConfigError(problems.sentences())
    result = Migration()
    tree = _kept(WHOLE, tree, (), {*TOP_LEVEL}, result)
    for section in ("router_settings", "litellm_settings", "general_settings"):
        if isinstance(tree.get(section), dict):
            tree[section] = _kept(section, tree[section], (section,), effective_names(section), result)
    tree["model_list"] = _entries(tree.get("model_list"), result)
    _mend_checks(tree)
    _repair(tree, result, check)
    general = tree.get("general_settings")
    if not (isinstance(general, dict) and general.get("master_key")) and "clients" not in tree:
        result.dropped.append(_MASTER_KEY)
    result.document = write({key: value for key, value in tree.items() if value not in ({}, None)})
    return result


def _kept(
    section: str, values: dict[str, Any], path: Path, effective: set[str], result: Migration
) -> dict[str, Any]:
    """The keys of a section that have an effect; what became of the others is noted."""
    kept: dict[str, Any] = {}
    for key, value in values.items():
        here = render((*path, key))
        defaults = ALL_FIELDS if section == "litellm_params" else ()
        effect = meaning(section, key)
        if key in effective or (key in defaults and effect is None):
            if value is not None:
                kept[key] = value
        elif section == WHOLE and key.startswith("x-"):
            continue
        elif (reason := REFUSED.get(section, {}).get(key)) is not None:
            if weakens(key, value):
                result.lost.append(f"{here}: {reason.partition('; ')[0]}")
            elif value:
                result.lost.append(f"{here}: {tables.OBSERVERS}")
            else:
                result.dropped.append(f"{here}: is switched off")
        elif effect is not None:
            (result.lost if value and effect in _LOSSES else result.dropped).append(f"{here}: {effect}")
        elif harmless_owner(key) is not None:
            result.dropped.append(f"{here}: LiteLLM does not read it there, either")
        else:
            result.lost.append(f"{here}: is not known")
    return kept


def _entries(raw: Any, result: Migration) -> list[Any]:
    """The entries that can be served, without keys that have no effect."""
    if not isinstance(raw, list):
        raise ConfigError(["model_list: must be a list with at least one entry"])
    kept: list[Any] = []
    for index, entry in enumerate(without_unserved(raw, {}, alone=True)):
        path: Path = ("model_list", index)
        if isinstance(entry, LeftOut):
            what = "its endpoint" if entry.reason is Reason.MODE else "its provider"
            result.lost.append(f"{render(path)}: {what} is not served")
        elif isinstance(entry, dict):
            left = _kept("model_list", entry, path, effective_names("model_list"), result)
            for section in ("litellm_params", "model_info"):
                if isinstance(left.get(section), dict):
                    known = effective_names(section) | {"litellm_credential_name"}
                    left[section] = _kept(section, left[section], (*path, section), known, result)
            if not left.get("model_info", True):
                del left["model_info"]
            kept.append(left)
        else:
            result.lost.append(f"{render(path)}: is no mapping")
    return kept


def _mend_checks(tree: dict[str, Any]) -> None:
    """Leave out strategies and checks that load with a warning."""
    router = tree.get("router_settings")
    if isinstance(router, dict):
        if router.get("routing_strategy") in ("least-busy", "latency-based-routing", "cost-based-routing"):
            del router["routing_strategy"]
        if isinstance(checks := router.get("optional_pre_call_checks"), list):
            router["optional_pre_call_checks"] = [
                each for each in checks if each == "enforce_model_rate_limits"
            ]


def _repair(tree: dict[str, Any], result: Migration, check: Check) -> None:
    """Leave out entries and keys that do not load, and fallbacks to models that are not there."""
    for _ in range(_REPAIRS):
        if not tree["model_list"]:
            raise ConfigError(["model_list: nothing in it can be served here", *result.lost])
        _mend_fallbacks(tree, result)
        problems = check(write(tree), _stand_ins(tree), _is_open(tree))
        if not problems:
            return
        # What many entries share is told once, with the first of them.
        entry, place = _ENTRY.search(problems[0]), _KEY.match(problems[0])
        section = tree.get(place[1]) if place else None
        entries = tree["model_list"]
        if entry and int(entry[1]) < len(entries):
            name = str(entries[int(entry[1])].get("model_name"))
            what = _ENTRY.sub("", problems[0].partition(" (in ")[0]).lstrip(".")
            result.lost.append(
                f"a member of {name if is_name(name.replace('-', '_')) else 'a model'}: {what}"
            )
            del entries[int(entry[1])]
        elif place and isinstance(section, dict) and place[2] in section:
            result.lost.append(problems[0])
            del section[place[2]]
        else:
            raise ConfigError(problems)


def _mend_fallbacks(tree: dict[str, Any], result: Migration) -> None:
    names = {entry.get("model_name") for entry in tree["model_list"] if isinstance(entry, dict)}
    router = tree.get("router_settings")
    aliases = router.get("model_group_alias") if isinstance(router, dict) else None
    if isinstance(aliases, dict):
        for alias, target in list(aliases.items()):
            if (target.get("model") if isinstance(target, dict) else target) not in names:
                result.lost.append("router_settings.model_group_alias: an alias of a model that is gone")
                del aliases[alias]
        names |= aliases.keys()
    for section in ("router_settings", "litellm_settings"):
        settings = tree.get(section)
        for key in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks"):
            value = settings.get(key) if isinstance(settings, dict) else None
            if isinstance(value, list) and all(isinstance(each, dict) for each in value):
                settings[key] = [left for each in value if (left := _without_gone(each, names))]  # type: ignore[index]
        default = settings.get("default_fallbacks") if isinstance(settings, dict) else None
        if isinstance(default, list):
            settings["default_fallbacks"] = [name for name in default if name in names]  # type: ignore[index]


def _without_gone(fallbacks: dict[str, Any], names: set[Any]) -> dict[str, Any]:
    return {
        model: left
        for model, others in fallbacks.items()
        if (model in names or model == "*") and isinstance(others, list)
        if (left := [name for name in others if name in names])
    }


def _is_open(tree: Mapping[str, Any]) -> bool:
    general = tree.get("general_settings")
    keyed = isinstance(general, dict) and ("master_key" in general or general.get("allow_anonymous"))
    return not keyed and "clients" not in tree and "entra" not in tree


def _stand_ins(tree: Any) -> dict[str, str]:
    """An environment in which all that the document leaves to it is set."""
    named = {name: _STAND_INS.get(key, "1") for key, name in _references(tree, "")}
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
