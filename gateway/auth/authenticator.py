"""Who is calling: the key or the token of a request.

Knows the forms of headers, not where the configuration comes from. A key is looked up by its hash, so that
what is compared is nothing that a caller can choose; a wrong, an expired and an unknown one are told alike.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from msgspec.structs import replace

from gateway.auth.entra import InvalidToken, TokenVerifier, is_token, principal_of
from gateway.auth.principal import ANONYMOUS, MASTER, Principal, of_client
from gateway.config.deployment import Config
from gateway.errors import Forbidden, Unauthorized

#: OpenAI's text for a missing key, without the link to its own key page.
_MISSING = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using "
    "Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or in an api-key header."
)
_WRONG = "Incorrect API key provided."
#: Azure's text, for clients that speak Azure's paths; the same for a missing and a wrong key.
_AZURE = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid "
    "key for an active subscription and use a correct regional API endpoint for your resource."
)

_NOBODY = (
    "The token is valid, but its bearer is no client of this gateway. Ask its operator to map your "
    "application, role or group to a client."
)
#: Bearers of tokens that are remembered.
_REMEMBERED = 5_000


def digest(key: str) -> bytes:
    """SHA-256 of a key. Comparing digests hides the key's length, and takes any characters."""
    return hashlib.sha256(key.encode()).digest()


class Authenticator:
    """Decides whether a request may pass, and as whom."""

    __slots__ = ("_anybody", "_bearers", "_clients", "_entra", "_holder", "_holders", "_master", "_verifier")

    def __init__(self, config: Config, verifier: TokenVerifier) -> None:
        """Where the configuration allows anonymous access, any key, or none, is accepted."""
        #: Everybody, where the gateway is open.
        self._anybody = Principal(ANONYMOUS, config.client_limits) if config.allow_anonymous else None
        self._master = None if config.master_key is None else digest(config.master_key)
        self._holder = Principal(MASTER, config.client_limits, admin=True)
        self._clients = {client.name: of_client(client) for client in config.clients}
        #: Digest of a key -> who holds it; of a token -> who bears it.
        self._holders = {
            key.digest: replace(self._clients[client.name], expires=key.expires)
            for client in config.clients
            for key in client.keys
        }
        self._bearers: dict[bytes, Principal] = {}
        self._entra = config.entra
        self._verifier = verifier

    async def authenticate(
        self, headers: Mapping[str, str], now: float, *, azure_path: bool = False
    ) -> Principal:
        """Who sends a request at `now` (seconds since 1970). Waits only for a token's unknown signing key.

        Raises Unauthorized, worded as Azure does on Azure's paths, Forbidden for a valid token of nobody, and
        IdentityUnavailable where a token cannot be checked.
        """
        if self._anybody is not None:
            return self._anybody
        credentials = _presented(headers)
        # AzureOpenAI up to 2.33 sends its key in both headers. Two that differ are no key.
        if credentials and all(credential == credentials[0] for credential in credentials):
            principal = await self._holder_of(credentials[0], now)
            if principal is not None:
                return principal
        if azure_path:
            raise Unauthorized(_AZURE, code="401")
        if credentials:
            raise Unauthorized(_WRONG, code="invalid_api_key")
        raise Unauthorized(_MISSING)

    async def _holder_of(self, credential: str, now: float) -> Principal | None:
        """Who holds a key or a token; None for one that is wrong, unknown or has expired."""
        presented = digest(credential)
        if self._master is not None and hmac.compare_digest(presented, self._master):
            return self._holder
        principal = self._holders.get(presented) or self._bearers.get(presented)
        if principal is not None and (principal.expires is None or principal.expires > now):
            return principal
        if self._entra is None or presented in self._holders or not is_token(credential):
            return None
        try:
            claims = await self._verifier.claims(credential, presented, self._entra, now)
        except InvalidToken:
            return None
        principal = principal_of(claims, self._entra, self._clients)
        if principal is None:
            raise Forbidden(_NOBODY)
        if len(self._bearers) >= _REMEMBERED:
            self._bearers.clear()
        self._bearers[presented] = principal
        return principal


def _presented(headers: Mapping[str, str]) -> list[str]:
    """The keys a request holds. A scheme other than Bearer holds none."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    bearer = credential.strip() if scheme.lower() == "bearer" else ""
    return [_text(key) for key in (bearer, headers.get("api-key", "").strip()) if key]


def _text(credential: str) -> str:
    """A credential as its sender wrote it. Headers are read as Latin-1; most clients send UTF-8."""
    if credential.isascii():
        return credential
    try:
        return credential.encode("latin-1").decode()
    except UnicodeError:
        return credential
