"""What a loaded configuration is made of: frozen values, complete and resolved.

Nothing here knows the shape of the document it came from, the environment or the clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from gateway.config.access import ClientLimits, ClientSpec, EntraSpec
from gateway.protocol.capabilities import Capabilities
from gateway.protocol.field_paths import FieldPath

Provider = Literal["azure", "azure_text", "openai"]

#: Scope of the Entra token that Azure OpenAI accepts on dated and v1 paths alike.
COGNITIVE_SERVICES_SCOPE = "https://cognitiveservices.azure.com/.default"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of the resource or of the OpenAI account."""

    key: str = field(repr=False)
    #: The vault's secret that it was read from, if any.
    secret: str | None = None
    #: The key of the configuration, or the environment variable, that gives it.
    origin: str = field(default="api_key", compare=False)


@dataclass(frozen=True, slots=True)
class StaticToken:
    """An Entra token that the operator fetched."""

    token: str = field(repr=False)
    #: As for a key.
    secret: str | None = None
    origin: str = field(default="azure_ad_token", compare=False)


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """An Entra application that signs in with a secret."""

    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = COGNITIVE_SERVICES_SCOPE
    #: The vault's secret that the client secret was read from, if any.
    secret: str | None = field(default=None, compare=False)


class FederatedToken(msgspec.Struct, frozen=True):
    """An Entra application that signs in with a token of another issuer, which a file holds."""

    tenant_id: str
    client_id: str
    #: Path of the file, which is read again for each new token.
    file: str
    scope: str = COGNITIVE_SERVICES_SCOPE


class ManagedIdentity(msgspec.Struct, frozen=True):
    """The user-assigned managed identity with this client id."""

    client_id: str
    scope: str = COGNITIVE_SERVICES_SCOPE


class DefaultIdentity(msgspec.Struct, frozen=True):
    """Whatever identity the environment offers (`DefaultAzureCredential`): managed identity on Azure."""

    scope: str = COGNITIVE_SERVICES_SCOPE


@dataclass(frozen=True, slots=True, eq=False)
class TokenFunction:
    """A Python caller's own source of tokens, asked for each call."""

    #: Raises IdentityFailed.
    ask: Callable[[], Awaitable[str]] = field(repr=False)


#: What fetches tokens of Entra ID.
TokenIdentity = ClientSecret | FederatedToken | ManagedIdentity | DefaultIdentity

Credential = ApiKey | StaticToken | TokenFunction | TokenIdentity


class Target(msgspec.Struct, frozen=True):
    """Where and how one operation of a deployment is called."""

    url: str
    #: True where the body's `model` names the deployment (Azure v1, OpenAI), False where the path does.
    model_in_body: bool
    #: True where `stream_options.include_usage` is understood.
    stream_usage: bool


@dataclass(frozen=True, slots=True)
class Deployment:
    """One member of a model group: an Azure OpenAI deployment or an OpenAI model."""

    #: Unique; `model_info.id` or derived from the position in the list.
    id: str
    #: The name clients ask for; a wildcard with `*`.
    model_name: str
    #: The deployment's name at Azure, the model's at OpenAI.
    name: str
    provider: Provider
    #: Operation name -> target; an operation that is absent is not served by this deployment.
    targets: Mapping[str, Target]
    credential: Credential
    #: Where an Azure member's api-version comes from, in words.
    version_from: str = "default"
    organization: str | None = None
    #: Where it is, in the operator's words.
    region: str | None = None
    #: Requests and tokens per minute.
    rpm: int | None = None
    tpm: int | None = None
    weight: float | None = None
    #: Calls of it that one process has in flight at a time.
    max_parallel_requests: int | None = None
    #: Lower is tried first.
    order: int = 0
    #: Seconds for a whole reply that is not streamed, and until a stream's first byte.
    timeout: float | None = None
    stream_timeout: float | None = None
    #: Retries where it is alone; None for the configuration's.
    num_retries: int | None = None
    #: Provisioned throughput (`model_info.ptu_count`): it has no quota of tokens, so none is predicted.
    ptu: bool = False
    #: Seconds of rest where upstream names none.
    cooldown_time: float | None = None
    #: Failures within a minute that are forgiven.
    allowed_fails: int | None = None
    #: Where `rpm` and `tpm` are caps: exact across instances.
    strict: bool = False
    #: Headers added to every request; they may hold keys of what stands before the deployment.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: Body fields added to every request that lacks them, and those that no request has.
    extra_body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    dropped: frozenset[str] = frozenset()
    #: Fields within others that no request has.
    dropped_within: tuple[FieldPath, ...] = ()
    #: What its model takes, where that is known and differs from what most models take.
    capabilities: Capabilities | None = None
    #: Whether fields that its model refuses are left out; else the client is told of them.
    drop_params: bool = False
    #: Body fields added when the request does not have them; dataSources may hold keys.
    defaults: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: What of the requested model stands for each `*` of `model_name`, where `name` is made of it.
    parts: tuple[str, ...] | None = None
    #: Of an entry for any deployment: itself for those of a series, by what stands before their names.
    series: Mapping[str, Deployment] = field(default_factory=dict, repr=False)

    @property
    def upstream(self) -> tuple[str, str, frozenset[str]]:
        """What has a limiter and a health of its own: a deployment, or an account's model, behind hosts."""
        hosts = frozenset(target.url.split("/", 3)[2] for target in self.targets.values())
        return self.provider, self.name, hosts


