"""Values of a configuration as annotations say: `str`, `list[Name] | None` and the like.

Types are strict: no text for a number, no boolean as one. Whatever is wrong in a value is found, not only the
first of it, and no sentence repeats the value. A library does as much, but was a third of a cold start.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
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


def read_value(annotation: Any, value: Any, path: Path, wrong: dict[Path, str]) -> Any:
    """Return `value` as `annotation` says. What is wrong goes to `wrong`, and then the result has no use.

    Functions in an `Annotated` take and return a value of its type, or raise ValueError with what is wrong.
    """
    kind, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if kind is Any:
        return value
    if kind is Annotated:
        return _read_annotated(arguments[0], arguments[1:], value, path, wrong)
    if type(None) in arguments:
        return None if value is None else read_value(arguments[0], value, path, wrong)
    if not _has_type(value, kind):
        wrong[path] = _WRONG_TYPES[kind]
        return value
    if kind is list:
        return [read_value(arguments[0], each, (*path, at), wrong) for at, each in enumerate(value)]
    if kind is dict:
        return _read_dict(arguments, value, path, wrong)
    return kind(value)


def _has_type(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if isinstance(value, int) and kind is float:
        return abs(value) <= sys.float_info.max
    return isinstance(value, kind)


def _read_annotated(
    annotation: Any, checks: tuple[Any, ...], value: Any, path: Path, wrong: dict[Path, str]
) -> Any:
    for check in checks:
        if isinstance(check, Before):
            value = check.change(value)
    value = read_value(annotation, value, path, wrong)
    try:
        for check in checks:
            if path not in wrong and not isinstance(check, Before):
                value = check(value)
    except ValueError as error:
        wrong[path] = str(error)
    return value


def _read_dict(
    annotations: tuple[Any, ...], value: dict[Any, Any], path: Path, wrong: dict[Path, str]
) -> dict[Any, Any]:
    of_keys, of_values = annotations
    found = {}
    for key, each in value.items():
        here = (*path, key if isinstance(key, int) else str(key))
        name = read_value(of_keys, key, (*here, "[key]"), wrong)
        found[name] = read_value(of_values, each, here, wrong)
    return found
