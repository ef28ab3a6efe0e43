"""A request body made from Python values, as fast as it can be read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.protocol.json_body import Body, Values
from gateway.protocol.json_walk import LARGE, check_depth

_write = msgspec.json.Encoder().encode
_value = msgspec.json.Decoder().decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def written(members: Mapping[str, Any]) -> Body | None:
    """The body with these members.

    None for what a slower writer has to look at: what is large, and what does not come back as it was given.
    msgspec writes NaN as null, and bytes as a text. Raises BadRequest for what is nested too deep.
    """
    try:
        raw = _write(members)
        if len(raw) > LARGE:
            return None
        values = _value(raw)
        if values != members:
            return None
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    check_depth(raw)
    return Body(raw, Values(_members(raw), values))
