"""Key Vault's secrets: versions, paging, soft deletion, and its challenge for a token.

Recorded behaviour: infrastructure as of api-version 2026-04-01. The first request comes without a token; the
challenge names the resource, with which the client asks its identity. The SDK takes a challenge only if the
vault's host ends with "." and the resource's host: "127.0.0.1:PORT" does with "0.0.1:PORT".
Source: learn.microsoft.com/rest/api/keyvault/secrets
"""

from __future__ import annotations

import json
import ssl
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from .server import Asked, Double
from .tokens import claims_of

#: Bytes of the largest value.
MOST = 25_600
PAGE = 25


@dataclass
class Version:
    """One version of a secret."""

    value: str
    content_type: str | None = None
    enabled: bool = True
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))


class KeyVault(Double):
    """One vault. Who has `readers` may read, who has `officers` may write; None is everybody with a token."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(tls)
        #: What its challenge names; None for the resource that its own address asks for.
        self.resource: str | None = None
        self.secrets: dict[str, list[Version]] = {}
        self.deleted: dict[str, list[Version]] = {}
        #: Client ids that have the role.
        self.readers: set[str] | None = None
        self.officers: set[str] | None = None
        #: Makes the reply to a read of a value in the place of an ordinary one.
        self.odd: Callable[[], web.StreamResponse] | None = None
        #: Reads of values, by name.
        self.reads: list[str] = []

    def put(self, name: str, value: Any, **fields: Any) -> Version:
        """Set a secret: text as it is, anything else as JSON."""
        version = Version(value if isinstance(value, str) else json.dumps(value), **fields)
        self.secrets.setdefault(name, []).append(version)
        return version

    def delete(self, name: str) -> None:
        """Delete a secret softly: its name stays taken."""
        self.deleted[name] = self.secrets.pop(name)

    def count(self, name: str | None = None) -> int:
        """How often values, or one secret's, were read."""
        return len(self.reads) if name is None else self.reads.count(name)

    async def answer(self, asked: Asked) -> web.StreamResponse:
        resource = self.resource or f"https://0.0.1:{self.port}"
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        claims = claims_of(token)
        if claims.get("aud") != resource or claims.get("exp", 0) < time.time():
            challenge = (
                'Bearer authorization="https://login.microsoftonline.com/'
                f'11111111-2222-3333-4444-555555555555", resource="{resource}"'
            )
            return _error(401, "Unauthorized", "AKV10000: no token", {"WWW-Authenticate": challenge})
        writing = asked.method != "GET"
        allowed = self.officers if writing else self.readers
        if allowed is not None and claims.get("appid") not in allowed:
            return _error(
                403,
                "Forbidden",
                f"Caller is not authorized to perform action on resource. Vault: vault-canary;{claims['appid']}",
                inner="ForbiddenByRbac",
            )
        parts = [part for part in asked.path.split("/") if part]
        match asked.method, parts:
            case "GET", ["secrets"]:
                items = [
                    self._item(name, versions[-1], short=True) for name, versions in self.secrets.items()
                ]
                return self._page(asked, items)
            case "GET", ["secrets", name, "versions"]:
                items = [self._item(name, version) for version in self.secrets.get(name, [])]
                return self._page(asked, items)
            case "GET", ["secrets", name, *wanted]:
                return self._get(name, wanted[0] if wanted else None)
            case "PUT", ["secrets", name]:
                return self._set(name, json.loads(asked.body))
            case "DELETE", ["secrets", name] if name in self.secrets:
                self.delete(name)
                return web.json_response(self._item(name, self.deleted[name][-1]))
            case _:
                return _error(404, "SecretNotFound", "A secret was not found in this key vault.")

    def _get(self, name: str, wanted: str | None) -> web.StreamResponse:
        self.reads.append(name)
        versions = self.secrets.get(name, [])
        found = [version for version in versions if wanted in (None, version.id)]
        if not found:
            return _error(
                404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault."
            )
        if not found[-1].enabled:
            return _error(
                403, "Forbidden", "Operation get is not allowed on a disabled secret.", inner="SecretDisabled"
            )
        if self.odd is not None:
            return self.odd()
        return web.json_response(self._item(name, found[-1]) | {"value": found[-1].value})

    def _set(self, name: str, body: dict[str, Any]) -> web.StreamResponse:
        if name in self.deleted:
            return _error(
                409,
                "Conflict",
                f"Secret {name} is currently in a deleted but recoverable state.",
                inner="ObjectIsDeletedButRecoverable",
            )
        if len(body["value"].encode()) > MOST:
            return _error(400, "BadParameter", f"Property value has an invalid length, at most {MOST}.")
        version = self.put(name, body["value"], content_type=body.get("contentType"))
        return web.json_response(self._item(name, version) | {"value": version.value})

    def _item(self, name: str, version: Version, *, short: bool = False) -> dict[str, Any]:
        place = f"{self.url}/secrets/{name}"
        return {
            "id": place if short else f"{place}/{version.id}",
            "contentType": version.content_type,
            "attributes": {
                "enabled": version.enabled,
                "created": version.created,
                "updated": version.created,
                "recoveryLevel": "Recoverable+Purgeable",
                "recoverableDays": 90,
            },
            "tags": {},
        }

    def _page(self, asked: Asked, items: list[dict[str, Any]]) -> web.StreamResponse:
        size = min(int(asked.query.get("maxresults", PAGE)), PAGE)
        first = int(asked.query.get("$skiptoken", 0))
        more = None
        if first + size < len(items):
            more = (
                f"{self.url}{asked.path}?api-version={asked.query['api-version']}&$skiptoken={first + size}"
            )
        return web.json_response({"value": items[first : first + size], "nextLink": more})

    def fault(self, status: int) -> web.StreamResponse:
        codes = {401: "Unauthorized", 403: "Forbidden", 404: "SecretNotFound", 429: "Throttled"}
        return _error(status, codes.get(status, "InternalServerError"), "fault of vault-canary")


def _error(
    status: int,
    code: str,
    message: str,
    headers: dict[str, str] | None = None,
    *,
    inner: str | None = None,
) -> web.StreamResponse:
    error: dict[str, Any] = {"code": code, "message": message}
    if inner is not None:
        error["innererror"] = {"code": inner}
    return web.json_response({"error": error}, status=status, headers=headers)
