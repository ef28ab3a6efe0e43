"""Who is calling: the key of a request, compared in constant time.

Knows the forms of headers, not where the configuration comes from.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from gateway.errors import Unauthorized

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

#: What a request is recorded under when the gateway is open to all.
ANONYMOUS = "anonymous"
#: The holder of the master key.
MASTER = "master"


def digest(key: str) -> bytes:
    """SHA-256 of a key. Comparing digests hides the key's length, and takes any characters."""
    return hashlib.sha256(key.encode()).digest()


class Authenticator:
    """Decides whether a request may pass."""

    __slots__ = ("_master",)

    def __init__(self, master_key: str | None) -> None:
        """`master_key` None means that any key, or none, is accepted."""
        self._master = None if master_key is None else digest(master_key)

    def authenticate(self, headers: Mapping[str, str], *, azure_path: bool = False) -> str:
        """The client's name. Raises Unauthorized, worded as Azure does on Azure's paths."""
        if self._master is None:
            return ANONYMOUS
        keys = _presented(headers)
        # AzureOpenAI up to 2.33 sends its key in both headers. Two that differ are no key.
        if keys and all(hmac.compare_digest(digest(key), self._master) for key in keys):
            return MASTER
        if azure_path:
            raise Unauthorized(_AZURE, code="401")
        if keys:
            raise Unauthorized(_WRONG, code="invalid_api_key")
        raise Unauthorized(_MISSING)


def _presented(headers: Mapping[str, str]) -> list[str]:
    """The keys a request holds. A scheme other than Bearer holds none."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    bearer = credential.strip() if scheme.lower() == "bearer" else ""
    return [key for key in (bearer, headers.get("api-key", "").strip()) if key]
