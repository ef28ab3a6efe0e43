"""A configuration document to a `Config`, or to the list of everything that is wrong with it.

This is the order of the steps: text, references, sections, members, groups, access. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.config.clients import read_access, warn_access
from gateway.config.deployment import Config, Deployment
from gateway.config.document import TOP_LEVEL, read_section, settle_other, top_names
from gateway.config.environment import resolve
from gateway.config.members import DraftMember, read_member
from gateway.config.merge import Part, merge, parse_parts
from gateway.config.policy import read_limits, read_rules
from gateway.config.preparation import LeftOut, Reason, prepare
from gateway.config.problems import MAX_PROBLEMS, WHOLE, ConfigError, Path, Problems, grouped, places, render
from gateway.config.reading import Reading
from gateway.config.sections import General, Library, RouterSettings
from gateway.config.unused import Unused
from gateway.config.values import header_safe
from gateway.config.vault import SecretValues
from gateway.config.wildcards import ServedNames

_MASTER_KEY_VARIABLES = ("GATEWAY_MASTER_KEY", "LITELLM_MASTER_KEY")
_MASTER_KEY: Path = ("general_settings", "master_key")
_CLIENT_LIMITS = ("general_settings", "client_limits")
_ALLOW_ANONYMOUS = ("general_settings", "allow_anonymous")

_CLOSED = (
    "is missing, and without it the gateway is closed; set it, here or as GATEWAY_MASTER_KEY, or "
    "open the gateway to everyone by --allow-anonymous, GATEWAY_ALLOW_ANONYMOUS=1 or "
    "general_settings.allow_anonymous: true"
)
_BOTH = (
    "is set while anonymous access is allowed; remove it, or remove --allow-anonymous, "
    "GATEWAY_ALLOW_ANONYMOUS and general_settings.allow_anonymous"
)

_BOTH_IN_LIBRARY = (
    "holds a master_key, which nothing reads there, while anonymous access is allowed; move it to "
    "general_settings, or remove it"
)


def load(
    text: str | Sequence[Part],
    environ: Mapping[str, str],
    *,
    allow_anonymous: bool = False,
    secrets: SecretValues | None = None,
) -> Config:
    """Load the configuration in `text`, or in the parts of one.

    `os.environ/NAME` is looked up in `environ`, `keyvault/NAME` in `secrets`; None refuses the latter.
    `allow_anonymous` is the operator's word from outside the document. Raises ConfigError with every problem.
    """
    config, problems, _ = _assemble(text, environ, allow_anonymous, secrets)
    if config is None:
        raise ConfigError(problems)
    return config


def load_tree(tree: Mapping[str, Any], environ: Mapping[str, str]) -> Config:
    """Load a document that a Python caller made: its values as they are, for nobody else to call.

    Raises ConfigError with every problem.
    """
    config, problems, _ = _read_tree(dict(tree), environ, Problems(), opened=True, secrets=None)
    if config is None:
        raise ConfigError(problems)
    return config


def check(
    text: str | Sequence[Part],
    environ: Mapping[str, str],
    *,
    allow_anonymous: bool = False,
    secrets: SecretValues | None = None,
) -> tuple[list[str], list[str]]:
    """List the problems and the warnings of a document; it loads if there are no problems."""
    _, problems, warnings = _assemble(text, environ, allow_anonymous, secrets)
    return problems, warnings


def _assemble(
    text: str | Sequence[Part], environ: Mapping[str, str], opened: bool, secrets: SecretValues | None
) -> tuple[Config | None, list[str], list[str]]:
    """The configuration, or None; the problems; the warnings."""
    problems = Problems()
    try:
        trees = parse_parts([Part("", text)] if isinstance(text, str) else text, problems)
    except ConfigError as error:
        return None, error.problems, []
    raw = merge(trees, problems)
    if not isinstance(raw, dict):
        problems.add((), "must be a mapping with model_list in it")
        return None, problems.sentences(), []
    return _read_tree(raw, environ, problems, opened=opened, secrets=secrets)


def _read_tree(
    raw: dict[str, Any],
    environ: Mapping[str, str],
    problems: Problems,
    *,
    opened: bool,
    secrets: SecretValues | None,
) -> tuple[Config | None, list[str], list[str]]:
    prepared = prepare(raw, environ, problems)
    tree, references = resolve(prepared.tree, prepared.environ, problems, secrets)
    unused = Unused()
    library = tree.get("litellm_settings")
    reading = Reading(
        prepared.environ,
        problems,
        warnings=list(prepared.warnings),
        unused=unused,
        references=references,
        drop_params=isinstance(library, dict) and library.get("drop_params") is True,
    )
    for key, value in tree.items():
        if key not in TOP_LEVEL:
            settle_other(WHOLE, (key,), value, top_names(), problems=problems, unused=unused)
    config = _read(tree, opened, reading)
    problems.drop_ignored()
    remarks = grouped(reading.remarks, render)
    warnings = [*remarks, *reading.warnings, *_borrowed(reading), *unused.warnings()]
    if problems:
        return None, problems.sentences(), warnings
    return replace(config, warnings=tuple(warnings)), [], warnings


def _read(tree: dict[str, Any], opened: bool, reading: Reading) -> Config:
    """Read all sections; where `reading.problems` has any then, the result has no use."""
    problems, unused = reading.problems, reading.unused
    models = _read_models(tree.get("model_list"), reading)
    router, _ = read_section(
        RouterSettings, tree.get("router_settings"), ("router_settings",), problems, unused
    )
    library, _ = read_section(Library, tree.get("litellm_settings"), ("litellm_settings",), problems, unused)
    general, _ = read_section(General, tree.get("general_settings"), ("general_settings",), problems, unused)
    served = ServedNames(models)
    rules = read_rules(router, library, models, served, reading)
    client_limits = read_limits(general.client_limits, _CLIENT_LIMITS, served, problems, unused)
    master_key, at_master_key = general.master_key, _MASTER_KEY
    if master_key is None:
        master_key, at_master_key = _master_key_of_environment(reading)
    access = read_access(tree, served, master_key, problems, unused)
    warn_access(access, served, rules.aliases, reading.warnings)
    anonymous = opened or general.allow_anonymous is True
    keyed = {
        at_master_key: master_key is not None,
        ("clients",): tree.get("clients") is not None,
        ("entra",): tree.get("entra") is not None,
    }
    _check_closed(keyed, problems, anonymous=anonymous)
    unread = tree.get("litellm_settings")
    if anonymous and isinstance(unread, dict) and unread.get("master_key") is not None:
        problems.add(("litellm_settings",), _BOTH_IN_LIBRARY)
    return replace(
        rules,
        master_key=master_key,
        allow_anonymous=anonymous,
        client_limits=client_limits,
        clients=access.clients,
        entra=access.entra,
        strict_fails_open=general.strict_fails_open is not False,
    )


def _check_closed(keyed: Mapping[Path, bool], problems: Problems, *, anonymous: bool) -> None:
    """Either somebody has a key, or the gateway is open to all: neither of them by mistake."""
    if not any(keyed.values()) and not anonymous and not problems.has(_ALLOW_ANONYMOUS):
        problems.add(_MASTER_KEY, _CLOSED)
    for path, given in keyed.items():
        if given and anonymous:
            problems.add(path, _BOTH)


def _read_models(raw: Any, reading: Reading) -> dict[str, tuple[Deployment, ...]]:
    """Members by model name, in document order, each with a unique id and a settled order."""
    if not isinstance(raw, list) or not raw:
        reading.problems.add(("model_list",), "must be a list with at least one entry")
        return {}
    groups: dict[str, list[DraftMember]] = {}
    left_out: dict[Path, LeftOut] = {}
    for index, entry in enumerate(raw):
        if isinstance(entry, LeftOut):
            left_out[("model_list", index)] = entry
            reading.problems.ignore(("model_list", index))
            continue
        if not isinstance(entry, dict):
            reading.problems.add(("model_list", index), "must be a mapping of keys to values")
            continue
        if reading.problems.count > MAX_PROBLEMS:
            reading.problems.add(("model_list",), f"is read up to entry {index} only: too much is wrong")
            break
        member = read_member(entry, ("model_list", index), reading)
        groups.setdefault(member.deployment.model_name, []).append(member)
    _tell_left_out(left_out, reading)
    _check_ids(groups, reading.problems)
    return {name: _settle(members) for name, members in groups.items()}


def _tell_left_out(left_out: Mapping[Path, LeftOut], reading: Reading) -> None:
    """Warn of entries that are left out."""
    for reason in Reason:
        paths = [path for path, entry in left_out.items() if entry.reason is reason]
        if paths:
            reading.warnings.append(f"model_list: {reason.value}{places(paths)}")


def _borrowed(reading: Reading) -> list[str]:
    """Say which members are called with a credential of the environment, not with the managed identity."""
    return [
        f"{name}: members without a credential of their own are called with it{places(paths)}"
        for name, paths in reading.borrowed.items()
    ]


def _master_key_of_environment(reading: Reading) -> tuple[str | None, Path]:
    """GATEWAY_MASTER_KEY or LITELLM_MASTER_KEY, for a document without a master key, and where it stands."""
    for name in _MASTER_KEY_VARIABLES:
        # Empty means unset: shells and app settings often leave such a variable behind.
        text = reading.environ.get(name, "").strip()
        if text:
            try:
                header_safe(text)
            except ValueError as error:
                reading.problems.add((name,), f"the environment variable {error}")
            return text, (name,)
    return None, _MASTER_KEY


def _check_ids(groups: Mapping[str, list[DraftMember]], problems: Problems) -> None:
    seen: set[str] = set()
    for members in groups.values():
        for number, member in enumerate(members, 1):
            identity = _identity(member, number)
            if identity in seen:
                problems.add(
                    (*member.path, "model_info", "id"), "is used twice; give each entry an id of its own"
                )
            seen.add(identity)


def _identity(member: DraftMember, number: int) -> str:
    return member.given_id or f"{member.deployment.model_name}#{number}"


def _settle(members: list[DraftMember]) -> tuple[Deployment, ...]:
    """Deployments of one group. Where some have an order, those without come last, as at LiteLLM."""
    last = max((member.order or 0 for member in members), default=0) + 1
    ordered = last > 1
    return tuple(
        replace(
            member.deployment,
            id=_identity(member, number),
            order=member.order or (last if ordered else 0),
        )
        for number, member in enumerate(members, 1)
    )
