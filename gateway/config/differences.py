"""What another configuration would change: members, clients and limits, never a secret. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.config.access import ClientKey, ClientLimits, ClientSpec, Limit
from gateway.config.deployment import (
    ApiKey,
    ClientSecret,
    Config,
    Credential,
    DefaultIdentity,
    Deployment,
    FederatedToken,
    ManagedIdentity,
    StaticToken,
    TokenFunction,
)

#: What of a member is told by its value.
_MEMBER = (
    "model_name",
    "name",
    "provider",
    "order",
    "rpm",
    "tpm",
    "strict",
    "weight",
    "timeout",
    "stream_timeout",
    "max_parallel_requests",
    "num_retries",
    "region",
)


def describe_credential(credential: Credential) -> str:
    """What a member authenticates with, without any secret."""
    match credential:
        case ApiKey() | StaticToken():
            return credential.origin + (f" from keyvault/{credential.secret}" if credential.secret else "")
        case TokenFunction():
            return "azure_ad_token_provider"
        case ClientSecret():
            return f"tenant_id, client_id and client_secret (application {credential.client_id})"
        case FederatedToken():
            return f"federated token (application {credential.client_id})"
        case ManagedIdentity():
            return f"managed identity {credential.client_id}"
        case DefaultIdentity():
            return "default identity (DefaultAzureCredential)"


def differences(old: Config, new: Config) -> list[str]:
    """One line for each thing that changes from `old` to `new`: `+` is added, `-` goes, `~` is changed."""
    return [
        *_compared("member", _members(old), _members(new)),
        *_compared("client", _clients(old), _clients(new)),
        *_compared("limits", _limits(old), _limits(new)),
        *([] if old.entra == new.entra else ["~ entra"]),
        *([] if _rest(old) == _rest(new) else ["~ routing"]),
    ]


def _compared(
    kind: str, old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    for name in old:
        if name not in new:
            yield f"- {kind} {name}"
    for name, values in new.items():
        before = old.get(name)
        if before is None:
            yield f"+ {kind} {name}"
        elif changed := [
            f"{key}: {before.get(key)} -> {values.get(key)}"
            for key in dict.fromkeys((*before, *values))
            if before.get(key) != values.get(key)
        ]:
            yield f"~ {kind} {name}: {', '.join(changed)}"


def _members(config: Config) -> dict[str, dict[str, Any]]:
    return {member.id: _member(member) for group in config.models.values() for member in group}


def _member(member: Deployment) -> dict[str, Any]:
    urls = sorted({target.url.partition("?")[0] for target in member.targets.values()})
    return {
        **{key: getattr(member, key) for key in _MEMBER},
        "address": urls[0] if urls else None,
        "operations": " ".join(sorted(member.targets)),
        "credential": describe_credential(member.credential),
        # Values of defaults may hold keys.
        "defaults": " ".join(sorted(member.defaults)),
        "extra_headers": " ".join(sorted(member.headers)),
        "extra_body": " ".join(sorted(member.extra_body)),
        "additional_drop_params": " ".join(sorted((*member.dropped, *map(str, member.dropped_within)))),
        "drop_params": member.drop_params,
        "model": str(member.capabilities or ""),
    }


def _clients(config: Config) -> dict[str, dict[str, Any]]:
    return {client.name: _client(client) for client in config.clients}


def _client(client: ClientSpec) -> dict[str, Any]:
    # The first digits of a hash tell keys apart, and nobody finds a key by them.
    keys = " ".join(map(_key, client.keys))
    models = None if client.models is None else " ".join(client.models)
    return {"keys": keys, "models": models, "shadow": client.shadow, "admin": client.admin}


def _key(key: ClientKey) -> str:
    end = (
        ""
        if key.expires is None
        else f" (until {datetime.fromtimestamp(key.expires, UTC):%Y-%m-%dT%H:%M:%SZ})"
    )
    return f"sha256:{key.digest.hex()[:8]}...{end}"


def _limits(config: Config) -> dict[str, dict[str, Any]]:
    owners = {client.name: client.limits for client in config.clients} | {"master": config.client_limits}
    return {name: _limit(limits) for name, limits in owners.items() if limits is not None}


def _limit(limits: ClientLimits) -> dict[str, Any]:
    single = {f"{model}.{key}": value for model, limit in limits.models.items() for key, value in _of(limit)}
    return dict(_of(limits.total)) | single


def _of(limit: Limit) -> list[tuple[str, Any]]:
    return [("rpm", limit.rpm), ("tpm", limit.tpm), ("strict", limit.strict)]


def _rest(config: Config) -> tuple[Any, ...]:
    return (
        config.num_retries,
        config.retry_policies,
        config.max_parallel_requests,
        config.place_wait,
        config.timeout,
        config.stream_timeout,
        config.allowed_fails,
        config.cooldown_time,
        config.disable_cooldowns,
        config.shuffle,
        config.capped,
        config.fallbacks,
        config.max_wait,
        config.max_upstream_calls,
        config.strict_fails_open,
    )
