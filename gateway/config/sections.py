"""The sections of LiteLLM's config.yaml as models: names, types and ranges of single values.

Rules of this file: models stay flat and hold only keys with an effect (the others are in `litellm_keys`);
what needs two values at once is checked where they meet. Zero and negative limits, booleans as numbers and
NaN are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.config.values import (
    Base,
    FallbackLists,
    Filled,
    HeaderValue,
    Identity,
    LimitValue,
    Name,
    Pause,
    Retries,
    Seconds,
    Secret,
    Tenant,
    Token,
    Version,
    Weight,
)


class Section(msgspec.Struct, frozen=True):
    """Base of all: every key is optional (the loader asks for what it needs). `document` reads them."""


class ModelEntry(Section, frozen=True):
    """One member of `model_list`."""

    model_name: Name | None = None
    litellm_params: dict[str, Any] | None = None
    model_info: dict[str, Any] | None = None
    rpm: LimitValue | None = None
    tpm: LimitValue | None = None
    strict: bool | None = None


class Params(Section, frozen=True):
    """`litellm_params` without the request defaults."""

    model: Name | None = None
    custom_llm_provider: Name | None = None
    api_base: Base | None = None
    base_url: Base | None = None
    allow_insecure: bool | None = None
    api_version: Version | None = None
    api_key: Secret | None = None
    azure_ad_token: Token | None = None
    tenant_id: Tenant | None = None
    client_id: Secret | None = None
    client_secret: Filled | None = None
    federated_token_file: Filled | None = None
    azure_scope: Secret | None = None
    organization: Secret | None = None
    region_name: Name | None = None
    rpm: LimitValue | None = None
    tpm: LimitValue | None = None
    strict: bool | None = None
    cooldown_time: Pause | None = None
    weight: Weight | None = None
    order: LimitValue | None = None
    timeout: Seconds | None = None
    request_timeout: Seconds | None = None
    stream_timeout: Seconds | None = None
    num_retries: Retries | None = None
    max_retries: Retries | None = None
    max_parallel_requests: LimitValue | None = None
    extra_headers: dict[str, HeaderValue] | None = None
    extra_body: dict[str, Any] | None = None
    drop_params: bool | None = None
    additional_drop_params: list[Name] | None = None
    allowed_openai_params: list[Name] | None = None
    base_model: Any = None


class Info(Section, frozen=True):
    """`model_info`."""

    id: Identity | None = None
    mode: str | None = None
    rpm: LimitValue | None = None
    tpm: LimitValue | None = None
    strict: bool | None = None
    ptu_count: LimitValue | None = None
    base_model: Any = None
    supports_reasoning: Any = None
    supports_system_messages: Any = None
    supports_native_streaming: Any = None
    allowed_fails: Retries | None = None
    cooldown_time: Pause | None = None
    order: LimitValue | None = None


class FallbackKeys(Section, frozen=True):
    """What `router_settings` and `litellm_settings` both say of other models, and of rests."""

    fallbacks: FallbackLists | None = None
    default_fallbacks: list[str] | None = None
    context_window_fallbacks: FallbackLists | None = None
    content_policy_fallbacks: FallbackLists | None = None
    allowed_fails: Retries | None = None
    cooldown_time: Pause | None = None


class RouterSettings(FallbackKeys, frozen=True):
    """`router_settings`."""

    routing_strategy: str | None = None
    optional_pre_call_checks: list[str] | None = None
    disable_cooldowns: bool | None = None
    max_fallbacks: Retries | None = None
    model_group_alias: dict[str, Any] | None = None
    max_upstream_calls: LimitValue | None = None
    max_wait: Pause | None = None
    num_retries: Retries | None = None
    retry_policy: dict[str, Any] | None = None
    model_group_retry_policy: dict[str, Any] | None = None
    default_max_parallel_requests: LimitValue | None = None
    timeout: Seconds | None = None
    stream_timeout: Seconds | None = None


class RetryCounts(Section, frozen=True):
    """`router_settings.retry_policy`, and each model's in `model_group_retry_policy`."""

    BadRequestErrorRetries: Retries | None = None
    AuthenticationErrorRetries: Retries | None = None
    TimeoutErrorRetries: Retries | None = None
    RateLimitErrorRetries: Retries | None = None
    ContentPolicyViolationErrorRetries: Retries | None = None
    InternalServerErrorRetries: Retries | None = None
    ServiceUnavailableErrorRetries: Retries | None = None
    NotFoundErrorRetries: Retries | None = None
    DefaultRetries: Retries | None = None


class Library(FallbackKeys, frozen=True):
    """`litellm_settings`."""

    num_retries: Retries | None = None
    request_timeout: Seconds | None = None
    drop_params: bool | None = None


class General(Section, frozen=True):
    """`general_settings`."""

    master_key: Secret | None = None
    allow_anonymous: bool | None = None
    client_limits: dict[str, Any] | None = None
    strict_fails_open: bool | None = None


class ClientLimit(Section, frozen=True):
    """`general_settings.client_limits`: in all, and under `models` of single models."""

    rpm: LimitValue | None = None
    tpm: LimitValue | None = None
    strict: bool | None = None
    models: dict[str, Any] | None = None


class ClientEntry(Section, frozen=True):
    """One entry of `clients`."""

    name: Name | None = None
    keys: list[Any] | None = None
    models: list[Name] | None = None
    limits: dict[str, Any] | None = None
    shadow: bool | None = None
    admin: bool | None = None


class KeyEntry(Section, frozen=True):
    """One entry of a client's `keys` that is more than a hash."""

    hash: str | None = None
    expires: str | None = None


class EntraSection(Section, frozen=True):
    """`entra`."""

    tenant_id: str | None = None
    audience: Any = None
    clients: list[Any] | None = None
    pseudonym_key: Filled | None = None


class EntraEntry(Section, frozen=True):
    """One entry of `entra.clients`."""

    client: Name | None = None
    app_ids: list[str] | None = None
    roles: list[str] | None = None
    groups: list[str] | None = None
    admin: bool | None = None
    per_user: bool | None = None


#: What each is called in paths and messages.
SECTIONS: Mapping[type[Section], str] = {
    ModelEntry: "model_list",
    RouterSettings: "router_settings",
    RetryCounts: "retry_policy",
    Library: "litellm_settings",
    General: "general_settings",
    ClientLimit: "client_limits",
    Params: "litellm_params",
    Info: "model_info",
    ClientEntry: "clients",
    KeyEntry: "clients.keys",
    EntraSection: "entra",
    EntraEntry: "entra.clients",
}
