"""LiteLLM's ways to write a document, undone before its references are resolved. Pure.

`environment_variables` are what `os.environ/` reads first, `litellm_credential_name` stands for the values of
an entry of `credential_list`, keys that begin with `x-` only hold anchors, and entries that nothing here can
serve are left out, so that nobody has to set the variables that they name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import msgspec

from gateway.config import vault
from gateway.config.document import top_names
from gateway.config.environment import PREFIX, resolve, variable
from gateway.config.problems import MAX_DEPTH, Path, Problems, is_name, render
from gateway.config.providers import is_unserved_mode, qualified, unserved_provider

_VARIABLES = "environment_variables"
_CREDENTIALS = "credential_list"
_NAME = "litellm_credential_name"
_ENTRIES = "model_list"
_ROUTER = "router_settings"

#: What is said of keys that hold anchors.
HOLDER = "is taken for a place of YAML anchors, since other values repeat what stands in it"
#: What is said of settings that are a list.
LISTED = "is a list, which LiteLLM does not read; taken for one mapping"


#: Variables that a document may set for itself, beside those that it refers to.
_READ = frozenset(
    (
        *("AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT", "AZURE_API_VERSION", "AZURE_SCOPE", "AZURE_API_KEY"),
        *("AZURE_OPENAI_API_KEY", "AZURE_AD_TOKEN", "AZURE_FEDERATED_TOKEN_FILE", "OPENAI_API_KEY"),
        *("GATEWAY_MASTER_KEY", "LITELLM_MASTER_KEY"),
    )
)
#: Those of the environment's identity, which signs in with what the process has.
_OF_IDENTITY = frozenset(
    (
        *("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CREDENTIAL"),
        *("AZURE_AUTHORITY_HOST", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_USERNAME", "AZURE_PASSWORD"),
    )
)
_UNREAD = "has no effect: nothing here reads it"
_NOT_THE_PROCESS = (
    "has no effect: the environment's identity reads the process's own variables; set it there, or write "
    "tenant_id, client_id and client_secret into the entries"
)


class Reason(Enum):
    """Why an entry is left out."""

    MODE = "endpoints of these modes are not served"
    PROVIDER = "members of providers that are not served are left out"


class LeftOut(msgspec.Struct, frozen=True):
    """Stands in `model_list` for an entry that is not served."""

    reason: Reason


class Prepared(msgspec.Struct, frozen=True):
    """A document without LiteLLM's ways to write it, and the environment that it is read with."""

    tree: dict[str, Any]
    environ: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def prepare(tree: dict[str, Any], environ: Mapping[str, str], problems: Problems) -> Prepared:
    """Undo them in a copy of `tree`. What is wrong goes to `problems`."""
    holders = anchor_holders(tree, problems)
    for key in tree:
        if key.startswith("x-") or key in holders:
            problems.ignore((key,))
    tree = {key: value for key, value in tree.items() if not key.startswith("x-") and key not in holders}
    unread = unread_variables(tree)
    environ = _with_variables(tree.pop(_VARIABLES, None), environ, problems)
    credentials = _credentials(tree.pop(_CREDENTIALS, None), problems)
    warnings = [f"{render((key,))}: {HOLDER}" for key in holders]
    warnings += grouped_variables(unread)
    listed = tree.get(_ROUTER)
    if (settings := one_mapping(listed)) is not listed:
        tree[_ROUTER] = settings
        warnings.append(f"{_ROUTER}: {LISTED}")
    entries = tree.get(_ENTRIES)
    if isinstance(entries, list):
        tree[_ENTRIES] = [
            entry
            if isinstance(entry, LeftOut)
            else _with_credential(entry, (_ENTRIES, index), credentials, problems)
            for index, entry in enumerate(without_unserved(entries, environ, alone=False))
        ]
    return Prepared(tree, environ, tuple(warnings))


def unread_variables(tree: Mapping[str, Any]) -> dict[str, str]:
    """The variables of a document that nothing reads, and what that means."""
    own = tree.get(_VARIABLES)
    if not isinstance(own, dict):
        return {}
    read = _READ.union(_variables(tree, None))
    return {name: _NOT_THE_PROCESS if name in _OF_IDENTITY else _UNREAD for name in own if name not in read}


def grouped_variables(unread: Mapping[str, str]) -> list[str]:
    """A sentence for each meaning, with its variables."""
    return [
        f"{_VARIABLES}: {', '.join(name if is_name(name) else '<key>' for name in names)}: {text}"
        for text in dict.fromkeys(unread.values())
        if (names := [name for name in unread if unread[name] == text])
    ]


