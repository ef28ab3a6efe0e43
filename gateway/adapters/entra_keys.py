"""The keys that Entra tenants sign tokens with: fetched once, renewed beside the calls, kept through outages.

Two requests for a tenant: its OpenID configuration, then the keys that this names. httpx's client takes
proxies from the environment; it is opened for the two and closed again, for they come once an hour. httpx is
imported with the first token: a gateway without tokens does not need it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.errors import IdentityUnavailable

if TYPE_CHECKING:
    import httpx

#: Where tenants are, unless AZURE_AUTHORITY_HOST says otherwise.
PUBLIC_AUTHORITY = "https://login.microsoftonline.com"
#: Seconds after which keys are fetched again beside the calls, and after a fetch that failed.
RENEW_AFTER = 3600.0
RETRY_AFTER = 30.0
#: The same while there are none yet.
RETRY_FIRST = 5.0
#: Seconds between fetches for keys that are not known: a flood of made-up ids must not become one of fetches.
UNKNOWN_AFTER = 30.0
#: Seconds for one fetch in all.
FETCH_SECONDS = 10.0
#: Bytes of a document; Entra's have about 15,000.
MAX_DOCUMENT = 1_000_000

_log = logging.getLogger("gateway.identity")


@dataclass(frozen=True, slots=True)
class TenantKey:
    """One key, and the issuer of the tenant that it belongs to."""

    key: Any = field(repr=False)
    issuer: str


class EntraSigningKeys:
    """The keys of each tenant that was asked for."""

    def __init__(self, clock: Callable[[], float], *, authority: str, verify: str | None = None) -> None:
        """`clock` gives seconds since 1970; `verify` is a file of certificates to trust."""
        self._clock = clock
        self._authority = authority.rstrip("/") if "://" in authority else f"https://{authority.rstrip('/')}"
        self._verify = verify
        self._tenants: dict[str, _Tenant] = {}

    async def find(self, tenant_id: str, kid: str) -> TenantKey | None:
        """The key `kid`, None where the tenant has none. Raises IdentityUnavailable.

        Waits only where it is not known, and then for one fetch in UNKNOWN_AFTER seconds that all share.
        """
        tenant = self._tenants.setdefault(tenant_id, _Tenant())
        now = self._clock()
        known = tenant.keys.get(kid)
        if known is not None:
            if now - tenant.fetched > RENEW_AFTER:
                self._start(tenant_id, tenant, RETRY_AFTER)
            return known
        self._start(tenant_id, tenant, UNKNOWN_AFTER if tenant.keys else RETRY_FIRST)
        if tenant.fetch is not None:
            # Shielded: a caller that leaves must not end the fetch that others wait for.
            await asyncio.shield(tenant.fetch)
        if not tenant.keys:
            raise IdentityUnavailable(retry_after=RETRY_FIRST)
        return tenant.keys.get(kid)

    async def close(self) -> None:
        """End what is under way."""
        fetches = [tenant.fetch for tenant in self._tenants.values() if tenant.fetch is not None]
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)

    def _start(self, tenant_id: str, tenant: _Tenant, pause: float) -> None:
        """Begin a fetch, unless one is under way or the last began less than `pause` seconds ago."""
        now = self._clock()
        if tenant.fetch is None and not 0 <= now - tenant.tried < pause:
            tenant.tried = now
            tenant.fetch = asyncio.create_task(self._fetch(tenant_id, tenant))

    async def _fetch(self, tenant_id: str, tenant: _Tenant) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                tenant.keys = await self._keys_of(tenant_id)
            tenant.fetched = self._clock()
        except Exception as error:  # noqa: BLE001  whatever went wrong, the keys that are there stay
            # The kind only: a message may quote what the other side sent.
            _log.warning("the signing keys of Entra could not be fetched: %s", type(error).__name__)
        finally:
            tenant.fetch = None

    async def _keys_of(self, tenant_id: str) -> dict[str, TenantKey]:
        async with await asyncio.to_thread(_client, self._verify) as client:
            document = await _json(
                client, f"{self._authority}/{tenant_id}/v2.0/.well-known/openid-configuration"
            )
            issuer, address = document["issuer"], document["jwks_uri"]
            if not isinstance(issuer, str) or not _is_safe(client.build_request("GET", address).url):
                raise ValueError("no issuer, or keys without TLS")
            keys = (await _json(client, address))["keys"]
        return await asyncio.to_thread(_usable, keys, issuer)


def _client(verify: str | None) -> httpx.AsyncClient:
    """A client that trusts the certificates in `verify`. For a thread: modules and files are read here."""
    import httpx  # noqa: PLC0415  see the module's docstring

    # One line for each request would be all that httpx's own log adds.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    context = ssl.create_default_context(cafile=verify)
    return httpx.AsyncClient(verify=context, timeout=FETCH_SECONDS)


def _is_safe(url: httpx.URL) -> bool:
    """Whether what `url` answers cannot be forged on its way."""
    return url.scheme == "https" or url.host in {"127.0.0.1", "::1", "localhost"}


async def _json(client: httpx.AsyncClient, address: str) -> Any:
    async with client.stream("GET", address, headers={"accept": "application/json"}) as response:
        response.raise_for_status()
        body = bytearray()
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > MAX_DOCUMENT:
                raise ValueError("document too large")
    return json.loads(body)


def _usable(keys: Any, issuer: str) -> dict[str, TenantKey]:
    """The RSA keys for signatures, by their ids. Raises ValueError where there are none."""
    from jwt import PyJWK, PyJWTError  # noqa: PLC0415  imported with the first token

    found: dict[str, TenantKey] = {}
    for key in keys if isinstance(keys, list) else ():
        # Other kinds of keys, and of entries, may come beside them.
        if (
            not isinstance(key, dict)
            or key.get("kty") != "RSA"
            or key.get("use", "sig") != "sig"
            or not isinstance(key.get("kid"), str)
        ):
            continue
        try:
            found[key["kid"]] = TenantKey(PyJWK(key, "RS256").key, issuer)
        except (PyJWTError, ValueError, TypeError):
            continue
    if not found:
        raise ValueError("no usable keys")
    return found


class _Tenant(msgspec.Struct):
    """The keys of one tenant and the fetch under way, if any. Times in seconds since 1970."""

    keys: dict[str, TenantKey] = msgspec.field(default_factory=dict)
    fetched: float = 0.0
    tried: float = 0.0
    fetch: asyncio.Task[None] | None = None
