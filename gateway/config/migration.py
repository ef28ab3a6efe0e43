"""LiteLLM's configuration to one that loads here without a warning, and what becomes of each key. Pure.

References stay references. Notes name keys and paths, never values.
"""

from __future__ import annotations

from typing import Any

from gateway.config import litellm_keys as tables
from gateway.config.document import TOP_LEVEL, effective_names, harmless_owner
from gateway.config.keys import REFUSED, harmless, meaning, weakens
from gateway.config.mending import Migration, mend, shown
from gateway.config.preparation import (
    HOLDER,
    LISTED,
    LeftOut,
    Reason,
    anchor_holders,
    grouped_variables,
    one_mapping,
    unread_variables,
    without_unserved,
)
from gateway.config.problems import WHOLE, ConfigError, Path, Problems, render
from gateway.config.repairs import Check, repair
from gateway.config.syntax import parse, write
from gateway.config.yaml_events import UnreadNumber
from gateway.protocol.body_fields import ALL_FIELDS

#: Of keys with these meanings something that callers or operators had is gone.
_LOSSES = frozenset((tables.CACHE, tables.DATABASE, tables.VIRTUAL, tables.OBSERVERS, tables.OTHER_ENDPOINTS))
_MASTER_KEY = (
    "general_settings.master_key: is not in the file; set GATEWAY_MASTER_KEY or LITELLM_MASTER_KEY, add "
    "clients, or start with --allow-anonymous"
)


def migrate(text: str, check: Check) -> Migration:
    """The configuration in LiteLLM's `text`, for this gateway. Raises ConfigError where it cannot be read."""
    problems = Problems()
    tree = parse(text, problems)
    if not isinstance(tree, dict):
        raise ConfigError(["document: must be a mapping with model_list in it"])
    result = Migration()
    for key in anchor_holders(tree, problems):
        del tree[key]
        result.dropped.append(f"{render((key,))}: {HOLDER}")
    for key in [key for key in tree if key.startswith("x-")]:
        problems.ignore((key,))
    problems.drop_ignored()
    for sentence in problems.sentences():
        # Of a key that is given twice LiteLLM, too, takes the last.
        (result.dropped if "is given twice" in sentence else result.lost).append(sentence)
    tree = _kept(WHOLE, tree, (), {*TOP_LEVEL}, result)
    _drop_unread(tree, result)
    if (router := one_mapping(tree.get("router_settings"))) is not tree.get("router_settings"):
        tree["router_settings"] = router
        result.dropped.append(f"router_settings: {LISTED}")
    for section in ("router_settings", "litellm_settings", "general_settings"):
        if isinstance(tree.get(section), dict):
            tree[section] = _kept(section, tree[section], (section,), effective_names(section), result)
        elif tree.pop(section, None) is not None:
            result.lost.append(f"{section}: is no mapping of keys to values")
    tree["model_list"] = _entries(tree.get("model_list"), result)
    result.tell_keys()
    mend(tree, result)
    repair(tree, result, check)
    for entry in tree["model_list"]:
        if entry.get("model_info") == {}:
            del entry["model_info"]
    general = tree.get("general_settings")
    if not (isinstance(general, dict) and general.get("master_key")) and "clients" not in tree:
        result.dropped.append(_MASTER_KEY)
    result.document = write({key: value for key, value in tree.items() if value not in ({}, None)})
    return result


def _drop_unread(tree: dict[str, Any], result: Migration) -> None:
    """Leave out variables that nothing here reads; those of an identity are missed."""
    unread = unread_variables(tree)
    for name in unread:
        del tree["environment_variables"][name]
    for sentence in grouped_variables(unread):
        (result.lost if "identity" in sentence else result.dropped).append(sentence)


def _kept(
    section: str, values: dict[str, Any], path: Path, effective: set[str], result: Migration
) -> dict[str, Any]:
    """The keys of a section that have an effect; what became of the others is noted."""
    kept: dict[str, Any] = {}
    defaults = ALL_FIELDS if section == "litellm_params" else ()
    for key, value in values.items():
        here = (*path, key)
        effect = meaning(section, key)
        if key in effective or (key in defaults and effect is None):
            if isinstance(value, UnreadNumber):
                continue  # is told already
            if value is None:
                result.keys_dropped.append((here, "is empty"))
            else:
                kept[key] = value
        elif section == WHOLE and key.startswith("x-"):
            continue
        elif (reason := REFUSED.get(section, {}).get(key)) is not None:
            if weakens(key, value):
                result.keys_lost.append((here, reason.partition("; ")[0]))
            else:
                notes = result.keys_lost if harmless(key, value) in _LOSSES else result.keys_dropped
                notes.append((here, harmless(key, value)))
        elif effect is not None:
            notes = result.keys_lost if value and effect in _LOSSES else result.keys_dropped
            notes.append((here, effect))
        elif harmless_owner(key) is not None:
            result.keys_dropped.append((here, "LiteLLM does not read it there, either"))
        else:
            result.keys_lost.append((here, "is not known"))
    return kept


def _entries(raw: Any, result: Migration) -> list[Any]:
    """The entries that can be served, without keys that have no effect."""
    if not isinstance(raw, list):
        raise ConfigError(["model_list: must be a list with at least one entry"])
    kept: list[Any] = []
    unserved: dict[Reason, dict[str, None]] = {}
    for index, entry in enumerate(without_unserved(raw, {}, alone=True)):
        path: Path = ("model_list", index)
        if isinstance(entry, LeftOut):
            unserved.setdefault(entry.reason, {})[shown(raw[index].get("model_name"))] = None
        elif isinstance(entry, dict):
            left = _kept("model_list", entry, path, effective_names("model_list"), result)
            for section in ("litellm_params", "model_info"):
                if isinstance(left.get(section), dict):
                    known = effective_names(section) | {"litellm_credential_name"}
                    left[section] = _kept(section, left[section], (*path, section), known, result)
            kept.append(left)
        else:
            result.keys_lost.append((path, "is no mapping"))
    for reason, names in unserved.items():
        what = "endpoints" if reason is Reason.MODE else "providers"
        result.lost.append(f"model_list: members of {what} that are not served: {', '.join(names)}")
    return kept
