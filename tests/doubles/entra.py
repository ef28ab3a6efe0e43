"""Entra ID: the OpenID configuration and the keys of a tenant, and its token endpoint for applications.

Recorded behaviour: learn.microsoft.com/entra/identity-platform/v2-protocols-oidc and .../access-tokens.
"""

from __future__ import annotations

import functools
import itertools
import ssl
import time
from typing import Any
from urllib.parse import parse_qs

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .server import Asked, Double
from .tokens import make_token

TENANT = "11111111-2222-3333-4444-555555555555"
AUDIENCE = "api://gateway"
APP = "aaaaaaaa-0000-0000-0000-000000000001"
USER = "bbbbbbbb-0000-0000-0000-000000000001"


_KEYS = 8
_turns = itertools.cycle(range(_KEYS))


def signing_key() -> rsa.RSAPrivateKey:
    """An RSA key; eight in a row differ. They come again, for making one takes a tenth of a second of CPU."""
    return _key(next(_turns))


@functools.cache
def _key(_place: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class EntraIssuer(Double):
    """One tenant. Tokens are signed with the newest key; `rotate` adds one, `retire` takes the oldest away."""

    def __init__(self, tls: ssl.SSLContext, tenant: str = TENANT) -> None:
        super().__init__(tls)
        self.tenant = tenant
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        #: Client secrets and assertions that the token endpoint takes, by client id.
        self.secrets: dict[str, str] = {}
        self.lifetime = 3600.0
        #: Entries of the document of keys before its own, and members that take the place of its configuration's.
        self.more_keys: list[Any] = []
        self.document: dict[str, Any] = {}
        #: Signed tokens that were made.
        self.issued: list[str] = []
        self.rotate()

    @property
    def environment(self) -> dict[str, str]:
        """What points applications at this issuer."""
        return {"AZURE_AUTHORITY_HOST": self.url}

    @property
    def issuer(self) -> str:
        return f"{self.url}/{self.tenant}/v2.0"

    def rotate(self) -> str:
        """Sign with a new key from now on; returns its id."""
        kid = f"key-{time.time_ns()}"
        self.keys[kid] = signing_key()
        return kid

    def retire(self) -> None:
        """Take the oldest key out of the document."""
        del self.keys[next(iter(self.keys))]

    def claims(self, **claims: Any) -> dict[str, Any]:
        """The claims of an ordinary token of version 2.0; None leaves one out."""
        now = int(time.time())
        ordinary = {
            "aud": AUDIENCE,
            "iss": self.issuer,
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "azp": APP,
            "oid": USER,
            "tid": self.tenant,
            "ver": "2.0",
        }
        return {name: value for name, value in (ordinary | claims).items() if value is not None}

    def issue(self, *, kid: str | None = None, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A signed token."""
        kid = kid or list(self.keys)[-1]
        token = jwt.encode(
            self.claims(**claims), self.keys[kid], algorithm="RS256", headers={"kid": kid} | (headers or {})
        )
        self.issued.append(token)
        return token

    def issue_v1(self, **claims: Any) -> str:
        """A signed token of version 1.0."""
        old = {"iss": f"https://sts.windows.net/{self.tenant}/", "azp": None, "appid": APP, "ver": "1.0"}
        return self.issue(**(old | claims))

    def public_pem(self) -> bytes:
        """The newest key as text, which anybody can have."""
        return (
            list(self.keys.values())[-1]
            .public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )

    async def answer(self, asked: Asked) -> web.StreamResponse:
        tenant, _, path = asked.path.lstrip("/").partition("/")
        if tenant != self.tenant:
            return web.json_response({"error": "invalid_tenant"}, status=400)
        if path == "v2.0/.well-known/openid-configuration":
            return web.json_response(
                {
                    "issuer": self.issuer,
                    "jwks_uri": f"{self.url}/{self.tenant}/discovery/v2.0/keys",
                    "token_endpoint": f"{self.url}/{self.tenant}/oauth2/v2.0/token",
                    "authorization_endpoint": f"{self.url}/{self.tenant}/oauth2/v2.0/authorize",
                }
                | self.document
            )
        if path == "discovery/v2.0/keys":
            return web.json_response({"keys": [*self.more_keys, *map(self._jwk, self.keys)]})
        if path == "oauth2/v2.0/token":
            return self._token({name: values[0] for name, values in parse_qs(asked.body).items()})
        return web.json_response({"error": "not_found"}, status=404)

    @property
    def documents(self) -> int:
        """How often the OpenID configuration was asked for."""
        return sum(asked.path.endswith("openid-configuration") for asked in self.requests)

    def _jwk(self, kid: str) -> dict[str, Any]:
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(self.keys[kid].public_key(), as_dict=True)
        return {"kty": "RSA", "use": "sig", "kid": kid, "n": jwk["n"], "e": jwk["e"], "issuer": self.issuer}

    def _token(self, form: dict[str, str]) -> web.StreamResponse:
        proof = form.get("client_secret") or form.get("client_assertion")
        if proof is None or self.secrets.get(form.get("client_id", "")) != proof:
            return web.json_response(
                {
                    "error": "invalid_client",
                    "error_description": f"AADSTS7000215: Invalid client secret provided. {proof}",
                },
                status=401,
            )
        audience = form["scope"].removesuffix("/.default")
        token = make_token(audience, lifetime=self.lifetime, appid=form["client_id"])
        return web.json_response(
            {"token_type": "Bearer", "expires_in": int(self.lifetime), "access_token": token}
        )

    def fault(self, status: int) -> web.StreamResponse:
        return web.json_response({"error": "temporarily_unavailable"}, status=status)
