"""What type checkers see of the Python API, and that it is so when it runs: mypy reads this file, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import pytest

import gateway as litellm
from gateway import Router, acompletion, atext_completion, completion, embedding, text_completion
from gateway.sdk.audio import SpeechAudio
from gateway.sdk.results import ChatCompletion, ChatCompletionChunk, TextCompletion, TokenUsage
from gateway.sdk.streams import AsyncChunkStream, ChunkStream

#: The simulator's key for callers (tests/support/python_api.py).
KEY = "key-of-the-caller"
MESSAGES = [{"role": "user", "content": "Say hello"}]


def test_an_answer_and_a_stream_have_types_of_their_own(chat: Any) -> None:
    url: str = chat.url

    answer = assert_type(completion(chat.model, MESSAGES, api_base=url, api_key=KEY), ChatCompletion)
    assert_type(answer.choices[0].message.content, str | None)
    usage = assert_type(answer.usage, TokenUsage | None)
    stream = assert_type(
        completion(chat.model, MESSAGES, stream=True, api_base=url, api_key=KEY),
        ChunkStream[ChatCompletionChunk],
    )
    chunk = assert_type(next(stream), ChatCompletionChunk)

    assert [ChatCompletion, TokenUsage, ChatCompletionChunk] == [
        type(each) for each in (answer, usage, chunk)
    ]
    assert isinstance(stream, Iterator)


def test_asynchronous_ones_too(chat: Any) -> None:
    url: str = chat.url

    async def calls() -> list[object]:
        answer = assert_type(
            await acompletion(chat.model, MESSAGES, api_base=url, api_key=KEY), ChatCompletion
        )
        stream = assert_type(
            await acompletion(model=chat.model, messages=MESSAGES, stream=True, api_base=url, api_key=KEY),
            AsyncChunkStream[ChatCompletionChunk],
        )
        async for chunk in stream:
            assert_type(chunk.choices[0].delta.content, str | None)
        text = assert_type(
            await atext_completion("Once", "azure_text/instruct", api_base=url, api_key=KEY), TextCompletion
        )
        return [answer, stream, text]

    answer, stream, text = asyncio.run(calls())

    assert (ChatCompletion, TextCompletion) == (type(answer), type(text))
    assert isinstance(stream, AsyncIterator)


def test_other_operations_and_a_router_as_well(chat: Any) -> None:
    url: str = chat.url
    router = Router([{"model_name": "gpt", "litellm_params": chat.arguments}])
    streamed = bool(chat.log)

    answer = assert_type(router.completion("gpt", MESSAGES), ChatCompletion)
    assert_type(
        router.completion("gpt", MESSAGES, stream=streamed), ChatCompletion | ChunkStream[ChatCompletionChunk]
    )
    vector = assert_type(
        embedding("azure/embeddings", ["a"], api_base=url, api_key=KEY).data[0].embedding, list[float]
    )
    text = assert_type(
        text_completion("Once", "azure_text/instruct", api_base=url, api_key=KEY).choices[0].finish_reason,
        str | None,
    )
    sound = assert_type(litellm.speech("azure/tts", "Hello", "alloy", api_base=url, api_key=KEY), SpeechAudio)

    assert [ChatCompletion, list, str, SpeechAudio] == [type(each) for each in (answer, vector, text, sound)]


def test_what_no_call_can_be_is_seen_before_it_runs() -> None:
    with pytest.raises(litellm.ConfigurationError):
        completion(3, MESSAGES)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        embedding(inputs=["a"])  # type: ignore[call-arg]
