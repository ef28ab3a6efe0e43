"""YAML to plain values, from the parser's events.

Rules of this file: keys are text and unique; aliases and merge keys (`<<`) work, within a budget; tags are
refused, so no text ever names a type; dates stay text, because in this document they are api-versions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml import events
from yaml.constructor import SafeConstructor
from yaml.nodes import ScalarNode
from yaml.resolver import Resolver

from gateway.config.problems import MAX_DEPTH, MAX_VALUES, ConfigError, Path, Problems

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
#: 0600 is 384 in YAML 1.1, 10:30 is 630.
_AMBIGUOUS = re.compile(r"[-+]?0[0-9_]+|.*:.*")
_AS_TEXT = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")


class UnreadNumber(str):
    """A number that people and YAML read differently: text, so that it is none where an alias repeats it."""

    __slots__ = ()


def parse(text: str, problems: Problems) -> Any:
    """Read the one YAML document in `text`. Raises ConfigError when it is not YAML or breaks a bound."""
    try:
        return _Reader(yaml.parse(text, Loader=_Loader), problems).document()
    except yaml.MarkedYAMLError as error:
        raise ConfigError([f"document: is not valid YAML{_where(error.problem_mark)}{_why(error)}"]) from None
    except yaml.YAMLError:
        raise ConfigError(["document: holds characters that YAML does not allow"]) from None


class _Reader:
    """Builds values out of one stream of events."""

    def __init__(self, stream: Iterator[Any], problems: Problems) -> None:
        self.stream = stream
        self.problems = problems
        self.resolver = Resolver()
        self.constructor = SafeConstructor()
        #: Anchor name -> its value, the number of values inside, itself included, and the key at the top.
        self.anchors: dict[str, tuple[Any, int, Path]] = {}
        self.count = 0

    def document(self) -> Any:
        next(self.stream)
        if not isinstance(next(self.stream), events.DocumentStartEvent):
            raise ConfigError(["document: is empty; it needs at least a model_list"])
        value = self.value(next(self.stream), (), 0)
        next(self.stream)
        if not isinstance(next(self.stream), events.StreamEndEvent):
            raise ConfigError(["document: holds several YAML documents; keep one, without a second ---"])
        return value

    def value(self, event: Any, path: Path, depth: int) -> Any:
        if isinstance(event, events.AliasEvent):
            # An alias inside its own anchor is unknown here too: the anchor is registered when complete.
            if event.anchor not in self.anchors:
                raise ConfigError(
                    [f"document: an alias without an anchor before it{_where(event.start_mark)}"]
                )
            known, size, holder = self.anchors[event.anchor]
            self._grow(size)
            if path[:1] != holder:
                self.problems.anchors.update(holder)
            return known
        before = self.count
        self._grow(1)
        if depth > MAX_DEPTH:
            raise ConfigError(
                [f"document: is nested more than {MAX_DEPTH} levels deep{_where(event.start_mark)}"]
            )
        if event.tag is not None:
            self.problems.add(path, f"has a YAML tag (!...){_where(event.start_mark)}; remove the tag")
        if isinstance(event, events.ScalarEvent):
            value: Any = self.scalar(event, path)
        elif isinstance(event, events.SequenceStartEvent):
            value = []
            while not isinstance(inner := next(self.stream), events.SequenceEndEvent):
                value.append(self.value(inner, (*path, len(value)), depth + 1))
        else:
            value = self.mapping(path, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, self.count - before, path[:1])
        return value

    def mapping(self, path: Path, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(event := next(self.stream), events.MappingEndEvent):
            if self._merges(event):
                value = self.value(next(self.stream), path, depth + 1)
                self._merge(merged, value, path, _line(event))
                continue
            key = self.value(event, path, depth + 1)
            if not isinstance(key, str):
                self.problems.add(path, f"has a key that is not text{_line(event)}; put the key in quotes")
                key = "?"
            elif key in own:
                self.problems.add((*path, key), f"is given twice{_line(event)}; keep one")
            own[key] = self.value(next(self.stream), (*path, key), depth + 1)
        return {**merged, **own}

    def scalar(self, event: Any, path: Path) -> Any:
        tag = self._tag(event)
        if tag in _AS_TEXT or event.tag is not None:
            return event.value
        if tag in _NUMBERS and _AMBIGUOUS.fullmatch(event.value):
            self.problems.add(
                path,
                "is a number that YAML reads in base 8 or 60"
                f"{_where(event.start_mark)}; write it without leading zeros and colons, or in quotes",
            )
            return UnreadNumber(event.value)
        try:
            return self.constructor.construct_object(ScalarNode(tag, event.value))
        except (ValueError, TypeError, yaml.YAMLError):
            self.problems.add(
                path, f"is not a number that can be read{_where(event.start_mark)}; write it plainly"
            )
            return None

    def _merges(self, event: Any) -> bool:
        """Whether a key is `<<`, without a tag and quotes."""
        if not isinstance(event, events.ScalarEvent) or event.value != "<<":
            return False
        return event.tag is None and self._tag(event) == _MERGE

    def _merge(self, into: dict[str, Any], value: Any, path: Path, line: str) -> None:
        """Add what `<<` brings: of several mappings the first with a key wins (YAML merge type)."""
        sources = value if isinstance(value, list) else [value]
        for source in sources:
            if isinstance(source, dict):
                for key, inner in source.items():
                    into.setdefault(key, inner)
            else:
                self.problems.add(path, f"merges something that is not a mapping{line}; merge mappings only")

    def _tag(self, event: Any) -> str:
        return str(self.resolver.resolve(ScalarNode, event.value, event.implicit))  # type: ignore[no-untyped-call]

    def _grow(self, size: int) -> None:
        self.count += size
        if self.count > MAX_VALUES:
            raise ConfigError([f"document: holds more than {MAX_VALUES} values with its aliases written out"])


def _line(event: Any) -> str:
    return f" (line {event.start_mark.line + 1})"


def _where(mark: Any) -> str:
    return "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"


def _why(error: yaml.MarkedYAMLError) -> str:
    """Give the parser's explanation, unless it quotes the document: what it quotes may be a secret."""
    problem = error.problem or ""
    return "" if not problem or "'" in problem or '"' in problem else f": {problem}"
