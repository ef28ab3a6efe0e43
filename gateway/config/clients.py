"""`clients` and `entra`: who may call.

Keys are hashes; a key in clear is refused with advice, and no problem repeats it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec

from gateway.config.access import LAST_SECOND, ClientKey, ClientSpec, EntraRule, EntraSpec
from gateway.config.document import read_section
from gateway.config.patterns import STAR, matches
from gateway.config.policy import read_limits
from gateway.config.problems import Path, Problems
from gateway.config.sections import ClientEntry, EntraEntry, EntraSection, KeyEntry
from gateway.config.unused import Unused
from gateway.config.wildcards import ServedNames

#: Names under which other callers are counted and logged.
RESERVED = frozenset({"master", "anonymous"})

_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})", re.ASCII)
_TENANT = re.compile(r"[A-Za-z0-9-]+", re.ASCII)
#: Names that stand for the tenants of all the world.
_EVERY_TENANT = frozenset({"common", "organizations", "consumers"})

_CLEAR = (
    'must be "sha256:" and 64 hex digits; a key itself never stands here: `python -m gateway keys new` makes '
    "a key and its hash, `python -m gateway keys hash` the hash of one"
)
_EVERYONE = "would match everyone; name what a token must hold in app_ids, roles or groups"


class Access(msgspec.Struct, frozen=True):
    """The document's two sections on callers."""

    clients: tuple[ClientSpec, ...] = ()
    entra: EntraSpec | None = None


def read_access(
    tree: Mapping[str, Any],
    models: Collection[str],
    master_key: str | None,
    problems: Problems,
    unused: Unused,
) -> Access:
    """Read both sections; what is wrong goes to `problems`, and then the result has no use."""
    clients = _read_clients(tree.get("clients"), models, master_key, problems, unused)
    names = {client.name for client in clients}
    return Access(clients, _read_entra(tree.get("entra"), names, master_key, problems, unused))


def warn_access(access: Access, served: ServedNames, aliases: Collection[str], warnings: list[str]) -> None:
    """Warn of clients that nobody can be, and of names of models that match none."""
    models = [*served, *aliases]
    mapped = {rule.client for rule in access.entra.rules} if access.entra is not None else set()
    for index, client in enumerate(access.clients):
        if not client.keys and client.name not in mapped:
            warnings.append(f"clients[{index}]: has no keys, and no entry of entra.clients names it")
        for number, pattern in enumerate(client.models or ()):
            # What a glob has in common with a wildcard is not asked.
            known = pattern in served or (STAR in pattern and served.wildcards)
            if not known and not any(matches(pattern, model) for model in models):
                warnings.append(f"clients[{index}].models[{number}]: matches no model of model_list")


def _read_clients(
    raw: Any,
    models: Collection[str],
    master_key: str | None,
    problems: Problems,
    unused: Unused,
) -> tuple[ClientSpec, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list):
        problems.add(("clients",), "must be a list of clients")
        return ()
    found: list[ClientSpec] = []
    taken = _Taken(master_key, problems)
    for index, entry in enumerate(raw):
        path: Path = ("clients", index)
        if not isinstance(entry, dict):
            problems.add(path, "must be a mapping of keys to values")
            continue
        section, _ = read_section(ClientEntry, entry, path, problems, unused)
        taken.check_name(section.name, (*path, "name"))
        keys = _read_keys(section.keys, (*path, "keys"), problems, unused)
        for number, key in keys.items():
            taken.check_key(key, (*path, "keys", number))
        found.append(
            ClientSpec(
                section.name or "",
                tuple(keys.values()),
                None if section.models is None else tuple(section.models),
                read_limits(section.limits, (*path, "limits"), models, problems, unused),
                shadow=section.shadow is True,
                admin=section.admin is True,
            )
        )
    return tuple(found)


class _Taken:
    """The names and keys of the clients so far, and where they stand: each may be given once."""

    def __init__(self, master_key: str | None, problems: Problems) -> None:
        self._problems = problems
        self._master = None if master_key is None else hashlib.sha256(master_key.encode()).digest()
        self._names: dict[str, Path] = {}
        self._digests: dict[bytes, Path] = {}

    def check_name(self, name: str | None, path: Path) -> None:
        """The client at `path` is called `name`."""
        if name is None:
            self._problems.add(path, "is missing; the client's calls are counted and logged under it")
            return
        if name in RESERVED:
            self._problems.add(path, "is reserved for other callers; choose another name")
        elif name in self._names:
            self._problems.add(path, f"is given twice, also at {self._problems.where(self._names[name])}")
        self._names.setdefault(name, path)

    def check_key(self, key: ClientKey, path: Path) -> None:
        """The client at `path` has `key`."""
        if key.digest == self._master:
            self._problems.add(path, "is the hash of the master key; give the client a key of its own")
        elif key.digest in self._digests:
            where = self._problems.where(self._digests[key.digest])
            self._problems.add(path, f"is given twice, also at {where}")
        self._digests.setdefault(key.digest, path)


