"""The headers that authenticate a call of a deployment. Knows their forms, not where tokens come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from gateway.config.deployment import (
    ApiKey,
    ClientSecret,
    Deployment,
    StaticToken,
    TokenFunction,
    TokenIdentity,
)


class IdentityFailed(Exception):
    """No token could be fetched for an identity."""

    def __init__(self, reason: str = "", *, refused: bool = False) -> None:
        """`reason` is for the operator alone; it is no part of the text.

        `refused`: the issuer answered, and does not take what the identity signs in with.
        """
        super().__init__()
        self.reason = reason
        self.refused = refused


class TokenProvider(Protocol):
    """Entra tokens by identity."""

    async def token(self, identity: TokenIdentity) -> str:
        """A token that is valid now. Raises IdentityFailed."""

    def discard(self, identity: TokenIdentity, value: str) -> None:
        """Forget a token that was refused."""


class SecretProvider(Protocol):
    """Keys that the configuration takes from a vault."""

    async def renewed(self, name: str, value: str) -> str | None:
        """The value of the secret `name` if it is another than `value`, which upstream refused."""


class Authorizer:
    """Authenticates calls: with the credential that is known, and with its successor where it is refused."""

    def __init__(
        self, tokens: TokenProvider, secrets: SecretProvider | None, learn: Callable[[str], None]
    ) -> None:
        """`learn` gets what goes upstream and is not in the configuration: tokens, and renewed keys."""
        self._tokens = tokens
        self._secrets = secrets
        self._learn = learn

    async def headers(self, deployment: Deployment) -> dict[str, str]:
        """The headers that authenticate a call of `deployment`. Raises IdentityFailed."""
        credential = deployment.credential
        if isinstance(credential, ApiKey | StaticToken):
            return await headers(deployment, self._tokens)
        try:
            return await self._learnt(deployment)
        except IdentityFailed as error:
            if not error.refused or not isinstance(credential, ClientSecret):
                raise
            # The application's secret may have been rotated a moment ago.
            value = await self._newer(credential.secret, credential.client_secret)
            if value is None:
                raise
            return await self._learnt(
                replace(deployment, credential=replace(credential, client_secret=value))
            )

    async def renewed(self, deployment: Deployment, refused: dict[str, str]) -> dict[str, str] | None:
        """Other headers than those that upstream refused: a token may have been revoked, a key rotated."""
        credential = deployment.credential
        if isinstance(credential, ApiKey | StaticToken):
            old = credential.key if isinstance(credential, ApiKey) else credential.token
            value = await self._newer(credential.secret, old)
            if value is None:
                return None
            successor = ApiKey(value) if isinstance(credential, ApiKey) else StaticToken(value)
            return await self._learnt(replace(deployment, credential=successor))
        if isinstance(credential, TokenFunction):
            return None
        self._tokens.discard(credential, refused["authorization"].removeprefix("Bearer "))
        try:
            found = await self.headers(deployment)
        except IdentityFailed:
            return None
        # The identity endpoint may hand out the same token again, which would be refused again.
        return None if found == refused else found

    async def _newer(self, secret: str | None, value: str) -> str | None:
        """Another value of the vault's secret than `value`; None where there is none."""
        if secret is None or self._secrets is None:
            return None
        return await self._secrets.renewed(secret, value)

    async def _learnt(self, deployment: Deployment) -> dict[str, str]:
        found = await headers(deployment, self._tokens)
        self._learn(found.get("api-key") or found["authorization"].removeprefix("Bearer "))
        return found


async def headers(deployment: Deployment, tokens: TokenProvider) -> dict[str, str]:
    """The headers that authenticate a call of `deployment`: exactly one credential.

    Raises IdentityFailed.
    """
    credential = deployment.credential
    if isinstance(credential, ApiKey):
        if deployment.provider != "openai":
            return {"api-key": credential.key}
        bearer = credential.key
    elif isinstance(credential, StaticToken):
        bearer = credential.token
    elif isinstance(credential, TokenFunction):
        bearer = await credential.ask()
    else:
        bearer = await tokens.token(credential)
    authorization = {"authorization": f"Bearer {bearer}"}
    if deployment.provider == "openai" and deployment.organization is not None:
        authorization["openai-organization"] = deployment.organization
    return authorization


def vault_secret(deployment: Deployment) -> tuple[str, str] | None:
    """The vault's secret that a deployment's credential comes from, and its value; None where it has none."""
    match deployment.credential:
        case ApiKey(value, str(secret)) | StaticToken(value, str(secret)):
            return secret, value
        case ClientSecret(client_secret=value, secret=str(secret)):
            return secret, value
    return None


def renewable(deployment: Deployment) -> TokenIdentity | None:
    """The identity whose tokens a deployment is called with; None for keys and given tokens."""
    credential = deployment.credential
    return None if isinstance(credential, ApiKey | StaticToken | TokenFunction) else credential
