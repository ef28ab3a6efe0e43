"""Dictionaries whose keys are attributes, too: what answers are made of. Pure.

Nothing is left out and nothing invented: fields that the API may leave out (`tool_calls`) read as None, all
others as they came, Azure's own and unknown ones included. Being dictionaries, they can be copied, pickled,
compared, and sent back as they are.

What has a class of its own (`results.py`: choices, messages, usage) is made into it at once. Other objects
within, which few look at (Azure's filter results, details of the usage), become Results when they are asked
for.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_values

#: Characters of a text, and entries of a list, that a `repr` shows.
_SHOWN_TEXT = 200
_SHOWN_ENTRIES = 3
_LONG_LIST = 20


#: Classes by the key that their objects stand under.
Parts: TypeAlias = "Mapping[str, type[Result]]"


#: Within a class with a method `dict` that name is no type.
_Plain: TypeAlias = dict[str, Any]

#: A set: each field that is asked for is looked up here, and a tuple compares with each entry in turn.
_CONTAINERS = frozenset((dict, list))


class Result(dict[str, Any]):
    """One object of an answer."""

    #: The classes of the objects within that have one of their own, by key; all others are Results.
    parts: ClassVar[Parts] = {}
    #: Fields that read as None where they are absent.
    optional: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **more: Any) -> None:
        super().__init__(values, **more)
        _make_parts(self)

    def __setitem__(self, key: str, value: Any) -> None:
        if value.__class__ in _CONTAINERS:
            value = _wrapped(value, self.parts.get(key, Result))
        super().__setitem__(key, value)

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if value.__class__ in _CONTAINERS and (made := _wrapped(value, Result)) is not value:
            super().__setitem__(key, made)
            return made
        return value

    def get(self, key: str, default: Any = None, /) -> Any:
        """The value of a field, `default` where it is absent."""
        if key not in self:
            return default
        return self[key]

    def values(self) -> dict_values[str, Any]:
        """The values of all fields."""
        self._make_all()
        return super().values()

    def items(self) -> dict_items[str, Any]:
        """All fields with their values."""
        self._make_all()
        return super().items()

    def pop(self, key: str, *default: Any) -> Any:
        """Take a field away, and give its value."""
        return _wrapped(super().pop(key, *default), Result)

    def _make_all(self) -> None:
        """Make the objects within that nobody has asked for yet."""
        for key in self:
            self[key]

    def __missing__(self, key: str) -> Any:
        if key in self.optional:
            return None
        raise KeyError(key)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *self, *self.optional})

    def __or__(self, other: Any) -> Any:
        return type(self)({**self, **other}) if isinstance(other, Mapping) else NotImplemented

    def copy(self) -> Any:
        """A shallow copy, of the same class."""
        return type(self)(self)

    def model_dump(
        self,
        *,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] | None = None,
        exclude_none: bool = False,
        **_options: Any,
    ) -> _Plain:
        """Plain dictionaries and lists. Further options of pydantic's are taken and change nothing."""
        names = set(self) if include is None else set(include)
        names -= set(exclude or ())
        chosen = {key: value for key, value in self.items() if key in names}
        return {
            key: _plain(value, exclude_none=exclude_none)
            for key, value in chosen.items()
            if not (exclude_none and value is None)
        }

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """The same as JSON."""
        separators = (",", ":") if indent is None else None
        plain = self.model_dump(**options)
        return json.dumps(plain, indent=indent, separators=separators, ensure_ascii=False)

    def to_json(self, *, indent: int | None = 2, **options: Any) -> str:
        """As `model_dump_json`, under openai-python's name and in its form."""
        return self.model_dump_json(indent=indent, **options)

    def json(self, **options: Any) -> _Plain:
        """As `model_dump`, under LiteLLM's name."""
        return self.model_dump(**options)

    def dict(self, **options: Any) -> _Plain:
        """As `model_dump`, under pydantic's older name."""
        return self.model_dump(**options)

    def to_dict(self, **options: Any) -> _Plain:
        """As `model_dump`, under openai-python's name."""
        return self.model_dump(**options)

    def __str__(self) -> str:
        return _written(self, _full)

    def __repr__(self) -> str:
        return _written(self, _short)


def _make_parts(result: Result) -> None:
    """Make the objects within that have classes of their own."""
    for key, kind in result.parts.items():
        value = dict.get(result, key)
        if value.__class__ in _CONTAINERS:
            dict.__setitem__(result, key, _wrapped(value, kind))


def _wrapped(value: Any, kind: type[Result]) -> Any:
    """`value` with its dictionaries as objects. What has none, such as a list of numbers, is kept."""
    if value.__class__ is dict:
        result = kind.__new__(kind)
        result.update(value)
        if kind.parts:
            _make_parts(result)
        return result
    if value.__class__ is list and value and value[0].__class__ in _CONTAINERS:
        made = [_wrapped(entry, kind) for entry in value]
        return value if all(map(operator.is_, made, value)) else made
    return value


def _plain(value: Any, *, exclude_none: bool) -> Any:
    if isinstance(value, Result):
        return value.model_dump(exclude_none=exclude_none)
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        return [_plain(entry, exclude_none=exclude_none) for entry in value]
    return value


def _written(result: Result, written: Any) -> str:
    fields = ", ".join(f"{key}={written(value)}" for key, value in result.items())
    return f"{type(result).__name__}({fields})"


def _full(value: Any) -> str:
    if isinstance(value, Result):
        return str(value)
    if isinstance(value, list) and value and isinstance(value[0], Result):
        return f"[{', '.join(map(_full, value))}]"
    return repr(value)


def _short(value: Any) -> str:
    """As a notebook can show it: filter results and other details are only named."""
    if type(value) is Result:
        return f"{{{', '.join(value)}}}"
    if isinstance(value, str) and len(value) > _SHOWN_TEXT:
        return f"{value[:_SHOWN_TEXT]!r}... ({len(value)} characters)"
    if isinstance(value, list):
        shown = value if len(value) <= _LONG_LIST else value[:_SHOWN_ENTRIES]
        more = "" if shown is value else f", ... ({len(value)} in all)"
        return f"[{', '.join(map(_short, shown))}{more}]"
    return repr(value)
