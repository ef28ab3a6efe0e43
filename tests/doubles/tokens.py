"""Tokens of the doubles: in the form of Entra's, with what they are for readable in them."""

from __future__ import annotations

import itertools
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

#: In every token of the doubles, so that tests can look for tokens where none may be.
MARK = "token-canary"

_numbers = itertools.count(1)


def encoded(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def make_token(audience: str, *, lifetime: float, **claims: Any) -> str:
    """A token that nobody can verify: what a managed identity gets is opaque to it."""
    payload = {"aud": audience, "exp": int(time.time() + lifetime), "uti": next(_numbers)} | claims
    return f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(payload)}.{MARK}"


def claims_of(token: str) -> dict[str, Any]:
    """What a token says; empty for anything else."""
    parts = token.split(".")
    try:
        return json.loads(urlsafe_b64decode(parts[1] + "=="))
    except (ValueError, IndexError):
        return {}
