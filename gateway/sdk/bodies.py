"""The JSON body of a call, from what a Python caller gave. Pure. Nothing that it gave is changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.exceptions import ConfigurationError
from gateway.protocol.json_body import Body, parse


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
    try:
        raw = _written(members).encode()
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
_written = json.JSONEncoder(
    default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False
).encode


def _schema_format(form: type) -> dict[str, Any]:
    """The `response_format` that asks for answers of a class."""
    make = getattr(form, "model_json_schema", None)
    if make is None:
        raise ConfigurationError("response_format: must be a mapping, or a class of pydantic's")
    schema = {"name": form.__name__, "schema": strict_schema(make()), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def strict_schema(schema: Any) -> Any:
    """A JSON schema as strict mode wants it: every property required, no other one allowed, no defaults.

    (https://platform.openai.com/docs/guides/structured-outputs#supported-schemas)
    """
    if isinstance(schema, list):
        return [strict_schema(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        # Nothing may stand beside a reference.
        return {"$ref": schema["$ref"]}
    made = {key: value for key, value in schema.items() if key != "default"}
    for key in ("anyOf", "allOf", "items", "prefixItems"):
        if key in made:
            made[key] = strict_schema(made[key])
    for key in ("properties", "$defs", "definitions"):
        if isinstance(made.get(key), dict):
            made[key] = {name: strict_schema(value) for name, value in made[key].items()}
    if made.get("type") == "object" or "properties" in made:
        made["additionalProperties"] = False
        made["required"] = list(made.get("properties", {}))
    return made
