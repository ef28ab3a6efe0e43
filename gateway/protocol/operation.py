"""What an operation is: all that differs between one and the next, as plain values and pure functions.

The operations themselves are in `operations`. Knows no HTTP, client or limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

#: Newest dated api-version that is generally available (Microsoft publishes none after it).
DEFAULT_API_VERSION = "2024-10-21"

#: How the tokens of a body field are counted: messages of a chat; a text, tokens, or several of them; any
#: JSON, all of whose keys and texts reach the model.
PromptKind = Literal["messages", "texts", "json"]


@dataclass(frozen=True, slots=True)
class BodyFields:
    """The fields of a request's body, by the kind of value they take.

    The configuration may set them as request defaults. The names are those of the create-params schemas of
    openai-python 3.54, without `model`, which the gateway sets itself, and what asks for a stream, which is
    the client's choice. A client may send any field; the names only tell a default from a misspelt key.
    """

    numbers: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    def __contains__(self, name: str) -> bool:
        return name in self.numbers or name in self.flags or name in self.others


@dataclass(frozen=True, slots=True)
class Streaming:
    """How an operation streams server-sent events."""

    #: The body field that asks for a stream, and the value of it that does. Any other value is upstream's
    #: to judge; it answers without a stream.
    field: str = "stream"
    value: object = True
    #: Whether `stream_options.include_usage` asks a stream for its usage.
    usage_option: bool = False

    def asked_for(self, body: Mapping[str, Any]) -> bool:
        """Whether a request's body asks for a stream."""
        value = body.get(self.field)
        return type(value) is type(self.value) and value == self.value


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation of the OpenAI API that deployments serve."""

    #: Our name, also OpenTelemetry's `gen_ai.operation.name` where it has one.
    name: str
    #: Path below the base URL, the same at OpenAI and behind Azure's deployment path.
    path: str
    #: Azure's name, as its own errors write it.
    azure_name: str
    #: The providers whose members serve it.
    providers: frozenset[str]
    #: The names that LiteLLM's `mode` has for it.
    modes: tuple[str, ...]
    body_fields: BodyFields
    #: The body fields that make up the prompt, and how their tokens are counted.
    prompt_fields: tuple[tuple[str, PromptKind], ...]
    #: The body fields that bound the tokens of a completion, the one that wins first. Without any of them the
    #: operation has no completion.
    completion_fields: tuple[str, ...] = ()
    #: The body fields that say how many completions there are.
    choices_fields: tuple[str, ...] = ()
    #: Dated api-version for Azure when the configuration names none.
    default_api_version: str = DEFAULT_API_VERSION
    #: How it streams; None where it does not.
    streaming: Streaming | None = None
    #: Whether the reply is JSON (else it is copied as it comes).
    json_reply: bool = True

    @property
    def streams_usage(self) -> bool:
        """Whether a stream can be asked to report its usage (`stream_options.include_usage`)."""
        return self.streaming is not None and self.streaming.usage_option
