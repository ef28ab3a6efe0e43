"""The simulator's configuration: accounts (resources) with keys, and their deployments.

YAML or JSON, strict: `load` names every wrong entry with its path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simulator.faults import Fault
from simulator.limits import Style

Kind = Literal["chat", "completions", "embeddings", "speech", "moderations", "image", "transcription"]
HeaderGeneration = Literal["2024", "2025", "2026-ms", "2026-s", "unlimited", "none"]

#: Dated versions that an Azure resource answers to, oldest first; the rest is "Resource not found".
DATED_VERSIONS = (
    "2023-05-15",
    "2023-07-01-preview",
    "2023-12-01-preview",
    "2024-02-01",
    "2024-02-15-preview",
    "2024-03-01-preview",
    "2024-04-01-preview",
    "2024-05-01-preview",
    "2024-06-01",
    "2024-07-01-preview",
    "2024-08-01-preview",
    "2024-09-01-preview",
    "2024-10-01-preview",
    "2024-10-21",
    "2024-12-01-preview",
    "2025-01-01-preview",
    "2025-02-01-preview",
    "2025-03-01-preview",
    "2025-04-01-preview",
)

#: Base model versions, for the dated `model` of answers.
MODEL_VERSIONS = {
    "gpt-4o": "2024-11-20",
    "gpt-4o-mini": "2024-07-18",
    "gpt-4.1": "2025-04-14",
    "gpt-4.1-mini": "2025-04-14",
    "o1": "2024-12-17",
    "o3-mini": "2025-01-31",
    "o4-mini": "2025-04-16",
    "gpt-5": "2025-08-07",
    "gpt-5-mini": "2025-08-07",
}

Range = Annotated[tuple[float, float], Field(description="lowest and highest, drawn evenly")]


class ConfigError(ValueError):
    """The configuration cannot be used; the text lists every problem, one a line."""


class Strict(BaseModel):
    """Base of all parts: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Latency(Strict):
    """How long answers take, in milliseconds. All zero: as fast as possible."""

    #: Before the first byte of an answer.
    first_ms: Range = (0, 0)
    #: Between the tokens of a stream or the chunks of audio; a whole answer takes the sum.
    token_ms: Range = (0, 0)
    #: Tokens that arrive together, as the synchronous content filter releases them.
    burst: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def ordered(self) -> Latency:
        """Refuse ranges that are negative or the wrong way round."""
        for low, high in (self.first_ms, self.token_ms):
            if not 0 <= low <= high:
                raise ValueError("give [lowest, highest] with 0 <= lowest <= highest")
        return self


class Limits(Strict):
    """Rate limits of a deployment; without numbers there are none."""

    #: Tokens per 60 s.
    tpm: int | None = Field(default=None, ge=1)
    #: Requests per 60 s, enforced in windows of `rpm_window_s`.
    rpm: int | None = Field(default=None, ge=1)
    rpm_window_s: Literal[1, 10, 60] = 60
    #: Tumbling windows begin at multiples of their length plus `phase_s`; sliding ones look back; leaky ones
    #: are buckets that drain evenly.
    windows: Style = "tumbling"
    phase_s: float = Field(default=0, ge=0)
    #: Tokens charged for an answer whose length the request does not bound.
    default_max_tokens: int = Field(default=16, ge=0)
    #: Text of the 429.
    text: Literal["new", "old"] = "new"
    #: Retry headers of the 429.
    retry_headers: Literal["both", "seconds", "milliseconds", "zero_ms", "none", "day", "date"] = "both"


