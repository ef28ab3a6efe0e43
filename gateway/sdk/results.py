"""Answers as Python objects, with the names and types that scripts and type checkers know. Pure."""

from __future__ import annotations

from typing import ClassVar

from gateway.sdk.objects import Parts, Result


class FunctionCall(Result):
    """The function that a model wants called; `arguments` is JSON text."""

    name: str
    arguments: str
    optional = frozenset(("name", "arguments"))


class ToolCall(Result):
    """One call of a tool."""

    id: str
    type: str
    index: int
    function: FunctionCall
    parts: ClassVar[Parts] = {"function": FunctionCall}
    optional = frozenset(("id", "type", "index", "function"))


class ChatMessage(Result):
    """A message of the model's; it may go back into `messages` as it is."""

    role: str
    content: str | None
    tool_calls: list[ToolCall] | None
    function_call: FunctionCall | None
    refusal: str | None
    parts: ClassVar[Parts] = {"tool_calls": ToolCall, "function_call": FunctionCall}
    optional = frozenset(("role", "content", "tool_calls", "function_call", "refusal", "audio"))


class ChatChoice(Result):
    """One of the answers of a chat."""

    index: int
    finish_reason: str | None
    message: ChatMessage
    parts: ClassVar[Parts] = {"message": ChatMessage}
    optional = frozenset(("finish_reason", "logprobs"))


class TokenUsage(Result):
    """What a call used, in tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    optional = frozenset(
        ("prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details",
         "completion_tokens_details")
    )  # fmt: skip


class Completion(Result):
    """What chats, completions and their chunks have in common."""

    id: str
    object: str
    created: int
    model: str
    usage: TokenUsage | None
    parts: ClassVar[Parts] = {"usage": TokenUsage}
    optional = frozenset(("id", "object", "created", "model", "usage", "system_fingerprint", "service_tier"))


class ChatCompletion(Completion):
    """The answer of a chat."""

    choices: list[ChatChoice]
    parts: ClassVar[Parts] = {**Completion.parts, "choices": ChatChoice}


class ChunkChoice(Result):
    """A piece of one of the answers of a chat; `delta` is what it adds."""

    index: int
    finish_reason: str | None
    delta: ChatMessage
    parts: ClassVar[Parts] = {"delta": ChatMessage}
    optional = frozenset(("finish_reason", "logprobs"))


class ChatCompletionChunk(Completion):
    """A piece of a chat's stream."""

    choices: list[ChunkChoice]
    parts: ClassVar[Parts] = {**Completion.parts, "choices": ChunkChoice}


class TextChoice(Result):
    """One of the answers of a completion, or a piece of it."""

    index: int
    text: str
    finish_reason: str | None
    optional = frozenset(("finish_reason", "logprobs"))


class TextCompletion(Completion):
    """The answer of a completion, or a piece of its stream."""

    choices: list[TextChoice]
    parts: ClassVar[Parts] = {**Completion.parts, "choices": TextChoice}


class EmbeddingVector(Result):
    """One embedding: `embedding` is a list of floats."""

    index: int
    embedding: list[float]


class EmbeddingList(Result):
    """The embeddings of the inputs, in their order."""

    data: list[EmbeddingVector]
    model: str
    usage: TokenUsage | None
    parts: ClassVar[Parts] = {"data": EmbeddingVector, "usage": TokenUsage}
    optional = frozenset(("object", "model", "usage"))
