"""Several documents as one: a configuration may be spread over up to three secrets. Pure.

Mappings are merged key by key; the lists `model_list` and `clients` follow one another. Whatever is wrong
later is told by the place where its author finds it: `SECRET: path`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.config.problems import ConfigError, Path, Problems, render
from gateway.config.syntax import parse

#: The lists of which each document has a part.
_JOINED: tuple[Path, ...] = (("model_list",), ("clients",))


@dataclass(frozen=True, slots=True)
class Part:
    """One of the documents that a configuration is made of."""

    #: The secret's name; empty for the only document.
    name: str
    text: str = field(repr=False)


class Origins:
    """Where each value of the whole was written."""

    def __init__(self) -> None:
        self._places: dict[Path, tuple[str, Path]] = {}

    def note(self, path: Path, name: str, there: Path) -> None:
        """The value at `path` of the whole stands at `there` in the document `name`."""
        self._places[path] = name, there

    def where(self, path: Path) -> str:
        """Name the place of the value at `path` of the whole."""
        for depth in range(len(path), 0, -1):
            if (found := self._places.get(path[:depth])) is not None:
                name, there = found
                place = render((*there, *path[depth:]))
                return f"{name}: {place}" if name else place
        return render(path)


def parse_parts(parts: Sequence[Part], problems: Problems) -> list[tuple[str, Any]]:
    """The documents as trees, with their names. Raises ConfigError with what is wrong with a text.

    What is wrong with the only one, and does not keep it from being read, goes to `problems`.
    """
    if len(parts) == 1 and not parts[0].name:
        return [("", parse(parts[0].text, problems))]
    trees: list[tuple[str, Any]] = []
    found: list[str] = []
    for part in parts:
        own = Problems()
        try:
            tree = parse(part.text, own)
        except ConfigError as error:
            sentences = error.problems
        else:
            if not isinstance(tree, dict):
                own.add((), "must be a mapping of keys to values")
            sentences = own.sentences()
            problems.anchors |= own.anchors
            trees.append((part.name, tree))
        found += [f"{part.name}: {sentence}" for sentence in sentences]
    if found:
        raise ConfigError(found)
    return trees


def merge(trees: Sequence[tuple[str, Any]], problems: Problems) -> Any:
    """One tree of several; keys with two values go to `problems`, which then tells places by document."""
    if len(trees) == 1 and not trees[0][0]:
        return trees[0][1]
    merging = _Merging(problems)
    for name, tree in trees:
        merging.name = name
        merging.add(merging.whole, tree, ())
    return merging.whole


class _Merging:
    """The whole so far, and the document that is added to it."""

    def __init__(self, problems: Problems) -> None:
        self.whole: dict[str, Any] = {}
        self.name = ""
        self._problems = problems
        self._origins = problems.origins = Origins()

    def add(self, present: dict[str, Any], tree: dict[str, Any], path: Path) -> None:
        """Add `tree` to what is present at `path`."""
        for key, value in tree.items():
            here = (*path, key)
            old = present.get(key)
            if isinstance(value, dict) and (old is None or isinstance(old, dict)):
                if old is None:
                    present[key] = {}
                    self._origins.note(here, self.name, here)
                self.add(present[key], value, here)
            elif here in _JOINED and isinstance(value, list) and (old is None or isinstance(old, list)):
                present[key] = [*(old or ()), *value]
                self._origins.note(here, self.name, here)
                for index in range(len(value)):
                    self._origins.note((*here, len(old or ()) + index), self.name, (*here, index))
            elif old is None:
                present[key] = value
                self._origins.note(here, self.name, here)
            elif value is not None:
                self._problems.add(here, f"has a value in {self.name}: {render(here)}, too; keep one of them")
