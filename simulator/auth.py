"""Who may call: keys and Entra tokens, as Azure and OpenAI's platform check them."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode
from collections.abc import Collection, Mapping

from simulator import platform
from simulator.config import Account
from simulator.errors import access_denied, bad_token, too_many_headers

#: Headers that do not count as custom ones.
KNOWN_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "api-key",
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "date",
        "expect",
        "host",
        "keep-alive",
        "origin",
        "pragma",
        "te",
        "transfer-encoding",
        "user-agent",
        "x-ms-client-request-id",
        "x-ms-spillover-deployment",
    }
)
MAX_CUSTOM_HEADERS = 10

AUDIENCES = ("https://cognitiveservices.azure.com", "https://ai.azure.com")


def check_azure(
    account: Account, keys: Collection[str], headers: Mapping[str, str], *, v1: bool, now: float
) -> None:
    """Raise the Refusal that Azure answers to a caller it does not let in.

    `keys` are those valid for the deployment. A key in `api-key` decides, whatever stands beside it;
    as a Bearer it is a key on v1 paths only.
    """
    if len([name for name in headers if name not in KNOWN_HEADERS]) > MAX_CUSTOM_HEADERS:
        raise too_many_headers()
    if "api-key" in headers:
        if headers["api-key"] not in keys:
            raise access_denied()
        return
    if "authorization" not in headers:
        raise access_denied()
    token = bearer(headers)
    if token is not None and v1 and token in keys:
        return
    if token is None or not token_accepted(account, token, now):
        raise bad_token()


def check_platform(keys: Collection[str], headers: Mapping[str, str]) -> None:
    """Raise the Refusal of OpenAI's platform for a missing or wrong key."""
    key = bearer(headers)
    if not key:
        raise platform.missing_key()
    if key not in keys:
        raise platform.wrong_key(key)


def bearer(headers: Mapping[str, str]) -> str | None:
    """The credential of an `Authorization: Bearer` header."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else None


def token_accepted(account: Account, token: str, now: float) -> bool:
    """Whether an Entra token is let in: listed, or a JWT that is not expired and meant for us."""
    if account.tokens is not None:
        return token in account.tokens
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        return False
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=="))
    except (ValueError, binascii.Error):
        return False
    if not isinstance(claims, dict):
        return False
    audience = str(claims.get("aud", AUDIENCES[0])).rstrip("/")
    expires = claims.get("exp", now + 1)
    return audience in AUDIENCES and isinstance(expires, int | float) and expires > now
