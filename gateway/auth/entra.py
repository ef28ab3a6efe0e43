"""Tokens of Entra ID: what makes one valid, and which client its bearer is.

A token's signature is checked with the tenant's own keys alone: RS256, by `kid`; what a token says of keys
itself (`jku`, `x5u`, `jwk`) is never looked at. PyJWT is imported with the first token.

Sources: learn.microsoft.com/entra/identity-platform/access-tokens (validation),
.../access-token-claims-reference (azp, appid, oid, roles, groups, tid).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from gateway.auth.principal import ADMIN, Principal
from gateway.config.access import LAST_SECOND, EntraRule, EntraSpec

#: Seconds by which an issuer's clock may differ from ours.
LEEWAY = 30
#: Longest token that is looked at, in characters. Entra's have 1,000 to 4,000.
MAX_TOKEN = 16_384
#: Validated tokens that are remembered.
REMEMBERED = 5_000


class InvalidToken(Exception):
    """The token is none, is not for this gateway, or is not valid now."""


class SigningKey(Protocol):
    """One of the tenant's keys."""

    @property
    def key(self) -> Any:
        """The public key, as PyJWT takes it."""

    @property
    def issuer(self) -> str:
        """The issuer that the tenant's document names."""


class SigningKeys(Protocol):
    """The keys that tenants sign with."""

    async def find(self, tenant_id: str, kid: str) -> SigningKey | None:
        """The key `kid`, None where the tenant has none. Raises IdentityUnavailable."""


class Claims(msgspec.Struct, frozen=True):
    """What a valid token says of its bearer."""

    #: The application that asked for the token.
    app_id: str
    #: The user, or the application's own object.
    oid: str
    roles: frozenset[str]
    groups: frozenset[str]
    #: Seconds since 1970.
    expires: float


class TokenVerifier:
    """Tells valid tokens from others, each once."""

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys
        self._known: dict[bytes, tuple[EntraSpec, Claims]] = {}

    async def claims(self, token: str, digest: bytes, spec: EntraSpec, now: float) -> Claims:
        """What `token` says; `digest` is its hash. Waits only for keys that are not known yet.

        Raises InvalidToken, and IdentityUnavailable where no key could be had to check it with.
        """
        known = self._known.get(digest)
        if known is not None and known[1].expires > now and _same_demands(known[0], spec):
            return known[1]
        key = await self._keys.find(spec.tenant_id, _kid(token))
        if key is None:
            raise InvalidToken
        claims = _validated(token, key, spec)
        if len(self._known) >= REMEMBERED:
            self._forget(now)
        self._known[digest] = (spec, claims)
        return claims

    def _forget(self, now: float) -> None:
        """Make room: what has expired goes, else the tenth that came first."""
        kept = {digest: known for digest, known in self._known.items() if known[1].expires > now}
        if len(kept) >= REMEMBERED:
            for digest in list(kept)[: REMEMBERED // 10]:
                del kept[digest]
        self._known = kept


def is_token(credential: str) -> bool:
    """Whether a credential has the form of a signed token: three parts, the first a JSON object."""
    return credential.startswith("eyJ") and credential.count(".") == 2 and len(credential) <= MAX_TOKEN


def principal_of(claims: Claims, spec: EntraSpec, clients: Mapping[str, Principal]) -> Principal | None:
    """Who the bearer is by the first entry that matches; None where none does."""
    rule = next((rule for rule in spec.rules if _matches(rule, claims)), None)
    if rule is None:
        return None
    principal = Principal(ADMIN) if rule.client is None else clients[rule.client]
    return replace(
        principal,
        name=f"{principal.name}/{pseudonym(claims.oid, spec)}" if rule.per_user else principal.name,
        admin=principal.admin or rule.admin,
        expires=claims.expires,
    )


def pseudonym(oid: str, spec: EntraSpec) -> str:
    """A name for a user that is the same on all instances and tells nothing without the key."""
    return hmac.new(spec.pseudonym_key, oid.encode(), hashlib.sha256).hexdigest()[:16]


def _same_demands(one: EntraSpec, other: EntraSpec) -> bool:
    return one is other or (one.tenant_id, one.audiences) == (other.tenant_id, other.audiences)


def _matches(rule: EntraRule, claims: Claims) -> bool:
    if rule.per_user and not claims.oid:
        return False
    return claims.app_id in rule.app_ids or bool(rule.roles & claims.roles or rule.groups & claims.groups)


def _kid(token: str) -> str:
    import jwt  # noqa: PLC0415  see the module's docstring

    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise InvalidToken from None
    kid = header.get("kid")
    if header.get("alg") != "RS256" or not isinstance(kid, str):
        raise InvalidToken
    return kid


def _validated(token: str, key: SigningKey, spec: EntraSpec) -> Claims:
    import jwt  # noqa: PLC0415

    issuers = [key.issuer, f"https://sts.windows.net/{spec.tenant_id}/"]
    try:
        payload = jwt.decode(
            token,
            key.key,
            algorithms=["RS256"],
            audience=list(spec.audiences),
            issuer=issuers,
            leeway=LEEWAY,
            options={"require": ["exp", "aud", "iss"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
        raise InvalidToken from None
    if _text(payload.get("tid")).lower() != spec.tenant_id.lower():
        raise InvalidToken
    return Claims(
        _application(payload),
        _text(payload.get("oid")),
        frozenset(_texts(payload.get("roles"))),
        frozenset(text.lower() for text in _texts(payload.get("groups"))),
        _end(payload["exp"]),
    )


def _end(exp: Any) -> float:
    """When a token ends. Raises InvalidToken for what is no number (RFC 7519 section 2, NumericDate)."""
    if isinstance(exp, bool) or not isinstance(exp, int | float) or exp > LAST_SECOND:
        raise InvalidToken
    return float(exp)


def _application(payload: Mapping[str, Any]) -> str:
    """The application that asked for a token: `azp` in version 2.0, `appid` in 1.0.

    Raises InvalidToken where they name two.
    """
    named = {_text(payload[claim]).lower() for claim in ("azp", "appid") if payload.get(claim) is not None}
    if len(named) > 1:
        raise InvalidToken
    return next(iter(named), "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> Iterable[str]:
    return (text for text in value if isinstance(text, str)) if isinstance(value, list) else ()
