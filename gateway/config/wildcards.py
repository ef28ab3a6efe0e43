"""Entries whose `model_name` holds `*`: which names they serve, and by which deployments. Pure.

What of a name stands for the `*` takes its place in `model`. It comes from a caller, so it must be a safe
name of a deployment: letters, digits, `-`, `_`, `.`, at most 64.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote

import msgspec

from gateway.config.deployment import Deployment
from gateway.config.patterns import STAR, stars

#: Names of which it is remembered what serves them.
_REMEMBERED = 1000

#: Azure's rule for the name of a deployment.
_DEPLOYMENT = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
#: Names of models at OpenAI, and at servers like it.
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", re.ASCII)


def is_deployment(name: str) -> bool:
    """Tell whether a deployment at Azure can be called so."""
    return _DEPLOYMENT.fullmatch(name) is not None and name not in {".", ".."}


class ServedNames(Collection[str]):
    """The names that the entries of `model_list` serve; iterating gives those that are no wildcards."""

    def __init__(self, models: Mapping[str, Sequence[Deployment]]) -> None:
        """`models` are the deployments by `model_name`."""
        self._models = models
        # The one with the most text of its own is the closest; Python's sort keeps the document's order.
        self._patterns = sorted((name for name in models if STAR in name), key=_wideness)
        #: What names were found to stand for.
        self._found: dict[str, tuple[str, Sequence[Deployment]] | None] = {}

    def entry(self, name: str) -> str | None:
        """The `model_name` of the entries that serve `name`, the closest one."""
        if STAR in name:
            return None
        if name in self._models:
            return name
        match = self._match(name)
        return None if match is None else match[0]

    def deployments(self, name: str) -> Sequence[Deployment]:
        """The deployments that serve `name`, as a wildcard's `*` makes them."""
        if STAR in name:
            return ()
        found = self._models.get(name)
        if found is not None:
            return found
        match = self._match(name)
        return () if match is None else match[1]

    @property
    def model_names(self) -> Collection[str]:
        """Every `model_name`, wildcards included."""
        return self._models.keys()

    @property
    def wildcards(self) -> bool:
        """Whether there are any."""
        return bool(self._patterns)

    def _match(self, name: str) -> tuple[str, Sequence[Deployment]] | None:
        """The closest wildcard that serves `name`, and what it makes of it."""
        if not self._patterns:
            return None
        if name not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[name] = next(self._matches(name), None)
        return self._found[name]

    def _matches(self, name: str) -> Iterator[tuple[str, Sequence[Deployment]]]:
        for pattern in self._patterns:
            parts = stars(pattern, name, least=1)
            if parts is not None:
                made = (_filled(each, parts) for each in self._models[pattern])
                if filled := [each for each in made if each is not None]:
                    yield pattern, filled

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.entry(name) is not None

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._models if STAR not in name)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def again(filled: Deployment, entry: Deployment) -> Deployment | None:
    """What `entry`, of another configuration, makes of the name that `filled` was made of."""
    return None if filled.parts is None else _filled(entry, filled.parts)


def _filled(entry: Deployment, parts: Sequence[str]) -> Deployment | None:
    """The deployment that `entry` stands for; None where no deployment can be called so.

    Without a `*` in its `model` it is always the same one.
    """
    if STAR not in entry.name:
        return entry
    name = entry.name
    if name == STAR:
        # Under the wildcard of all names people write the provider as well.
        name = parts[0].removeprefix(f"{entry.provider}/")
        series, _, rest = name.partition("/")
        if (known := entry.series.get(series)) is not None:
            entry, name = replace(known, id=entry.id, order=entry.order), rest
    else:
        for part in parts:
            name = name.replace(STAR, part, 1)
    if not (_MODEL.fullmatch(name) if entry.provider == "openai" else is_deployment(name)):
        return None
    old, new = (f"/openai/deployments/{quote(each, safe='')}/" for each in (entry.name, name))
    targets = {
        operation: msgspec.structs.replace(target, url=target.url.replace(old, new, 1))
        for operation, target in entry.targets.items()
    }
    return replace(entry, id=f"{entry.id}:{name}", name=name, targets=targets, parts=tuple(parts))


def _wideness(pattern: str) -> int:
    return -len(pattern.replace(STAR, ""))
