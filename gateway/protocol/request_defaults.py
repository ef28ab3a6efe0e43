"""Which fields of a configuration are added to a call's body. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.operation import Operation

#: Fields that are two names of one thing, by generation: upstream refuses a body with names of both.
_TWINS = (
    (frozenset(("max_tokens",)), frozenset(("max_completion_tokens",))),
    (frozenset(("functions", "function_call")), frozenset(("tools", "tool_choice", "parallel_tool_calls"))),
    (frozenset(("dataSources",)), frozenset(("data_sources",))),
)


_NOTHING: Mapping[str, Any] = {}


def added_fields(
    operation: Operation,
    body: Mapping[str, Any],
    defaults: Mapping[str, Any],
    extra: Mapping[str, Any] = _NOTHING,
) -> dict[str, Any]:
    """What is added to `body`: the `defaults` that the operation knows, and `extra` for any operation.

    Only what the client did not send, under this name or its twin's. Defaults win over extra fields.
    """
    if not defaults and not extra:
        return {}
    known = operation.body_fields
    taken = _taken(body)
    found = {name: value for name, value in defaults.items() if name in known and name not in taken}
    if extra:
        taken |= _taken(found)
        found |= {name: value for name, value in extra.items() if name not in taken}
    return found


def _taken(body: Mapping[str, Any]) -> set[str]:
    """The names in `body`, and their twins'."""
    taken = set(body)
    for twins in _TWINS:
        for names, others in (twins, twins[::-1]):
            if any(body.get(name) is not None for name in names):
                taken |= others
    return taken