def _read_keys(raw: list[Any] | None, path: Path, problems: Problems, unused: Unused) -> dict[int, ClientKey]:
    keys: dict[int, ClientKey] = {}
    for number, value in enumerate(raw or ()):
        here = (*path, number)
        at_hash, text, expires = here, value, None
        if isinstance(value, dict):
            section, _ = read_section(KeyEntry, value, here, problems, unused)
            at_hash, text = (*here, "hash"), section.hash
            expires = _moment(section.expires, (*here, "expires"), problems)
            if text is None:
                problems.add(at_hash, "is missing; " + _CLEAR)
                continue
        match = _HASH.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            problems.add(at_hash, _CLEAR)
            continue
        keys[number] = ClientKey(bytes.fromhex(match[1]), expires)
    return keys


def _moment(text: str | None, path: Path, problems: Problems) -> float | None:
    """A moment as seconds since 1970."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        problems.add(path, 'must be a moment with its time zone, such as "2027-01-31T00:00:00Z"')
        return None
    # A time zone may lead out of the years that other moments are written in.
    return min(max(moment.timestamp(), 0.0), LAST_SECOND)


def _read_entra(
    raw: Any,
    names: Collection[str],
    master_key: str | None,
    problems: Problems,
    unused: Unused,
) -> EntraSpec | None:
    if raw is None:
        return None
    path: Path = ("entra",)
    section, _ = read_section(EntraSection, raw, path, problems, unused)
    tenant = section.tenant_id or ""
    if section.tenant_id is None:
        problems.add((*path, "tenant_id"), "is missing; it is the id of the tenant whose tokens are taken")
    elif tenant.lower() in _EVERY_TENANT:
        problems.add((*path, "tenant_id"), "would take tokens of every tenant; write your tenant's id")
    elif not _TENANT.fullmatch(tenant):
        problems.add((*path, "tenant_id"), "must be the tenant's id, not its domain name")
    rules = [
        _read_rule(entry, (*path, "clients", index), names, problems, unused)
        for index, entry in enumerate(section.clients or ())
    ]
    if not section.clients:
        problems.add(
            (*path, "clients"), "must be a list with at least one entry; it says who is which client"
        )
    pseudonym = section.pseudonym_key or master_key or tenant
    return EntraSpec(
        tenant,
        _audiences(section.audience, (*path, "audience"), problems),
        tuple(rules),
        hashlib.sha256(b"pseudonym:" + pseudonym.encode()).digest(),
    )


def _audiences(raw: Any, path: Path, problems: Problems) -> tuple[str, ...]:
    values = raw if isinstance(raw, list) else [raw]
    if not values or not all(isinstance(value, str) and value.strip() for value in values):
        problems.add(path, "must be the audience of the tokens: the application's id or its api:// address")
        return ()
    return tuple(values)


def _read_rule(raw: Any, path: Path, names: Collection[str], problems: Problems, unused: Unused) -> EntraRule:
    section, _ = read_section(EntraEntry, raw, path, problems, unused)
    given = {
        key: values for key in ("app_ids", "roles", "groups") if (values := getattr(section, key)) is not None
    }
    for key, values in given.items():
        for index, value in enumerate(values):
            if not value.strip() or "*" in value:
                problems.add((*path, key, index), _EVERYONE)
    if not any(given.values()):
        problems.add(path, _EVERYONE)
    elif len(given) > 1:
        problems.add(path, f"takes one of app_ids, roles and groups, not {' and '.join(given)}")
    admin = section.admin is True
    if section.client is None and not admin:
        problems.add((*path, "client"), "is missing; it names an entry of clients")
    elif section.client is not None and section.client not in names:
        problems.add((*path, "client"), "names a client that is not in clients")
    if section.per_user is True and section.client is None:
        problems.add((*path, "per_user"), "needs client, whose limits each user gets")
    return EntraRule(
        section.client,
        # Entra writes ids in lower case; people copy them as they find them.
        app_ids=frozenset(value.lower() for value in given.get("app_ids", ())),
        roles=frozenset(given.get("roles", ())),
        groups=frozenset(value.lower() for value in given.get("groups", ())),
        admin=admin,
        per_user=section.per_user is True,
    )
