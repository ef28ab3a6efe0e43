"""Which request defaults of a configuration a call gets. Pure."""

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


def added_defaults(
    operation: Operation, body: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """The members of `defaults` that are added to `body`.

    Those that the operation knows and the client did not send, under this name or its twin's.
    """
    if not defaults:
        return {}
    taken = set(body)
    for twins in _TWINS:
        for names, others in (twins, twins[::-1]):
            if any(body.get(name) is not None for name in names):
                taken |= others
    known = operation.body_fields
    return {name: value for name, value in defaults.items() if name in known and name not in taken}
