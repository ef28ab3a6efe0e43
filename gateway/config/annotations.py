"""Values of a configuration as annotations say: `str`, `list[Name] | None` and the like.

Types are strict: no text for a number, no boolean as one. Whatever is wrong in a value is found, not only the
first of it, and no sentence repeats the value. A library does as much, but was a third of a cold start.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import msgspec

from gateway.config.problems import Path

_WRONG_TYPES: dict[type, str] = {
    str: "must be text; put it in quotes",
    int: "must be a whole number; write it without quotes",
    float: "must be a number; write it without quotes",
    bool: "must be true or false; write it without quotes",
    dict: "must be a mapping of keys to values",
    list: "must be a list",
}


class Before(msgspec.Struct, frozen=True):
    """In an `Annotated`: what is done with a value before its type is looked at."""

    change: Callable[[Any], Any]


#: Returns a value as an annotation says. What is wrong goes to the mapping; then the result has no use.
Reader = Callable[[Any, Path, dict[Path, str]], Any]


@cache
def reader(annotation: Any) -> Reader:
    """Make what reads values as `annotation` says.

    Functions in an `Annotated` take and return a value of its type, or raise ValueError with what is wrong.
    """
    kind, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if kind is Any:
        return lambda value, _path, _wrong: value
    if kind is Annotated:
        return _checked(reader(arguments[0]), arguments[1:])
    if type(None) in arguments:
        return _optional(reader(arguments[0]))
    if kind is list:
        return _typed(list, _list_of(reader(arguments[0])))
    if kind is dict:
        return _typed(dict, _dict_of(*map(reader, arguments)))
    return _typed(kind, lambda value, _path, _wrong: kind(value))


def _typed(kind: type, read: Reader) -> Reader:
    """Refuse values of other types than `kind`."""

    def read_typed(value: Any, path: Path, wrong: dict[Path, str]) -> Any:
        if _has_type(value, kind):
            return read(value, path, wrong)
        wrong[path] = _WRONG_TYPES[kind]
        return value

    return read_typed


def _has_type(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if isinstance(value, int) and kind is float:
        return abs(value) <= sys.float_info.max
    return isinstance(value, kind)


def _optional(read: Reader) -> Reader:
    return lambda value, path, wrong: None if value is None else read(value, path, wrong)


def _list_of(read: Reader) -> Reader:
    return lambda value, path, wrong: [read(each, (*path, at), wrong) for at, each in enumerate(value)]


def _dict_of(read_key: Reader, read: Reader) -> Reader:
    def read_dict(value: Any, path: Path, wrong: dict[Path, str]) -> Any:
        found = {}
        for key, each in value.items():
            here = (*path, key if isinstance(key, int) else str(key))
            name = read_key(key, (*here, "[key]"), wrong)
            found[name] = read(each, here, wrong)
        return found

    return read_dict


def _checked(read: Reader, functions: tuple[Any, ...]) -> Reader:
    """Apply the functions of an `Annotated` before the value's type is looked at, and after."""
    changes = [each.change for each in functions if isinstance(each, Before)]
    checks = [each for each in functions if not isinstance(each, Before)]

    def read_checked(value: Any, path: Path, wrong: dict[Path, str]) -> Any:
        for change in changes:
            value = change(value)
        value = read(value, path, wrong)
        try:
            for check in checks:
                if path not in wrong:
                    value = check(value)
        except ValueError as error:
            wrong[path] = str(error)
        return value

    return read_checked
