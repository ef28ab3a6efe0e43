"""Entra tokens through azure-identity: fetched once for any number of requests, renewed ahead of time.

azure-identity is imported on the first fetch, in a thread: it costs about as much as all else that
the gateway imports, and a deployment with a key never needs it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from gateway.config.deployment import ClientSecret, DefaultIdentity
from gateway.upstream.credentials import IdentityFailed

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

#: Seconds before its end at which a token is renewed beside the requests that still use it.
RENEW_AHEAD = 300.0
#: Seconds before its end from which a token is not used any more.
UNUSABLE = 30.0
#: Seconds between tries to renew a token that is still good.
RETRY_RENEWAL = 30.0
#: Seconds after a failure in which requests without a token fail at once, not one by one and slowly.
RETRY_FETCH = 5.0

Identity = ClientSecret | DefaultIdentity

_log = logging.getLogger("gateway.identity")


class EntraTokens:
    """The current token of each identity."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds since 1970."""
        self._clock = clock
        self._entries: dict[Identity, _Entry] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    async def token(self, identity: Identity) -> str:
        """A token that is good now. Raises IdentityFailed.

        Waits only where there is none: while an old one is good, the next is fetched beside requests.
        """
        now = self._clock()
        entry = self._entries.get(identity)
        if entry is None:
            entry = self._entries[identity] = _Entry(identity)
        left = entry.expires - now
        if left < RENEW_AHEAD and entry.fetch is None and now >= entry.retry_at:
            entry.fetch = asyncio.create_task(self._fetch(entry))
        if left > UNUSABLE:
            return entry.value
        if entry.fetch is not None:
            # Shielded: a caller that leaves must not end the fetch that others wait for.
            await asyncio.shield(entry.fetch)
        if entry.expires - self._clock() <= UNUSABLE:
            raise IdentityFailed
        return entry.value

    def discard(self, identity: Identity, value: str) -> None:
        """Forget a token that upstream refused, unless a newer one has come since.

        The credential goes too, for it would hand out the same token from its own cache.
        """
        entry = self._entries.get(identity)
        if entry is not None and entry.value == value:
            self._forget(entry)

    def keep(self, identities: Collection[Identity]) -> None:
        """Forget all tokens but those of `identities`, and close what fetched them.

        A call that began earlier and still needs one of the others fetches it again.
        """
        for entry in [entry for identity, entry in self._entries.items() if identity not in identities]:
            self._forget(entry)

    async def close(self) -> None:
        """Release the credentials' connections."""
        for entry in self._entries.values():
            if entry.fetch is not None:
                entry.fetch.cancel()
            await _retire(entry)
        if self._retiring:
            await asyncio.wait(self._retiring)

    def _forget(self, entry: _Entry) -> None:
        del self._entries[entry.identity]
        retiring = asyncio.create_task(_retire(entry))
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def _fetch(self, entry: _Entry) -> None:
        try:
            if entry.source is None:
                entry.source = await asyncio.to_thread(_credential, entry.identity)
            token = await entry.source.get_token(entry.identity.scope)
            entry.value, entry.expires = token.token, float(token.expires_on)
        except Exception as error:  # noqa: BLE001  whatever a credential raises, the request goes on or fails cleanly
            good = entry.expires - self._clock() > UNUSABLE
            entry.retry_at = self._clock() + (RETRY_RENEWAL if good else RETRY_FETCH)
            # The message of azure-identity tells which credentials were tried and why they failed.
            _log.warning("no Entra token: %s: %s", type(error).__name__, error)
        finally:
            entry.fetch = None


class _Entry:
    """One identity's token and the fetch under way, if any."""

    __slots__ = ("expires", "fetch", "identity", "retry_at", "source", "value")

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.source: AsyncTokenCredential | None = None
        self.value = ""
        self.expires = 0.0
        self.retry_at = 0.0
        self.fetch: asyncio.Task[None] | None = None


async def _retire(entry: _Entry) -> None:
    """Close an entry's credential, after the fetch that uses it."""
    if entry.fetch is not None:
        await asyncio.wait({entry.fetch})
    if entry.source is not None:
        await entry.source.close()


def _credential(identity: Identity) -> AsyncTokenCredential:
    from azure.identity import aio  # noqa: PLC0415  see the module's docstring

    if isinstance(identity, ClientSecret):
        return aio.ClientSecretCredential(identity.tenant_id, identity.client_id, identity.client_secret)
    return aio.DefaultAzureCredential()
