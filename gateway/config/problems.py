"""Problems of a configuration: a sentence each, with the path of the key, and never a value.

A value may be a secret wherever it stands (a key pasted in the wrong line), so no problem quotes one.
Key names are quoted only when they look like names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

Path = tuple[str | int, ...]

#: Levels of nesting that are still a configuration.
MAX_DEPTH = 50
#: Values that a document may hold, once its aliases are written out.
MAX_VALUES = 100_000
#: Problems after which reading entries has no use.
MAX_PROBLEMS = 1000
#: Sentences that fit on a screen.
SCREEN = 40
#: What the top of the document is called.
WHOLE = "document"
#: Steps of a path that lead to an entry of a list.
ENTRY = 2
#: Entries with the same problem that are still named one by one, less one, and entries named of more.
_ALIKE = 3
_NAMED = 5

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}", re.ASCII)


class ConfigError(Exception):
    """The configuration cannot be used; `problems` holds one sentence for each reason."""

    def __init__(self, problems: list[str]) -> None:
        """`problems` are complete sentences, each with its path, fit for a log or a terminal."""
        self.problems = problems
        super().__init__("\n".join(problems))


class Places(Protocol):
    """Tells where values were written."""

    def where(self, path: Path) -> str:
        """Name the place of the value at `path`."""


class Problems(msgspec.Struct):
    """Collects problems; the first one about a path wins, since later ones only follow from it."""

    _found: dict[Path, str] = msgspec.field(default_factory=dict)
    _settled: set[Path] = msgspec.field(default_factory=set)
    _ignored: set[Path] = msgspec.field(default_factory=set)
    #: Keys at the top of YAML documents under which values stand that others repeat.
    anchors: set[str | int] = msgspec.field(default_factory=set)
    #: Where the values of a document were written that is put together from several.
    origins: Places | None = None

    def add(self, path: Path, text: str) -> None:
        """Record that the value at `path` is wrong: what, and how to fix it."""
        if path not in self._settled:
            self._found.setdefault(path, text)

    def settle(self, path: Path) -> None:
        """Take the value at `path` as dealt with: a problem above it says all there is to say."""
        self._settled.add(path)

    def ignore(self, path: Path) -> None:
        """Take the value at `path` as one that nobody uses, whatever is wrong with it."""
        self._ignored.add(path)

    def drop_ignored(self) -> None:
        """Forget what is wrong with values that nobody uses."""
        if self._ignored:
            self._found = {path: text for path, text in self._found.items() if not self._is_ignored(path)}

    def _is_ignored(self, path: Path) -> bool:
        return any(path[:length] in self._ignored for length in range(1, len(path) + 1))

    def has(self, path: Path) -> bool:
        """Tell whether the value at exactly this path is wrong or dealt with."""
        return path in self._found or path in self._settled

    def where(self, path: Path) -> str:
        """Name the place of a value, for a problem of another one."""
        return render(path) if self.origins is None else self.origins.where(path)

    def sentences(self) -> list[str]:
        """Return all problems as `path: text`, in the order found; what many entries share is one of them."""
        sentences = grouped(self._found.items(), self.where)
        if len(sentences) > SCREEN:
            more = len(sentences) - SCREEN + 1
            sentences[SCREEN - 1 :] = [f"document: {more} more problems; mend these first"]
        return sentences

    @property
    def count(self) -> int:
        """How many there are so far."""
        return len(self._found)

    def __bool__(self) -> bool:
        return bool(self._found)


def grouped(found: Iterable[tuple[Path, str]], where: Callable[[Path], str]) -> list[str]:
    """Sentences of paths and texts, in their order; what many entries share is one of them."""
    alike: dict[tuple[Path, str], list[Path]] = {}
    for path, text in found:
        alike.setdefault((_in_entries(path), text), []).append(path)
    sentences: list[str] = []
    for (key, text), paths in alike.items():
        if len(paths) < _ALIKE:
            sentences += [f"{where(path)}: {text}" for path in paths]
        else:
            name = render(key[2:]) if len(key) > ENTRY else render(key[:1])
            sentences.append(f"{name}: {text}{places(paths)}")
    return sentences


def _in_entries(path: Path) -> Path:
    """`path` with the entry's number taken out, where it leads into one of a list at the top."""
    if len(path) >= ENTRY and isinstance(path[1], int):
        return (path[0], -1, *path[ENTRY:])
    return path


def places(paths: list[Path]) -> str:
    """Name the entries that `paths` lead into, in brackets; empty where they lead into none."""
    entries = [
        path[:ENTRY] for path in dict.fromkeys(paths) if len(path) >= ENTRY and isinstance(path[1], int)
    ]
    if not entries:
        return ""
    numbers = list(dict.fromkeys(entries))
    first = render(numbers[0])
    if len(numbers) == 1:
        return f" (in {first})"
    others = "".join(f", [{number}]" for _, number in numbers[1:_NAMED])
    return f" (in {len(numbers)} entries: {first}{others}{', ...' if len(numbers) > _NAMED else ''})"


def is_name(key: str) -> bool:
    """Tell whether a key looks like one: anything else may be a secret in the wrong place."""
    return _NAME.fullmatch(key) is not None


def render(path: Path) -> str:
    """Write a path as people do, `model_list[2].litellm_params.api_base`; the whole is `document`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if is_name(step) else "<key>")
    return text or WHOLE
