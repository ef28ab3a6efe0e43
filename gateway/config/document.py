"""One section of a document as its model: unknown keys refused, those without an effect noted.

Zero and negative limits, booleans as numbers and NaN are refused, unknown keys with the nearest known name.
"""

from __future__ import annotations

import difflib
from functools import cache, lru_cache
from typing import Any, TypeVar, get_type_hints

from gateway.config.annotations import Reader, reader
from gateway.config.keys import REFUSED, WITHOUT_EFFECT, harmless, meaning, meaning_by_name, weakens
from gateway.config.litellm_keys import UNREAD
from gateway.config.problems import WHOLE, Path, Problems
from gateway.config.sections import SECTIONS, Params, Section
from gateway.config.unused import Unused
from gateway.protocol.body_fields import ALL_FIELDS, NUMBER_FIELDS

#: The sections that LiteLLM has, too.
_LITELLM = (
    "model_list",
    "litellm_params",
    "model_info",
    "router_settings",
    "litellm_settings",
    "general_settings",
)

#: Keys for which "nothing" is no answer: a blank one would quietly choose another credential or none.
_NEVER_BLANK = frozenset(
    (
        "api_key",
        "azure_ad_token",
        "tenant_id",
        "client_id",
        "client_secret",
        "federated_token_file",
        "master_key",
        "azure_scope",
        "pseudonym_key",
    )
)

#: Names at the top of the document. `preparation` deals with the last two.
TOP_LEVEL = (
    "model_list",
    "clients",
    "entra",
    "router_settings",
    "litellm_settings",
    "general_settings",
    "environment_variables",
    "credential_list",
)

#: Keys that protect something or decide who pays: in a section that does not read them they are refused.
_NEVER_MISPLACED = frozenset(
    (
        *("api_key", "azure_ad_token", "tenant_id", "client_id", "client_secret", "azure_scope"),
        *("master_key", "rpm", "tpm", "itpm", "otpm", "max_parallel_requests", "model_list"),
        *("federated_token_file", "strict", "allow_insecure", "api_base", "base_url", "model"),
        # Ours: LiteLLM does not know them, so nobody means it to ignore them.
        *("max_upstream_calls", "max_wait", "client_limits", "strict_fails_open", "allow_anonymous"),
    )
)

#: From this likeness on, a name is worth a hint.
_NEAR = 0.65
#: From this one on, a key is taken for a misspelling of a name that does something.
_ALIKE = 0.75

#: Keys of a document that are compared with names, which is slow, and the characters of them that are.
_HINTS = 50
_KEY_SHOWN = 64

S = TypeVar("S", bound=Section)


def known_names(model: type[Section]) -> set[str]:
    """List every key that a section accepts or refuses by name."""
    section = SECTIONS[model]
    defaults = ALL_FIELDS if model is Params else frozenset()
    return {*model.__struct_fields__, *WITHOUT_EFFECT.get(section, ()), *REFUSED.get(section, {}), *defaults}


def top_names() -> set[str]:
    """List every key that the top of a document accepts or refuses by name."""
    return {*TOP_LEVEL, *WITHOUT_EFFECT[WHOLE], *REFUSED[WHOLE]}


def effective_names(section: str) -> set[str]:
    """List the keys of a section that do something here, without the request defaults."""
    return {key for model, name in SECTIONS.items() if name == section for key in model.__struct_fields__}


def read_section(
    model: type[S], raw: Any, path: Path, problems: Problems, unused: Unused
) -> tuple[S, dict[str, Any]]:
    """Read one section as its model, and its request defaults (only `litellm_params` has any).

    Everything wrong with single values goes to `problems`, and the model comes back without those values, so
    that later checks go on. Accepted keys without effect go to `unused`.
    """
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        problems.add(path, "must be a mapping of keys to values")
        return model(), {}
    section = SECTIONS[model]
    kept: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for key, value in raw.items():
        here = (*path, key)
        if key in _NEVER_BLANK and value is None:
            problems.add(here, "is empty; remove the key or give it a value")
        elif key in model.__struct_fields__:
            kept[key] = value
        elif model is Params and key in ALL_FIELDS and key not in WITHOUT_EFFECT[section]:
            if value is not None and _is_default(key, value, here, problems):
                defaults[key] = value
        else:
            settle_other(section, here, value, known_names(model), problems=problems, unused=unused)
    return _build(model, kept, path, problems), defaults