class Deployment(Strict):
    """One deployment of an Azure resource, or one model of the OpenAI platform."""

    name: str = Field(min_length=1)
    model: str = Field(min_length=1)
    #: Version of the base model; answers name `model-version`. Default: by model, or none.
    version: str | None = None
    kind: Kind = "chat"
    limits: Limits = Limits()
    #: Provisioned throughput: `limits.tpm` is what it can do per minute, utilisation is reported.
    ptu: bool = False
    #: Standard deployment that answers when this one cannot.
    spillover: str | None = None
    latency: Latency = Latency()
    #: Overrides of the account's.
    region: str | None = None
    keys: tuple[str, ...] | None = None
    #: Dated api-versions it answers to.
    api_versions: tuple[str, ...] = DATED_VERSIONS
    #: A reasoning model, which refuses max_tokens, temperature and the like.
    reasoning: bool = False
    #: False for o1-mini and the like, which take no messages of the system or the developer.
    system_messages: bool = True
    #: False for o1 and the like, which cannot stream.
    streams: bool = True
    context_tokens: int = Field(default=128_000, ge=1)
    #: Which response headers of rate limits it sends.
    headers: HeaderGeneration = "2026-ms"
    #: `async` sends the filter's annotations in chunks of their own, `off` none.
    content_filter: Literal["sync", "async", "off"] = "sync"
    #: Fixed text of its answers; without it the prompt is repeated in a sentence.
    answer: str | None = None
    #: Pads or cuts the answer to this many tokens.
    answer_tokens: int | None = Field(default=None, ge=1)
    #: Content type of audio: of the format (audio/mpeg) as OpenAI sends, or application/octet-stream.
    audio_type: Literal["format", "octet-stream"] = "format"
    faults: tuple[Fault, ...] = ()
    #: Answers are prepared once and sent without looking at the request: for load tests.
    canned: bool = False

    @property
    def reply_model(self) -> str:
        """The `model` that answers name."""
        version = self.version or MODEL_VERSIONS.get(self.model)
        return f"{self.model}-{version}" if version else self.model


class Account(Strict):
    """An Azure OpenAI resource, or an account of the OpenAI platform."""

    name: str = Field(min_length=1)
    kind: Literal["azure", "openai"] = "azure"
    #: Path below which it is served, "" or "/something". Accounts may share one: the key decides.
    path: str = Field(default="", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    region: str = "East US 2"
    keys: tuple[str, ...] = ()
    #: Accepted Entra tokens; without a list any well-formed, unexpired JWT is.
    tokens: tuple[str, ...] | None = None
    #: Operations that the v1 path serves with `api-version=preview` only.
    v1_preview_only: tuple[Kind, ...] = ("completions", "speech")
    deployments: tuple[Deployment, ...]

    @property
    def all_keys(self) -> frozenset[str]:
        """Keys that open the account or one of its deployments."""
        return self.deployment_keys.union(self.keys)

    @cached_property
    def deployment_keys(self) -> frozenset[str]:
        """Keys that open single deployments."""
        return frozenset(key for deployment in self.deployments for key in deployment.keys or ())

    @cached_property
    def all_versions(self) -> frozenset[str]:
        """Dated api-versions that exist for the account, whether each deployment takes them or not."""
        return frozenset(DATED_VERSIONS).union(*(deployment.api_versions for deployment in self.deployments))

    @model_validator(mode="after")
    def names(self) -> Account:
        """Refuse double names and spillover to nowhere."""
        names = [deployment.name for deployment in self.deployments]
        doubles = sorted(name for name, times in Counter(names).items() if times > 1)
        if doubles:
            raise ValueError(f"deployment names given twice: {', '.join(doubles)}")
        for deployment in self.deployments:
            if deployment.spillover is not None and deployment.spillover not in names:
                raise ValueError(
                    f"{deployment.name}: spillover deployment {deployment.spillover} does not exist"
                )
        return self


class Config(Strict):
    """The whole configuration."""

    #: Ids, filler and latencies follow from it and from the order of requests.
    seed: int = 1
    #: `manual` stands still until it is moved over POST /__clock.
    clock: Literal["system", "manual"] = "system"
    #: Requests kept for GET /__log; the oldest are dropped.
    log_size: int = Field(default=10_000, ge=0)
    accounts: tuple[Account, ...]


def parse(document: Mapping[str, Any]) -> Config:
    """Check a configuration that is already a mapping; raises ConfigError."""
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        lines = [f"{place(problem['loc'])}: {problem['msg']}" for problem in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def load(path: Path) -> Config:
    """Read and check a YAML or JSON file; raises ConfigError."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: a mapping is needed")
    return parse(document)


def place(location: tuple[str | int, ...]) -> str:
    """A path such as `accounts[0].deployments[1].kind`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".") or "configuration"
