"""The JSON body of a call, from what a Python caller gave. Pure. Nothing that it gave is changed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from gateway.exceptions import ConfigurationError
from gateway.protocol.json_body import Body, parse
from gateway.protocol.written_body import written

#: What the name of a schema must not hold, and its characters at most.
_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64


def body_of(fields: Mapping[str, Any]) -> Body:
    """The body with these fields; those that are None are left out. `extra_body` is merged in and wins.

    `response_format` may be a class with a JSON schema (pydantic's). Raises ConfigurationError for what is no
    JSON.
    """
    members = {name: value for name, value in fields.items() if value is not None and name != "extra_body"}
    form = members.get("response_format")
    if isinstance(form, type):
        members["response_format"] = _schema_format(form)
    members |= fields.get("extra_body") or {}
    if (body := written(members)) is not None:
        return body
    try:
        raw = _carefully(members).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"The arguments cannot be written as JSON: {error}") from error
    return parse(raw)


def _plain(value: Any) -> Any:
    """What stands for an object that is no JSON: pydantic's models, tuples' like and sets."""
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        # Upstream refuses some of its own fields when they are null.
        return dump(mode="json", exclude_none=True)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


#: Circles are found by the depth that they lead to.
_carefully = json.JSONEncoder(
    default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False
).encode


@lru_cache(maxsize=64)
def _schema_format(form: type) -> dict[str, Any]:
    """The `response_format` that asks for answers of a class. Making it takes longer than a call does."""
    make = getattr(form, "model_json_schema", None)
    if make is None:
        raise ConfigurationError("response_format: must be a mapping, or a class of pydantic's")
    # A generic class is called Page[int].
    name = _NO_NAME.sub("_", form.__name__)[:_LONGEST_NAME]
    schema = {"name": name, "schema": strict_schema(make()), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def strict_schema(schema: Mapping[str, Any]) -> Any:
    """A JSON schema as strict mode wants it: every property required, no other one allowed, no defaults.

    A reference with something beside it (a description) is replaced by what it refers to.
    (https://platform.openai.com/docs/guides/structured-outputs#supported-schemas)
    """
    return _strict(schema, schema, ())


def _strict(schema: Any, root: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    """`within` are the references that the schema stands for already."""
    if isinstance(schema, list):
        return [_strict(entry, root, within) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: value for key, value in schema.items() if key != "default"}
    if (reference := made.pop("$ref", None)) is not None:
        referred = _referred(reference, root)
        if not made or not referred or reference in within:
            # Nothing may stand beside a reference.
            return {"$ref": reference}
        return _strict({**referred, **made}, root, (*within, reference))
    for key in ("anyOf", "allOf", "items", "prefixItems"):
        if key in made:
            made[key] = _strict(made[key], root, within)
    for key in ("properties", "$defs", "definitions"):
        if isinstance(made.get(key), dict):
            made[key] = {name: _strict(value, root, within) for name, value in made[key].items()}
    if made.get("type") == "object":
        # A mapping with any keys has its own, which upstream does not take: it is upstream's to say so.
        made.setdefault("additionalProperties", False)
    if isinstance(made.get("properties"), dict):
        made["required"] = list(made["properties"])
    return made


def _referred(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference stands for; nothing where the schema does not hold it."""
    found: Any = root
    for name in reference.removeprefix("#/").split("/"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}
