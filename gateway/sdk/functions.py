"""The functions of the Python API. Each says itself which deployment it calls.

What is heavy (the core, with its configuration reader and HTTP) is imported by the first call: importing
these functions is cheap.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from gateway.sdk.audio import SpeechAudio
    from gateway.sdk.results import ChatCompletion, ChatCompletionChunk, EmbeddingList, TextCompletion
    from gateway.sdk.streams import AsyncChunkStream, ChunkStream

Messages = Sequence[Mapping[str, Any]]
Prompt = str | Sequence[Any]


@overload
def completion(
    model: str, messages: Messages, *, stream: Literal[True], **arguments: Any
) -> ChunkStream[ChatCompletionChunk]: ...
@overload
def completion(
    model: str, messages: Messages, *, stream: Literal[False] | None = None, **arguments: Any
) -> ChatCompletion: ...
@overload
def completion(
    model: str, messages: Messages, *, stream: bool | None, **arguments: Any
) -> ChatCompletion | ChunkStream[ChatCompletionChunk]: ...
def completion(model: str, messages: Messages, **arguments: Any) -> Any:
    """Call a chat model and return its answer, or with `stream=True` an iterator of chunks.

    `model` is `azure/<deployment>`, `azure_text/<deployment>`, `openai/<model>` or a bare OpenAI name.
    Arguments: docs/python-api.md; those that nothing here knows go into the body. Raises APIError.
    """
    return _call("chat", model, messages=messages, **arguments)


@overload
async def acompletion(
    model: str, messages: Messages, *, stream: Literal[True], **arguments: Any
) -> AsyncChunkStream[ChatCompletionChunk]: ...
@overload
async def acompletion(
    model: str, messages: Messages, *, stream: Literal[False] | None = None, **arguments: Any
) -> ChatCompletion: ...
@overload
async def acompletion(
    model: str, messages: Messages, *, stream: bool | None, **arguments: Any
) -> ChatCompletion | AsyncChunkStream[ChatCompletionChunk]: ...
async def acompletion(model: str, messages: Messages, **arguments: Any) -> Any:
    """As `completion`; a stream is an asynchronous iterator."""
    return await _acall("chat", model, messages=messages, **arguments)


@overload
def text_completion(
    prompt: Prompt, model: str, *, stream: Literal[True], **arguments: Any
) -> ChunkStream[TextCompletion]: ...
@overload
def text_completion(
    prompt: Prompt, model: str, *, stream: Literal[False] | None = None, **arguments: Any
) -> TextCompletion: ...
@overload
def text_completion(
    prompt: Prompt, model: str, *, stream: bool | None, **arguments: Any
) -> TextCompletion | ChunkStream[TextCompletion]: ...
def text_completion(prompt: Prompt, model: str, **arguments: Any) -> Any:
    """Complete a prompt (or several, or one in tokens) by an instruct model. Otherwise as `completion`."""
    return _call("text_completion", model, prompt=prompt, **arguments)


@overload
async def atext_completion(
    prompt: Prompt, model: str, *, stream: Literal[True], **arguments: Any
) -> AsyncChunkStream[TextCompletion]: ...
@overload
async def atext_completion(
    prompt: Prompt, model: str, *, stream: Literal[False] | None = None, **arguments: Any
) -> TextCompletion: ...
@overload
async def atext_completion(
    prompt: Prompt, model: str, *, stream: bool | None, **arguments: Any
) -> TextCompletion | AsyncChunkStream[TextCompletion]: ...
async def atext_completion(prompt: Prompt, model: str, **arguments: Any) -> Any:
    """As `text_completion`."""
    return await _acall("text_completion", model, prompt=prompt, **arguments)


def embedding(model: str, input: Prompt, **arguments: Any) -> EmbeddingList:  # noqa: A002  the API's name
    """The embeddings of a text, or of several."""
    found: EmbeddingList = _call("embeddings", model, input=input, **arguments)
    return found


async def aembedding(model: str, input: Prompt, **arguments: Any) -> EmbeddingList:  # noqa: A002
    """As `embedding`."""
    found: EmbeddingList = await _acall("embeddings", model, input=input, **arguments)
    return found


def speech(model: str, input: str, voice: str | None = None, **arguments: Any) -> SpeechAudio:  # noqa: A002
    """The sound of a text that is spoken."""
    found: SpeechAudio = _call("speech", model, input=input, voice=voice, **arguments)
    return found


async def aspeech(model: str, input: str, voice: str | None = None, **arguments: Any) -> SpeechAudio:  # noqa: A002
    """As `speech`."""
    found: SpeechAudio = await _acall("speech", model, input=input, voice=voice, **arguments)
    return found


def _call(operation: str, model: str, /, **given: Any) -> Any:
    api = _api()
    return api.answer(*api.prepared(operation, model, given))


async def _acall(operation: str, model: str, /, **given: Any) -> Any:
    if _api.cache_info().currsize:
        prepared = _api().prepared(operation, model, given)
    else:
        # The imports take half a second, in which the caller's loop may have others to serve.
        import asyncio

        prepared = await asyncio.to_thread(lambda: _api().prepared(operation, model, given))
    return await _api().aanswer(*prepared)


@cache
def _api() -> Any:
    """What answers the calls, imported by the first of them."""
    from gateway.sdk import answering

    return answering