class Fallbacks(msgspec.Struct, frozen=True):
    """Other models to try when a model's own deployments cannot answer, in order."""

    #: Model -> models, on any failure that another deployment could make good.
    general: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    #: For models without an entry of their own.
    default: tuple[str, ...] = ()
    #: On a prompt that is too long, and on one that the content filter blocked.
    context_window: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    content_policy: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    #: Models tried for one request, beside its own.
    most: int = 5


#: Kind of failure, as LiteLLM calls them (`RateLimitError`) -> how often the call is made again after it.
RetryPolicy = Mapping[str, int]


class RetryPolicies(msgspec.Struct, frozen=True):
    """How often calls are made again, by kind of failure."""

    general: RetryPolicy = msgspec.field(default_factory=dict)
    #: By `model_name`: for its deployments, instead of the general one.
    groups: Mapping[str, RetryPolicy] = msgspec.field(default_factory=dict)


class Alias(msgspec.Struct, frozen=True):
    """Another name of a model."""

    model: str
    #: It can be asked for but is not listed.
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """A whole, valid configuration."""

    #: `model_name` -> its deployments, in document order. `wildcards.ServedNames` looks models up.
    models: Mapping[str, tuple[Deployment, ...]]
    #: Other names of models.
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    #: The key of the operator; None when `allow_anonymous`, or where others may call.
    master_key: str | None = field(default=None, repr=False)
    allow_anonymous: bool = False
    #: Retries of a lone deployment, and of any after failures of certain kinds.
    num_retries: int = 2
    retry_policies: RetryPolicies = field(default_factory=RetryPolicies)
    #: Seconds for one try when the deployment says nothing.
    timeout: float | None = None
    #: Seconds until a stream's first byte when the deployment does not say.
    stream_timeout: float | None = None
    #: Failures within a minute that are forgiven, and seconds of rest where upstream names none.
    allowed_fails: int | None = None
    cooldown_time: float | None = None
    disable_cooldowns: bool = False
    #: `simple-shuffle`: drawn by weights alone, whatever was used.
    shuffle: bool = False
    #: Calls of one deployment in flight in one process, where it does not say.
    max_parallel_requests: int | None = None
    #: The deployments' `rpm` and `tpm` are caps (`enforce_model_rate_limits`, `usage-based-routing`).
    capped: bool = False
    fallbacks: Fallbacks = field(default_factory=Fallbacks)
    #: Seconds that a call may wait for room where every deployment is at its limit, and for a place where
    #: every one has as many calls in flight as it may.
    max_wait: float = 0.0
    place_wait: float = 20.0
    #: Calls of deployments that one request may bring about in all.
    max_upstream_calls: int = 6
    #: Limits of the client that the master key is.
    client_limits: ClientLimits | None = None
    #: Who else may call: by key, and by token of Entra ID.
    clients: tuple[ClientSpec, ...] = ()
    entra: EntraSpec | None = None
    #: Whether calls under a strict cap pass while the storage does not answer.
    strict_fails_open: bool = True
    #: One sentence for each accepted key that has no effect.
    warnings: tuple[str, ...] = ()
