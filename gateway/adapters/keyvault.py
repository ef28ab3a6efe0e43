"""Azure Key Vault: the only module that knows azure-keyvault-secrets, which is imported with the first read.

The SDK gives up a hanging vault only after 300 s for each of four tries, so every operation has a time-out of
its own. Its check that a vault's challenge names the vault's own domain stays on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.adapters.identity import EntraTokens, SdkCredential
from gateway.config.vault import Secret, SecretMissing, SecretUnavailable

if TYPE_CHECKING:
    from azure.keyvault.secrets.aio import SecretClient

#: Seconds for one operation with its retries, and for each of the network's steps.
OPERATION_SECONDS = 12.0
STEP_SECONDS = 5.0
#: Secrets read at a time.
CONCURRENT = 16

#: learn.microsoft.com/azure/role-based-access-control/built-in-roles/security
READER_ROLE = "Key Vault Secrets User (4633458b-17de-408a-b874-0445c86b69e6)"
WRITER_ROLE = "Key Vault Secrets Officer (b86a8fe4-44ce-4948-aee5-eccb2c155cd7)"

_T = TypeVar("_T")


class _Unreadable(Exception):
    """The vault's reply has no value in it."""


class VaultSecrets:
    """The secrets of one vault."""

    def __init__(self, url: str, tokens: EntraTokens, *, verify: str | None = None) -> None:
        """`verify` is a file of certificates to trust."""
        self._url = url
        self._credential = SdkCredential(tokens)
        self._verify = verify
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: SecretClient | None = None
        self._slots = asyncio.Semaphore(CONCURRENT)

    async def read(self, name: str) -> Secret:
        """The newest version of a secret. Raises SecretMissing or SecretUnavailable."""

        async def get(client: SecretClient) -> Secret:
            found = await client.get_secret(name)
            if not isinstance(found.value, str):
                raise _Unreadable
            return Secret(found.value, found.properties.version or "")

        return await self._run(get, READER_ROLE)

    async def write(self, name: str, value: str, content_type: str) -> str:
        """Make `value` the newest version of a secret; returns the version. Raises SecretUnavailable."""

        async def put(client: SecretClient) -> str:
            done = await client.set_secret(name, value, content_type=content_type)
            return done.properties.version or ""

        return await self._run(put, WRITER_ROLE)

    async def close(self) -> None:
        """Release connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _run(self, operation: Callable[[SecretClient], Awaitable[_T]], role: str) -> _T:
        """Do `operation`; once more with a new token where the vault refused the one it had."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._client, self._slots = loop, None, asyncio.Semaphore(CONCURRENT)
        try:
            async with asyncio.timeout(OPERATION_SECONDS), self._slots:
                if self._client is None:
                    await asyncio.to_thread(load)
                    self._client = self._client or self._connect()
                try:
                    return await operation(self._client)
                except Exception as error:
                    if getattr(error, "status_code", None) != 401:
                        raise
                    self._credential.discard()
                    return await operation(self._client)
        except TimeoutError:
            raise SecretUnavailable("the vault does not answer in time") from None
        except Exception as error:
            raise _translated(error, role) from error

    def _connect(self) -> SecretClient:
        from azure.keyvault.secrets.aio import SecretClient  # noqa: PLC0415

        options: dict[str, Any] = {} if self._verify is None else {"connection_verify": self._verify}
        return SecretClient(
            self._url,
            self._credential,
            retry_total=2,
            retry_backoff_factor=0.3,
            connection_timeout=STEP_SECONDS,
            read_timeout=STEP_SECONDS,
            # A vault has one address. Where another host answers, its words are not the vault's.
            permit_redirects=False,
            **options,
        )


def load() -> None:
    """Import what the first operation needs."""
    import azure.core.pipeline.transport  # noqa: PLC0415
    import azure.keyvault.secrets.aio  # noqa: PLC0415

    _ = azure.core.pipeline.transport.AioHttpTransport  # a lazy attribute: this imports aiohttp's glue


def _translated(error: Exception, role: str) -> Exception:
    """What an error means, without the words of the vault: those name vaults, identities and secrets."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError  # noqa: PLC0415

    status = getattr(error, "status_code", None)
    if _is_unreadable(error, status):
        return SecretUnavailable("the vault's answer cannot be read")
    if status == 404:
        return SecretMissing()
    if status == 403 and _code(error) == "SecretDisabled":
        return SecretUnavailable("it is disabled; enable it, or write a new version")
    if status == 403:
        return SecretUnavailable(f"the vault refuses the identity (403): it needs the role {role}")
    if status == 409:
        return SecretUnavailable("a deleted secret still has its name; recover or purge it")
    if isinstance(error, HttpResponseError) and status is not None:
        return SecretUnavailable(f"the vault answers {status}")
    if isinstance(error, ClientAuthenticationError):
        return SecretUnavailable("no identity can sign in to the vault; the log says which were tried")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return SecretUnavailable("the vault's certificate is not trusted; set SSL_CERT_FILE to its authority")
    return SecretUnavailable(f"the vault cannot be reached ({type(error).__name__})")


def _is_unreadable(error: Exception, status: int | None) -> bool:
    """Whether the vault says that it answered, but not in a form that it answers in."""
    from azure.core.exceptions import DecodeError, DeserializationError  # noqa: PLC0415

    kinds = (_Unreadable, json.JSONDecodeError, DecodeError, DeserializationError)
    return isinstance(error, (*kinds, AttributeError, KeyError, TypeError)) or (
        status is not None and status < 300
    )


def _code(error: Exception) -> str | None:
    """The inner error's code, which tells apart what a status leaves open."""
    try:
        inner = error.error.innererror  # type: ignore[attr-defined]
        return str(inner["code"])
    except (AttributeError, KeyError, TypeError):
        return None
