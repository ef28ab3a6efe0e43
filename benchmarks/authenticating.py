"""`python -m benchmarks.authenticating`: what the gateway itself does to know a caller, in a second of CPU.

Microseconds of CPU for each `authenticate`, the best of five: other than whole calls this can be measured on
a busy machine.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.callers import CLIENTS, TOKENS
from benchmarks.tables import table
from gateway.auth.authenticator import Authenticator, digest
from gateway.auth.entra import TokenVerifier
from gateway.config.access import ClientKey, ClientSpec, EntraRule, EntraSpec
from gateway.config.deployment import Config
from gateway.errors import Unauthorized

TENANT, AUDIENCE, ISSUER = "11111111-2222-3333-4444-555555555555", "api://gateway", "https://issuer"
#: Calls of one measurement.
CALLS = 5000


@dataclass(frozen=True, slots=True)
class Key:
    """The tenant's one key."""

    key: Any
    issuer: str = ISSUER


class Keys:
    """The tenant's keys, without a network."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = Key(key.public_key())

    async def find(self, _tenant_id: str, _kid: str) -> Key:
        """The key."""
        return self._key


def main() -> None:
    """Print the table."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    rows: dict[str, list[float]] = {}
    for clients, tokens in ((1, 1), (CLIENTS, TOKENS)):
        credentials = {
            "master key": "sk-master",
            "client's key": "key-of-client-0",
            "token, known": _token(private, 0),
            "wrong key": "sk-wrong",
        }
        authenticator = asyncio.run(_authenticator(private, clients, tokens))
        for name, credential in credentials.items():
            best = min(asyncio.run(_measured(authenticator, credential)) for _ in range(5))
            rows.setdefault(name, []).append(1e6 * best)
    head = ["authenticate", "1 client, 1 token", f"{CLIENTS} clients, {TOKENS:,} tokens"]
    print(table(head, [[name, *figures] for name, figures in rows.items()]))


async def _authenticator(private: rsa.RSAPrivateKey, clients: int, tokens: int) -> Authenticator:
    """One with so many clients, the first of which has sent so many tokens."""
    config = Config(
        models={},
        master_key="sk-master",
        clients=tuple(
            ClientSpec(f"client-{number}", (ClientKey(digest(f"key-of-client-{number}")),))
            for number in range(clients)
        ),
        entra=EntraSpec(
            TENANT, (AUDIENCE,), (EntraRule("client-0", roles=frozenset({"Chat"})),), b"pseudonyms"
        ),
    )
    authenticator = Authenticator(config, TokenVerifier(Keys(private)))
    for number in range(tokens):
        await authenticator.authenticate(_headers(_token(private, number)), time.time())
    return authenticator


async def _measured(authenticator: Authenticator, credential: str) -> float:
    """CPU seconds of one call."""
    headers, now = _headers(credential), time.time()
    began = time.process_time()
    for _ in range(CALLS):
        try:
            await authenticator.authenticate(headers, now)
        except Unauthorized:
            continue
    return (time.process_time() - began) / CALLS


def _token(private: rsa.RSAPrivateKey, number: int) -> str:
    claims = {
        "aud": AUDIENCE,
        "iss": ISSUER,
        "tid": TENANT,
        "exp": 4_000_000_000,
        "roles": ["Chat"],
        "uti": str(number),
    }
    return jwt.encode(claims, private, algorithm="RS256", headers={"kid": "key"})


def _headers(credential: str) -> dict[str, str]:
    return {"host": "gateway", "content-type": "application/json", "authorization": f"Bearer {credential}"}


if __name__ == "__main__":
    main()
