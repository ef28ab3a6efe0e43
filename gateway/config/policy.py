"""What holds for all deployments: strategy, rests, limits of clients.

Knows how `router_settings`, `litellm_settings` and `general_settings` work together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from gateway.config.access import ClientLimits, Limit
from gateway.config.deployment import Alias, Config, Deployment
from gateway.config.document import read_section
from gateway.config.fallbacks import read_fallbacks
from gateway.config.problems import Path, Problems
from gateway.config.reading import Reading
from gateway.config.retry_policies import read_retry_policies
from gateway.config.sections import ClientLimit, Library, RouterSettings
from gateway.config.unused import Unused
from gateway.config.wildcards import ServedNames

#: Calls of deployments for one request: four of its model, and two of fallbacks.
DEFAULT_UPSTREAM_CALLS = 6
#: Seconds that a call waits for a place where nothing else is said.
DEFAULT_PLACE_WAIT = 20.0
#: LiteLLM's default for `num_retries`.
DEFAULT_RETRIES = 2
#: LiteLLM's strategies that choose by usage below the limits: here the default choice, with caps.
_CAPPED = ("usage-based-routing", "usage-based-routing-v2")
_SHUFFLE = "simple-shuffle"
#: LiteLLM's strategies whose place our choice takes.
_REPLACED = ("least-busy", "latency-based-routing", "cost-based-routing")

_NOT_A_MODEL = "names a model that is not in model_list"

_ENFORCE = "enforce_model_rate_limits"
#: Seconds after which every rest ends, however long the configured one.
_LONGEST_REST = 60


def read_rules(
    router: RouterSettings,
    library: Library,
    models: Mapping[str, tuple[Deployment, ...]],
    served: ServedNames,
    reading: Reading,
) -> Config:
    """A configuration of `models`, and of what the two sections say for all of them.

    `served` are their names. `router_settings` wins over `litellm_settings`, key by key.
    """
    shuffle, capped = read_strategy(router, reading.problems, reading.warnings)
    deployments = [each for group in models.values() for each in group]
    warn_strict(deployments, reading.warnings, capped=capped)
    warn_rests(deployments, router, library, reading.warnings)
    aliases = read_aliases(router, served, reading.problems)
    retries = library.num_retries if router.num_retries is None else router.num_retries
    return Config(
        models=MappingProxyType(models),
        aliases=MappingProxyType(aliases),
        num_retries=DEFAULT_RETRIES if retries is None else retries,
        retry_policies=read_retry_policies(router, served, reading),
        timeout=library.request_timeout or router.timeout,
        stream_timeout=router.stream_timeout,
        allowed_fails=library.allowed_fails if router.allowed_fails is None else router.allowed_fails,
        cooldown_time=library.cooldown_time if router.cooldown_time is None else router.cooldown_time,
        disable_cooldowns=router.disable_cooldowns is True,
        shuffle=shuffle,
        max_parallel_requests=router.default_max_parallel_requests,
        capped=capped,
        fallbacks=read_fallbacks(router, library, served, aliases, reading),
        max_wait=router.max_wait or 0.0,
        place_wait=DEFAULT_PLACE_WAIT if router.max_wait is None else router.max_wait,
        max_upstream_calls=router.max_upstream_calls or DEFAULT_UPSTREAM_CALLS,
    )


def read_strategy(router: RouterSettings, problems: Problems, warnings: list[str]) -> tuple[bool, bool]:
    """Whether deployments are drawn by weights alone, and whether their limits are caps."""
    strategy = router.routing_strategy
    path = ("router_settings", "routing_strategy")
    if strategy in _REPLACED:
        warnings.append(
            f"router_settings.routing_strategy: {strategy} is not available; deployments are chosen by "
            "their room per second until their limit renews"
        )
    elif strategy not in {None, _SHUFFLE, *_CAPPED}:
        known = ", ".join((_SHUFFLE, *_CAPPED, *_REPLACED))
        problems.add(path, f"is not a known strategy; use one of {known}, or remove it")
    checks = router.optional_pre_call_checks or []
    warnings += [
        f"router_settings.optional_pre_call_checks: {check} has no effect"
        for check in checks
        if check != _ENFORCE
    ]
    return strategy == _SHUFFLE, strategy in _CAPPED or _ENFORCE in checks


def warn_strict(deployments: Iterable[Deployment], warnings: list[str], *, capped: bool) -> None:
    """Warn of every `strict` that has no cap to make exact."""
    idle = [each.id for each in deployments if each.strict and not (capped and (each.rpm or each.tpm))]
    if idle:
        warnings.append(
            f"model_list: strict has no effect (in {', '.join(idle)}); it makes rpm and tpm exact where "
            f"router_settings.optional_pre_call_checks holds {_ENFORCE}"
        )


def warn_rests(
    deployments: Iterable[Deployment], router: RouterSettings, library: Library, warnings: list[str]
) -> None:
    """Warn of every `cooldown_time` that is longer than any rest."""
    configured = [(each.id, each.cooldown_time) for each in deployments]
    configured += [
        ("router_settings", router.cooldown_time),
        ("litellm_settings", library.cooldown_time),
    ]
    cut = [place for place, seconds in configured if seconds is not None and seconds > _LONGEST_REST]
    if cut:
        warnings.append(
            f"cooldown_time: a rest ends after {_LONGEST_REST} seconds at the latest (in {', '.join(cut)})"
        )


def read_limits(
    raw: Any, path: Path, models: Collection[str], problems: Problems, unused: Unused
) -> ClientLimits | None:
    """What a client may use, from the section at `path`; None without limits."""
    if raw is None:
        return None
    total, _ = read_section(ClientLimit, raw, path, problems, unused)
    single: dict[str, Limit] = {}
    for model, section in (total.models or {}).items():
        here = (*path, "models", model)
        _check(model, models, here, problems)
        limit, _ = read_section(ClientLimit, section, here, problems, unused)
        if limit.models is not None:
            problems.add((*here, "models"), "must stand beside the limits of all models, not within one's")
        single[model] = _limit(limit, here, problems)
    return ClientLimits(_limit(total, path, problems), single)


def _limit(limit: ClientLimit, path: Path, problems: Problems) -> Limit:
    if limit.strict and limit.rpm is None and limit.tpm is None:
        problems.add((*path, "strict"), "has no limit to make exact; set rpm or tpm beside it")
    return Limit(limit.rpm, limit.tpm, bool(limit.strict))


def _check(model: Any, models: Collection[str], path: Path, problems: Problems) -> None:
    if model not in models:
        problems.add(path, _NOT_A_MODEL)


def read_aliases(router: RouterSettings, models: Collection[str], problems: Problems) -> dict[str, Alias]:
    """`model_group_alias`: a name, or `{model: NAME, hidden: true}`. A model of the alias's name wins."""
    found: dict[str, Alias] = {}
    for name, value in (router.model_group_alias or {}).items():
        path = ("router_settings", "model_group_alias", name)
        model, hidden = value, False
        if isinstance(value, dict):
            model, hidden = value.get("model"), value.get("hidden", False)
        if not isinstance(model, str) or not isinstance(hidden, bool):
            problems.add(path, "must be the name of a model, or {model: NAME, hidden: true}")
        elif model not in models:
            problems.add(path, _NOT_A_MODEL)
        elif name == model and not hidden:
            # Some files name every model so; it changes nothing.
            continue
        elif name in models:
            problems.add(path, "is the name of a model in model_list, too; keep one of them")
        else:
            found[name] = Alias(model, hidden)
    return found
