"""What an operation is: all that differs between one and the next, as plain values and pure functions.

The operations themselves are in `operations`. Knows no HTTP, client or limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from gateway.protocol.usage import NO_USAGE, Usage, UsageFields

#: Newest dated api-version that is generally available (Microsoft publishes none after it).
DEFAULT_API_VERSION = "2024-10-21"

#: How the tokens of a body field are counted: messages of a chat; a text, tokens, or several of them; any
#: JSON, all of whose keys and texts reach the model.
PromptKind = Literal["messages", "texts", "json"]


class BodyFields(msgspec.Struct, frozen=True):
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


class Streaming(msgspec.Struct, frozen=True):
    """How an operation streams server-sent events."""

    #: Found in the event after which nothing of a choice is missing, although `[DONE]` may follow.
    end: re.Pattern[bytes]
    #: Found in every event of an answer.
    mark: bytes
    #: Where the usage object of an event counts tokens.
    usage_fields: UsageFields
    #: The body field that asks for a stream, and the value of it that does. Any other value is upstream's
    #: to judge; it answers without a stream.
    field: str = "stream"
    value: object = True
    #: Whether `stream_options.include_usage` asks a stream for its usage.
    usage_option: bool = False
    #: How the `type` of an answer's events begins; None where they have `choices` instead.
    answer_type: bytes | None = None
    #: Whether the API's schema wants a `delta` in every choice.
    deltas: bool = False
    #: What a client gets in a silence: an event that says nothing, with places for the JSON of the stream's
    #: id, time and model. Empty where the protocol has none.
    keep_alive: bytes = b""
    #: Makes what turns one stream's events, one by one, into those that its clients get; None where they are.
    translation: Callable[[], Callable[[bytes], bytes]] | None = None

    def asked_for(self, body: Mapping[str, Any]) -> bool:
        """Whether a request's body asks for a stream."""
        value = body.get(self.field)
        return type(value) is type(self.value) and value == self.value


def _as_it_is(body: bytes) -> bytes:
    return body


class Operation(msgspec.Struct, frozen=True, eq=False):
    """One operation of the OpenAI API that deployments serve."""

    #: Our name, also OpenTelemetry's `gen_ai.operation.name` where it has one.
    name: str
    #: Path below the base URL, the same at OpenAI and behind Azure's deployment path.
    path: str
    #: How errors name it: as Azure's own do, where Azure offers it.
    azure_name: str
    #: The providers whose members serve it.
    providers: frozenset[str]
    #: The names that LiteLLM's `mode` has for it.
    modes: tuple[str, ...]
    body_fields: BodyFields
    #: The body fields that make up the prompt, and how their tokens are counted.
    prompt_fields: tuple[tuple[str, PromptKind], ...]
    #: Whether a whole reply under a 200 is an answer.
    is_answer: Callable[[bytes], bool]
    #: The body fields that bound the tokens of a completion, the one that wins first. Without any of them the
    #: operation has no completion.
    completion_fields: tuple[str, ...] = ()
    #: The body fields that say how many completions there are.
    choices_fields: tuple[str, ...] = ()
    #: The model of a request that names none, where OpenAI has one; without it such a request is refused.
    default_model: str | None = None
    #: Dated api-version for Azure when the configuration names none.
    default_api_version: str = DEFAULT_API_VERSION
    #: How it streams; None where it does not.
    streaming: Streaming | None = None
    #: Whether a reply is read as a whole before any of it is passed on. (Else it is relayed as it comes.)
    whole_reply: bool = True
    #: Where the usage object of a whole reply counts tokens; None where there is no such object.
    usage_fields: UsageFields | None = None
    #: Makes a whole answer into one that the official clients can read.
    repaired: Callable[[bytes], bytes] = _as_it_is

    @property
    def streams_usage(self) -> bool:
        """Whether a stream can be asked to report its usage (`stream_options.include_usage`)."""
        return self.streaming is not None and self.streaming.usage_option

    def usage(self, body: bytes) -> Usage:
        """The usage that a whole reply reports."""
        return NO_USAGE if self.usage_fields is None else self.usage_fields.read_reply(body)
