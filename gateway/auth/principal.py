"""Who calls, once that is known: the name, the models and the limits of a request."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from gateway.config.access import ClientLimits, ClientSpec
from gateway.config.patterns import STAR, matches

#: What a request is recorded under when the gateway is open to all.
ANONYMOUS = "anonymous"
#: The holder of the master key.
MASTER = "master"
#: An administrator by a role of Entra ID who is no client.
ADMIN = "admin"


class ModelFilter:
    """The models that a client may name. Built once for each client and configuration."""

    __slots__ = ("_globs", "_names", "patterns")

    def __init__(self, patterns: Sequence[str]) -> None:
        """`patterns` are names, or globs with `*`."""
        self.patterns = tuple(patterns)
        self._names = frozenset(pattern for pattern in patterns if STAR not in pattern)
        self._globs = tuple(pattern for pattern in patterns if STAR in pattern)

    def allows(self, model: str) -> bool:
        """Whether a client may name `model`."""
        return model in self._names or any(matches(pattern, model) for pattern in self._globs)


class Principal(msgspec.Struct, frozen=True):
    """Who sends a request."""

    #: What its limits are counted under, and its requests logged.
    name: str
    limits: ClientLimits | None = None
    #: None stands for all models.
    models: ModelFilter | None = None
    #: The limits are counted and shown but refuse nothing.
    shadow: bool = False
    #: May use `/gateway/*`.
    admin: bool = False
    #: Seconds since 1970 at which the key or the token ends; None where it does not.
    expires: float | None = None

    def may_use(self, model: str) -> bool:
        """Whether it may name `model`; whether there is one, is not known here."""
        return self.models is None or self.models.allows(model)


def of_client(client: ClientSpec) -> Principal:
    """The principal that a client's keys and tokens make of their bearer."""
    limits = client.limits
    if limits is not None and client.shadow:
        # Nothing is refused, so nothing needs to be exact, at the price that exactness has.
        limits = ClientLimits(
            replace(limits.total, strict=False),
            {model: replace(limit, strict=False) for model, limit in limits.models.items()},
        )
    return Principal(
        client.name,
        limits,
        None if client.models is None else ModelFilter(client.models),
        shadow=client.shadow,
        admin=client.admin,
    )
