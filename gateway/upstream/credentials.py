"""The headers that authenticate a call of a deployment. Knows their forms, not where tokens come from."""

from __future__ import annotations

from typing import Protocol

from gateway.config.deployment import ApiKey, Deployment, StaticToken, TokenFunction, TokenIdentity


class IdentityFailed(Exception):
    """No token could be fetched for an identity."""

    def __init__(self, reason: str = "") -> None:
        """`reason` is for the operator alone; it is no part of the text."""
        super().__init__()
        self.reason = reason


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


def renewable(deployment: Deployment) -> TokenIdentity | None:
    """The identity whose tokens a deployment is called with; None for keys and given tokens."""
    credential = deployment.credential
    return None if isinstance(credential, ApiKey | StaticToken | TokenFunction) else credential