def settle_other(
    section: str, here: Path, value: Any, known: set[str], *, problems: Problems, unused: Unused
) -> None:
    """Accept or refuse the key at `here`, which does nothing in its section; `known` are those that do."""
    path, key = here[:-1], str(here[-1])
    if (reason := REFUSED.get(section, {}).get(key)) is not None:
        if weakens(key, value):
            problems.add(here, f"is refused: {reason}")
        else:
            unused.add(section, key, harmless(key, value), path)
    elif (effect := meaning(section, key)) is not None:
        unused.add(section, key, effect, path)
        problems.ignore(here)
    elif (section in _LITELLM or section == WHOLE) and (owner := harmless_owner(key)) is not None:
        unused.add(section, key, f"LiteLLM does not read it there, either; it belongs in {owner}.", path)
        problems.ignore(here)
    elif (
        (effect := meaning_by_name(section, key, value)) is not None
        and problems.count + unused.count(section, effect) < _HINTS
        and not _is_like_another(section, key)
    ):
        unused.add(section, key, effect, path)
        problems.ignore(here)
    else:
        problems.add(here, _unknown(section, key, known, problems))


def _owners(key: str) -> list[str]:
    """The sections that have a key, those where it has an effect first."""
    owners = [name for model, name in SECTIONS.items() if key in model.__struct_fields__]
    if key in ALL_FIELDS:
        owners.append(SECTIONS[Params])
    owners += [name for name in _LITELLM if key in WITHOUT_EFFECT[name] or key in REFUSED[name]]
    return owners


def harmless_owner(key: str) -> str | None:
    """The section of a key of LiteLLM that stands elsewhere, where that takes nobody's protection away."""
    owners = _owners(key)
    if not owners or key in _NEVER_MISPLACED or any(key in REFUSED.get(name, ()) for name in owners):
        return None
    return owners[0] if owners[0] in _LITELLM else None


@lru_cache(maxsize=256)
def _is_like_another(section: str, key: str) -> bool:
    """Tell whether a key looks like one of its section that does something, or protects something."""
    names = [*(TOP_LEVEL if section == WHOLE else effective_names(section)), *REFUSED[section]]
    return bool(difflib.get_close_matches(key[:_KEY_SHOWN], names, n=1, cutoff=_ALIKE))


@lru_cache(maxsize=256)
def _nearest(key: str, known: frozenset[str]) -> str | None:
    near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=_NEAR)
    return near[0] if near else None


def _unknown(section: str, key: str, known: set[str], problems: Problems) -> str:
    """Word the problem of an unknown key: the section that has it, else the nearest known name.

    The search is slow, so only the first problems of a document get it: nobody reads thousands.
    """
    owners = _owners(key)
    for owner in reversed(_LITELLM):
        if (reason := REFUSED[owner].get(key)) is not None:
            return f"is refused, though LiteLLM reads it in {owner} only: {reason}"
    # A key of LiteLLM is no misspelling, save in a section that LiteLLM does not have.
    hinted = not owners or section not in (*_LITELLM, WHOLE)
    if hinted and problems.count < _HINTS:
        # What LiteLLM does not read is nobody's aim.
        aims = frozenset(name for name in known if WITHOUT_EFFECT.get(section, {}).get(name) != UNREAD)
        if near := _nearest(key[:_KEY_SHOWN], aims):
            return f"unknown key, did you mean {near}?"
    return f"unknown key, it belongs in {owners[0]}" if owners else "unknown key, remove it"


def _build(model: type[S], values: dict[str, Any], path: Path, problems: Problems) -> S:
    found = {}
    for key, read in _readers(model).items():
        if key in values:
            wrong: dict[Path, str] = {}
            value = read(values[key], (*path, key), wrong)
            if not wrong:
                found[key] = value
            for here, text in wrong.items():
                problems.add(here, text)
    return model(**found)


@cache
def _readers(model: type[Section]) -> dict[str, Reader]:
    """Each key of a section, and what reads its values."""
    return {key: reader(each) for key, each in get_type_hints(model, include_extras=True).items()}


def _is_default(key: str, value: Any, path: Path, problems: Problems) -> bool:
    if key in NUMBER_FIELDS and (isinstance(value, bool) or not isinstance(value, int | float)):
        problems.add(path, "must be a number; write it without quotes")
        return False
    return True
