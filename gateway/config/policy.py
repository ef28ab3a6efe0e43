"""What holds for all deployments: strategy, rests, other models to fall back to, limits of clients.

Knows how `router_settings`, `litellm_settings` and `general_settings` work together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from gateway.config.access import ClientLimits, Limit
from gateway.config.deployment import Alias, Deployment, Fallbacks
from gateway.config.document import ClientLimit, Library, RouterSettings, read_section
from gateway.config.problems import Path, Problems, render
from gateway.config.reading import Reading
from gateway.config.unused import Unused

#: LiteLLM's strategies that choose by usage below the limits: here the default choice, with caps.
_CAPPED = ("usage-based-routing", "usage-based-routing-v2")
_SHUFFLE = "simple-shuffle"
#: LiteLLM's strategies whose place our choice takes.
_REPLACED = ("least-busy", "latency-based-routing", "cost-based-routing")

_NOT_A_MODEL = "names a model that is not in model_list"

_ENFORCE = "enforce_model_rate_limits"
#: LiteLLM's default for `max_fallbacks`.
_MAX_FALLBACKS = 5
#: Among fallbacks of each kind, every model that has no entry of its own.
_ANY = "*"
#: Seconds after which every rest ends, however long the configured one.
_LONGEST_REST = 60


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


def read_fallbacks(
    router: RouterSettings,
    library: Library,
    models: Collection[str],
    aliases: Mapping[str, Alias],
    reading: Reading,
) -> Fallbacks:
    """Other models to try. `router_settings` wins over `litellm_settings`, kind by kind.

    Names that nothing serves are left out with a warning: without them a call fails where it failed before.
    """

    def known(name: Any, path: Path) -> str | None:
        if name in models:
            return str(name)
        if name in aliases:
            return aliases[name].model
        reading.warnings.append(f"{render(path)}: {_NOT_A_MODEL}; it is left out")
        return None

    def all_known(names: Iterable[str], path: Path) -> tuple[str, ...]:
        return tuple(found for name in names if (found := known(name, path)) is not None)

    def mapping(key: str) -> dict[str, tuple[str, ...]]:
        section, settings = (
            ("router_settings", router) if getattr(router, key) else ("litellm_settings", library)
        )
        found: dict[str, tuple[str, ...]] = {}
        for index, entry in enumerate(getattr(settings, key) or ()):
            for model, others in entry.items():
                path = (section, key, index, model)
                name = model if model == _ANY else known(model, path)
                if name is not None:
                    found[name] = all_known(others, path)
        return found

    general = mapping("fallbacks")
    section = "router_settings" if router.default_fallbacks else "litellm_settings"
    default = router.default_fallbacks or library.default_fallbacks
    default = list(all_known(default or (), (section, "default_fallbacks")))
    return Fallbacks(
        general={model: others for model, others in general.items() if model != _ANY},
        default=tuple(default or general.get(_ANY, ())),
        context_window=_spread(mapping("context_window_fallbacks"), models),
        content_policy=_spread(mapping("content_policy_fallbacks"), models),
        most=_MAX_FALLBACKS if router.max_fallbacks is None else router.max_fallbacks,
    )


def _spread(fallbacks: dict[str, tuple[str, ...]], models: Collection[str]) -> dict[str, tuple[str, ...]]:
    """`fallbacks` with the star's written out: for every model without an entry, except to itself."""
    star = fallbacks.pop(_ANY, None)
    if star is None:
        return fallbacks
    return {model: tuple(other for other in star if other != model) for model in models} | fallbacks


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
        elif name in models:
            problems.add(path, "is the name of a model in model_list, too; keep one of them")
        else:
            found[name] = Alias(model, hidden)
    return found
