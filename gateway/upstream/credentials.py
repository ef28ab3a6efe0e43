"""The headers that authenticate a call of a deployment. Knows their forms, not where tokens come from."""

from __future__ import annotations

from typing import Protocol

from gateway.config.deployment import ApiKey, ClientSecret, DefaultIdentity, Deployment, StaticToken


class IdentityFailed(Exception):
    """No token could be fetched for an identity."""


class TokenProvider(Protocol):
    """Entra tokens by identity."""

    async def token(self, identity: ClientSecret | DefaultIdentity) -> str:
        """A token that is valid now. Raises IdentityFailed."""

    def discard(self, identity: ClientSecret | DefaultIdentity, value: str) -> None:
        """Forget a token that was refused."""


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
    else:
        bearer = await tokens.token(credential)
    authorization = {"authorization": f"Bearer {bearer}"}
    if deployment.provider == "openai" and deployment.organization is not None:
        authorization["openai-organization"] = deployment.organization
    return authorization


def renewable(deployment: Deployment) -> ClientSecret | DefaultIdentity | None:
    """The identity whose token can be fetched again after a 401; None for keys and given tokens."""
    credential = deployment.credential
    return credential if isinstance(credential, ClientSecret | DefaultIdentity) else None
