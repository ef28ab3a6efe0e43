"""Entra tokens through azure-identity: fetched once for any number of requests, renewed ahead of time.

azure-identity is imported on the first fetch, in a thread: it costs about as much as all else that
the gateway imports, and a deployment with a key never needs it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Self

from gateway.config.deployment import (
    ClientSecret,
    DefaultIdentity,
    FederatedToken,
    ManagedIdentity,
    TokenIdentity,
)
from gateway.quoting import logged
from gateway.upstream.credentials import IdentityFailed

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.core.credentials_async import AsyncTokenCredential

#: Seconds before its end at which a token is renewed beside the requests that still use it.
RENEW_AHEAD = 300.0
#: Seconds before its end from which a token is not used any more.
UNUSABLE = 30.0
#: Seconds between tries to renew a token that is still good, at most and at least.
RETRY_RENEWAL = 30.0
RETRY_SOONEST = 1.0
#: Seconds after a failure in which requests without a token fail at once, not one by one and slowly.
RETRY_FETCH = 5.0
#: Seconds for one fetch. The identity endpoint of an app that just starts takes up to ten.
FETCH_SECONDS = 30.0
#: Characters of the reason why there is no token: a chain of credentials tells of each.
LONGEST_REASON = 1000
#: Statuses with which an issuer says that it does not take what an identity signs in with.
_REFUSED = frozenset((400, 401, 403))
#: What Entra ID calls its errors, and operators look up.
_ERROR_CODE = re.compile(r"AADSTS\d+")
#: What looks like a token, an assertion for example.
_TOKEN = re.compile(r"\beyJ[\w.-]{8,}")

_log = logging.getLogger("gateway.identity")


class EntraTokens:
    """The current token of each identity."""

    def __init__(
        self, clock: Callable[[], float], *, verify: str | None = None, hidden: Sequence[str] = ()
    ) -> None:
        """`clock` gives seconds since 1970; `verify` is a file of certificates to trust.

        `hidden`: secrets of the environment, which an issuer may repeat and no log may.
        """
        self._clock = clock
        self._verify = verify
        self._hidden = hidden
        self._entries: dict[TokenIdentity, _Entry] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    async def token(self, identity: TokenIdentity) -> str:
        """A token that is good now. Raises IdentityFailed.

        Waits only where there is none: while an old one is good, the next is fetched beside requests.
        """
        now = self._clock()
        entry = self._entries.get(identity)
        if entry is None:
            entry = self._entries[identity] = _Entry(identity)
        if now > entry.renew_at and entry.fetch is None and now >= entry.retry_at:
            entry.fetch = asyncio.create_task(self._fetch(entry))
        if now < entry.usable_until:
            return entry.value
        if entry.fetch is not None:
            # Shielded: a caller that leaves must not end the fetch that others wait for.
            await asyncio.shield(entry.fetch)
        if self._clock() >= entry.usable_until:
            raise IdentityFailed(entry.failure, refused=entry.refused)
        return entry.value

    def discard(self, identity: TokenIdentity, value: str) -> None:
        """Forget a token that upstream refused, unless a newer one has come since.

        The credential goes too, for it would hand out the same token from its own cache.
        """
        entry = self._entries.get(identity)
        if entry is not None and entry.value == value:
            self._forget(entry)

    def keep(self, identities: Collection[TokenIdentity]) -> None:
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
            async with asyncio.timeout(FETCH_SECONDS):
                token = await self._ask(entry)
                if token.token == entry.value and entry.source is not None:
                    # Its own cache has it still. A new credential asks the issuer.
                    source, entry.source = entry.source, None
                    await source.close()
                    token = await self._ask(entry)
            entry.take(token.token, float(token.expires_on), self._clock())
        except Exception as error:  # noqa: BLE001  whatever a credential raises, the request goes on or fails cleanly
            good = self._clock() < entry.usable_until
            # The nearer the end, the sooner again.
            left = max(RETRY_SOONEST, (entry.usable_until - self._clock()) / 4)
            entry.retry_at = self._clock() + (min(RETRY_RENEWAL, left) if good else RETRY_FETCH)
            entry.refused = getattr(error, "status_code", None) in _REFUSED
            told = logged(self._told(error, entry.identity), LONGEST_REASON)
            entry.failure = f"{type(error).__name__}: {told}"
            _log.warning("no Entra token: %s", entry.failure)
        finally:
            entry.fetch = None

    def _told(self, error: Exception, identity: TokenIdentity) -> str:
        """What an error says, without a secret that the issuer repeated.

        The message of azure-identity tells which credentials were tried and why they failed.
        """
        text = str(error)
        if (
            isinstance(identity, ClientSecret | FederatedToken)
            and getattr(error, "response", None) is not None
        ):
            # The issuer's own words, which may repeat what it was sent in any form. The code says it all.
            code = _ERROR_CODE.search(text)
            return f"the application {identity.client_id} is refused{f' with {code[0]}' if code else ''}"
        for secret in self._hidden:
            text = text.replace(secret, "***")
        return _TOKEN.sub("***", text)

    async def _ask(self, entry: _Entry) -> AccessToken:
        if entry.source is None:
            entry.source = await asyncio.to_thread(_credential, entry.identity, self._verify)
        return await entry.source.get_token(entry.identity.scope)


class _Entry:
    """One identity's token and the fetch under way, if any."""

    __slots__ = (
        "failure", "fetch", "identity", "refused", "renew_at", "retry_at", "source", "usable_until", "value",
    )  # fmt: skip

    def __init__(self, identity: TokenIdentity) -> None:
        self.identity = identity
        self.source: AsyncTokenCredential | None = None
        self.value = ""
        self.usable_until = 0.0
        self.renew_at = 0.0
        self.retry_at = 0.0
        #: Why the last fetch failed.
        self.failure = ""
        #: Whether the issuer refused the identity at the last fetch.
        self.refused = False
        self.fetch: asyncio.Task[None] | None = None

    def take(self, value: str, expires: float, now: float) -> None:
        """Use a token from now on. One that lives for minutes only is used for most of them."""
        life = max(0.0, expires - now)
        self.value, self.refused = value, False
        self.renew_at = expires - min(RENEW_AHEAD, life / 2)
        self.usable_until = expires - min(UNUSABLE, life / 4)
        # An issuer may hand out the same token up to its end: no reason to ask with each call.
        self.retry_at = now + min(RETRY_RENEWAL, life / 4)


