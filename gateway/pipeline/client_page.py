"""What a caller may know of itself, as a page: its name, models and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.auth.principal import Principal
from gateway.config.access import Limit
from gateway.limits.balancing.report import Remaining


def client_page(
    principal: Principal, models: Sequence[str], left: Mapping[str, Remaining] | None
) -> dict[str, Any]:
    """The page of `principal`, who may use `models`; `left` is what it has left of each limit, by model."""
    limits = None
    if principal.limits is not None and left is not None:
        single = {
            name: _limit(limit, left[name])
            for name, limit in principal.limits.models.items()
            # A limit of what an alias stands for may name a model that the caller does not know.
            if principal.may_use(name)
        }
        limits = _limit(principal.limits.total, left[""]) | {"models": single}
    return {
        "object": "client",
        "name": principal.name,
        "admin": principal.admin,
        "models": models,
        "limits": limits,
        "shadow": principal.shadow,
        "expires": moment(principal.expires),
    }


def moment(seconds: float | None) -> str | None:
    """A moment (seconds since 1970) as ISO 8601 in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _limit(limit: Limit, left: Remaining) -> dict[str, Any]:
    return msgspec.structs.asdict(limit) | {
        "remaining_requests": left.requests_left,
        "remaining_tokens": left.tokens_left,
    }
