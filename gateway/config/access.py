"""Who may call, as values: clients with their keys, and what a token of Entra ID must say.

Nothing here knows the document, the clock or a key in clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

#: The end of the year 9999, in seconds since 1970: no key and no token ends later.
LAST_SECOND = 253_402_300_799.0


class Limit(msgspec.Struct, frozen=True):
    """Requests and tokens per minute that an operator allows; None is no limit."""

    rpm: int | None = None
    tpm: int | None = None
    #: Exact across instances, at the price of a storage round trip for every call.
    strict: bool = False


class ClientLimits(msgspec.Struct, frozen=True):
    """What one client may use: in all, and of single models."""

    total: Limit = msgspec.field(default_factory=Limit)
    models: Mapping[str, Limit] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One key of a client, as a hash."""

    #: SHA-256 of the key's UTF-8 bytes.
    digest: bytes = field(repr=False)
    #: Seconds since 1970 from which the key is refused; None for a key that does not expire.
    expires: float | None = None


class ClientSpec(msgspec.Struct, frozen=True):
    """One entry of `clients`: an application or a team that calls."""

    name: str
    keys: tuple[ClientKey, ...] = ()
    #: Names of models, or globs with `*`; None stands for all.
    models: tuple[str, ...] | None = None
    limits: ClientLimits | None = None
    #: The limits are counted and shown but refuse nothing.
    shadow: bool = False
    #: May use `/gateway/*`.
    admin: bool = False


class EntraRule(msgspec.Struct, frozen=True):
    """One entry of `entra.clients`: tokens with one of these applications, roles or groups."""

    #: The entry of `clients` whose models and limits hold; None only for administrators.
    client: str | None
    app_ids: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    admin: bool = False
    #: Each user (`oid`) has the client's limits for itself.
    per_user: bool = False


@dataclass(frozen=True, slots=True)
class EntraSpec:
    """`entra`: whose tokens are taken, and whom they make of their bearer."""

    tenant_id: str
    audiences: tuple[str, ...]
    rules: tuple[EntraRule, ...]
    #: Keys the hash by which users are told apart in limits, logs and usage.
    pseudonym_key: bytes = field(default=b"", repr=False)
