"""`keyvault/NAME` references, and what a vault's secrets are to a configuration. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

PREFIX = "keyvault/"

#: Bytes that a secret can hold (learn.microsoft.com/azure/key-vault/secrets/about-secrets).
MAX_SECRET_BYTES = 25_600

_NAME = re.compile(r"[0-9A-Za-z-]{1,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Secret:
    """One version of a secret."""

    value: str = field(repr=False)
    version: str


class SecretMissing(Exception):
    """The vault has no secret of that name, or has it deleted."""


class SecretUnavailable(Exception):
    """A secret cannot be read now: why, in words fit for a log."""


class SecretReader(Protocol):
    """Reads secrets of one vault."""

    async def read(self, name: str) -> Secret:
        """The newest version of a secret. Raises SecretMissing or SecretUnavailable."""


@dataclass(frozen=True, slots=True)
class SecretValues:
    """What a document's references stand for."""

    known: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: Name -> why it could not be had.
    failed: Mapping[str, str] = field(default_factory=dict)
    #: References are accepted without a look at the vault: for checks of a document alone.
    unread: bool = False
    #: So are environment variables that are not set here: the document is used elsewhere.
    elsewhere: bool = False


#: For checks that never call the vault.
UNREAD = SecretValues(unread=True)
#: For documents of a gateway that runs in another environment.
ELSEWHERE = SecretValues(unread=True, elsewhere=True)


def secret_name(reference: str) -> str | None:
    """The secret that `keyvault/NAME` names; None where no secret can be named so.

    Environment variables have underscores, which secrets cannot: `keyvault/MY_KEY` is the secret MY-KEY.
    """
    name = reference.removeprefix(PREFIX).replace("_", "-")
    return name if _NAME.fullmatch(name) else None


def is_secret_name(name: str) -> bool:
    """Tell whether a secret can have this name."""
    return _NAME.fullmatch(name) is not None


def references(tree: Any) -> Iterator[str]:
    """The names of all secrets that a tree of plain values refers to."""
    values = [tree]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values.extend(value.values())
        elif isinstance(value, list):
            values.extend(value)
        elif isinstance(value, str) and value.startswith(PREFIX):
            name = secret_name(value)
            if name is not None:
                yield name
