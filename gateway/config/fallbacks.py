"""Other models to fall back to. Names that nothing serves are told and left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from gateway.config.deployment import Alias, Fallbacks
from gateway.config.problems import Path, render
from gateway.config.reading import Reading
from gateway.config.sections import Library, RouterSettings
from gateway.config.wildcards import ServedNames

#: LiteLLM's default for `max_fallbacks`.
_MAX_FALLBACKS = 5
#: Among fallbacks of each kind, every model that has no entry of its own.
_ANY = "*"
#: Names that nothing serves, in fallbacks of one kind, that are still told one by one.
_SINGLE = 3
_NOT_A_MODEL = "names a model that is not in model_list"


def read_fallbacks(
    router: RouterSettings,
    library: Library,
    served: ServedNames,
    aliases: Mapping[str, Alias],
    reading: Reading,
) -> Fallbacks:
    """Other models to try. `router_settings` wins over `litellm_settings`, kind by kind.

    Names that nothing serves are left out with a warning: without them a call fails where it failed before.
    """
    names = _Names(served, aliases)

    def mapping(key: str) -> dict[str, tuple[str, ...]]:
        own = getattr(router, key)
        entries = own or getattr(library, key) or ()
        path = ("router_settings" if own else "litellm_settings", key)
        return names.mapping(entries, path)

    general = mapping("fallbacks")
    section = "router_settings" if router.default_fallbacks else "litellm_settings"
    default = router.default_fallbacks or library.default_fallbacks or ()
    fallbacks = Fallbacks(
        general={model: others for model, others in general.items() if model != _ANY},
        default=names.known(default, (section, "default_fallbacks")) or general.get(_ANY, ()),
        context_window=_spread(mapping("context_window_fallbacks"), served.model_names),
        content_policy=_spread(mapping("content_policy_fallbacks"), served.model_names),
        most=_MAX_FALLBACKS if router.max_fallbacks is None else router.max_fallbacks,
    )
    reading.warnings += names.warnings()
    return fallbacks


class _Names:
    """Reads the names of models in fallbacks. Those that nothing serves are told and left out."""

    def __init__(self, served: ServedNames, aliases: Mapping[str, Alias]) -> None:
        self._served = served
        self._aliases = aliases
        #: Places of names that nothing serves, by the key that they stand under.
        self._unknown: dict[Path, list[Path]] = {}

    def warnings(self) -> list[str]:
        """A sentence for each name that nothing serves, or for each key where there are many."""
        sentences: list[str] = []
        for key, paths in self._unknown.items():
            if len(paths) > _SINGLE:
                sentences.append(
                    f"{render(key)}: names models that are not in model_list, {len(paths)} times; "
                    "they are left out"
                )
            else:
                sentences += [f"{render(path)}: {_NOT_A_MODEL}; it is left out" for path in paths]
        return sentences

    def known(self, names: Iterable[str], path: Path) -> tuple[str, ...]:
        """Those of `names` that can be called, aliases as their models."""
        return tuple(found for name in names if (found := self._known(name, path)) is not None)

    def mapping(self, entries: Iterable[Mapping[str, list[str]]], path: Path) -> dict[str, tuple[str, ...]]:
        """Fallbacks of one kind: the models that have some may be wildcards of `model_list`."""
        found: dict[str, tuple[str, ...]] = {}
        for index, entry in enumerate(entries):
            for model, others in entry.items():
                here = (*path, index, model)
                own = (
                    model if model == _ANY or model in self._served.model_names else self._known(model, here)
                )
                if own is not None:
                    found[own] = self.known(others, here)
        return found

    def _known(self, name: str, path: Path) -> str | None:
        if name in self._served:
            return name
        if name in self._aliases:
            return self._aliases[name].model
        self._unknown.setdefault(path[:2], []).append(path)
        return None


def _spread(fallbacks: dict[str, tuple[str, ...]], models: Collection[str]) -> dict[str, tuple[str, ...]]:
    """`fallbacks` with the star's written out: for every model without an entry, except to itself."""
    star = fallbacks.pop(_ANY, None)
    if star is None:
        return fallbacks
    return {model: tuple(other for other in star if other != model) for model in models} | fallbacks