def _variables(tree: Any, key: object, depth: int = 0) -> Iterator[str]:
    """Every variable that is referred to; what is nested deeper than any configuration is refused later."""
    if isinstance(tree, str):
        if (reference := variable(tree, key)) is not None:
            yield reference[1]
    elif isinstance(tree, dict | list) and depth <= MAX_DEPTH:
        for name, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _variables(value, name, depth + 1)


def anchor_holders(tree: Mapping[str, Any], problems: Problems) -> list[str]:
    """The keys that nobody knows, with values in them that others of the document repeat."""
    known = top_names()
    return [key for key in tree if key in problems.anchors and key not in known and not key.startswith("x-")]


def one_mapping(settings: Any) -> Any:
    """A section that is written as a list of mappings (`- key: value`), as one; anything else as it is."""
    if not isinstance(settings, list) or not settings or not all(isinstance(each, dict) for each in settings):
        return settings
    return {key: value for each in settings for key, value in each.items()}


def _with_variables(raw: Any, environ: Mapping[str, str], problems: Problems) -> Mapping[str, str]:
    """The environment with the document's own variables, which win, as at LiteLLM."""
    if raw is None:
        return environ
    if not isinstance(raw, dict):
        problems.add((_VARIABLES,), "must be a mapping of names to values")
        return environ
    values, _ = resolve(raw, environ, problems)
    own: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, bool):
            own[name] = str(value).lower()
        elif isinstance(value, str | int | float):
            own[name] = str(value)
        elif value is not None:
            problems.add((_VARIABLES, name), "must be text; put it in quotes")
    return {**environ, **own}


def _credentials(raw: Any, problems: Problems) -> dict[str, dict[str, Any]]:
    """The values of each entry of `credential_list`, by its name."""
    if raw is None:
        return {}
    if not isinstance(raw, list):
        problems.add((_CREDENTIALS,), "must be a list")
        return {}
    found: dict[str, dict[str, Any]] = {}
    for index, entry in enumerate(raw):
        path = (_CREDENTIALS, index)
        name = entry.get("credential_name") if isinstance(entry, dict) else None
        values = entry.get("credential_values") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not isinstance(values, dict):
            problems.add(path, "needs a credential_name, and credential_values as a mapping")
        elif name in found:
            problems.add((*path, "credential_name"), "is used twice; give each credential a name of its own")
        else:
            found[name] = values
    return found


def without_unserved(entries: list[Any], environ: Mapping[str, str], *, alone: bool) -> list[Any]:
    """The entries, with those that are left out marked; with `alone` all that nothing here serves.

    Else an entry of another provider stays where no other one serves its name, and any entry where none is
    served: reading it tells what is wrong.
    """
    reasons = [_reason(entry, environ) for entry in entries]
    served = {
        entry.get("model_name")
        for entry, reason in zip(entries, reasons, strict=True)
        if reason is None and isinstance(entry, dict) and isinstance(entry.get("model_name"), str)
    }

    def stays(entry: Any, reason: Reason) -> bool:
        return not served or (reason is Reason.PROVIDER and entry.get("model_name") not in served)

    return [
        entry if reason is None or (not alone and stays(entry, reason)) else LeftOut(reason)
        for entry, reason in zip(entries, reasons, strict=True)
    ]


def _reason(entry: Any, environ: Mapping[str, str]) -> Reason | None:
    """Why an entry may be left out; None where it is served, or broken."""
    params = entry.get("litellm_params") if isinstance(entry, dict) else None
    if not isinstance(params, dict) or not isinstance(entry.get("model_name"), str):
        return None
    info = entry.get("model_info")
    if isinstance(info, dict) and is_unserved_mode(info.get("mode")):
        return Reason.MODE
    model = params.get("model")
    if isinstance(model, str) and model.startswith(PREFIX):
        model = environ.get(model.removeprefix(PREFIX))
    if not isinstance(model, str) or model.startswith(vault.PREFIX):
        return None
    unserved = unserved_provider(qualified(model, params.get("custom_llm_provider")))
    return None if unserved is None else Reason.PROVIDER


def _with_credential(
    entry: Any, path: Path, credentials: dict[str, dict[str, Any]], problems: Problems
) -> Any:
    """An entry with its named credential written out; its own values win."""
    params = entry.get("litellm_params") if isinstance(entry, dict) else None
    if not isinstance(params, dict) or params.get(_NAME) is None:
        return entry
    name = params[_NAME]
    values = credentials.get(name) if isinstance(name, str) else None
    if values is None:
        problems.add((*path, "litellm_params", _NAME), "names no credential of credential_list")
    own = {key: value for key, value in params.items() if key != _NAME}
    return {**entry, "litellm_params": {**(values or {}), **own}}
