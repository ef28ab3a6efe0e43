"""App Service's endpoint for managed identities, version 2019-08-01.

Recorded behaviour: the header X-IDENTITY-HEADER is required, `client_id` chooses a user-assigned identity,
`expires_on` is text. Source: learn.microsoft.com/azure/app-service/overview-managed-identity
"""

from __future__ import annotations

import time

from aiohttp import web

from .server import Asked, Double
from .tokens import make_token

HEADER = "identity-header-canary"
SYSTEM = "00000000-0000-0000-0000-00000000aaaa"


class ManagedIdentity(Double):
    """One app's endpoint: a system-assigned identity, and user-assigned ones by their client ids."""

    def __init__(self, *client_ids: str, system: bool = True, lifetime: float = 3600.0) -> None:
        super().__init__()
        self.client_ids = set(client_ids)
        self.system = system
        #: Seconds that tokens live.
        self.lifetime = lifetime
        #: Hands out the same token until it expires, as Azure does for up to 24 hours.
        self.cached = False
        #: Tokens issued: (resource, client id).
        self.issued: list[tuple[str, str]] = []
        self._cache: dict[tuple[str, str], str] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What the platform sets for the app."""
        return {"IDENTITY_ENDPOINT": f"{self.url}/msi/token", "IDENTITY_HEADER": HEADER}

    async def answer(self, asked: Asked) -> web.StreamResponse:
        if asked.headers.get("x-identity-header") != HEADER:
            return _error(401, "The identity header is missing or wrong.")
        if asked.query.get("api-version") != "2019-08-01" or not asked.query.get("resource"):
            return _error(400, "The request is malformed.")
        client_id = asked.query.get("client_id")
        if client_id not in self.client_ids if client_id else not self.system:
            return _error(400, "No User Assigned or Delegated Managed Identity found for specified ClientId.")
        found = (asked.query["resource"], client_id or SYSTEM)
        token = self._cache.get(found)
        if token is None or not self.cached:
            token = make_token(found[0], lifetime=self.lifetime, appid=found[1])
            self._cache[found] = token
            self.issued.append(found)
        return web.json_response(
            {
                "access_token": token,
                "expires_on": str(int(time.time() + self.lifetime)),
                "resource": found[0],
                "token_type": "Bearer",
                "client_id": found[1],
            }
        )

    def fault(self, status: int) -> web.StreamResponse:
        return _error(status, "The identity service is not available.")


def _error(status: int, message: str) -> web.StreamResponse:
    return web.json_response({"statusCode": status, "message": message}, status=status)