async def _retire(entry: _Entry) -> None:
    """Close an entry's credential, after the fetch that uses it."""
    if entry.fetch is not None:
        await asyncio.wait({entry.fetch})
    if entry.source is not None:
        await entry.source.close()


def _credential(identity: TokenIdentity, verify: str | None) -> AsyncTokenCredential:
    from azure.identity import aio  # noqa: PLC0415  see the module's docstring

    # It warns in the issuer's own words, which may repeat a secret. What failed is told here.
    logging.getLogger("azure.identity").setLevel(logging.ERROR)
    options: dict[str, Any] = {} if verify is None else {"connection_verify": verify}
    match identity:
        case ClientSecret(tenant_id, client_id, client_secret):
            return aio.ClientSecretCredential(tenant_id, client_id, client_secret, **options)
        case FederatedToken(tenant_id, client_id, file):
            return aio.WorkloadIdentityCredential(
                tenant_id=tenant_id, client_id=client_id, token_file_path=file, **options
            )
        case ManagedIdentity(client_id):
            return aio.ManagedIdentityCredential(client_id=client_id, **options)
        case DefaultIdentity():
            return aio.DefaultAzureCredential(**options)


class SdkCredential:
    """The environment's identity, as Azure's SDKs want it: fetched once for all, and renewed ahead."""

    def __init__(self, tokens: EntraTokens) -> None:
        self._tokens = tokens
        #: What was handed out last.
        self._last: tuple[TokenIdentity, str] | None = None

    async def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        """A token for the first of `scopes` (SDK)."""
        from azure.core.credentials import AccessToken  # noqa: PLC0415
        from azure.core.exceptions import ClientAuthenticationError  # noqa: PLC0415

        identity = DefaultIdentity(scopes[0])
        try:
            value = await self._tokens.token(identity)
        except IdentityFailed as error:
            raise ClientAuthenticationError("no Entra token") from error
        self._last = identity, value
        # As good as expired, so that the SDK asks here each time: asking is free, and renewal ahead of time.
        return AccessToken(value, 0)

    def discard(self) -> None:
        """Forget the token that was handed out last, for it was refused."""
        if self._last is not None:
            self._tokens.discard(*self._last)

    async def close(self) -> None:
        """Do nothing (SDK): the tokens outlive the client that uses them."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()
