"""Streams of chunks: what they bring, how they end, and that leaving one ends its call upstream."""

from __future__ import annotations

import asyncio
import threading

import pytest
from support.calls import wait_for
from support.python_api import KEY, MESSAGES

import gateway as litellm

pytestmark = pytest.mark.system


def text(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def test_chunks_add_up_to_the_answer_and_each_has_a_choice(chat):
    whole = litellm.completion(messages=MESSAGES, **chat.arguments)

    chunks = list(litellm.completion(messages=MESSAGES, stream=True, **chat.arguments))

    assert whole.choices[0].message.content == text(chunks)
    assert ("stop", True) == (chunks[-1].choices[0].finish_reason, len(chunks) > 2)
    assert "assistant" == chunks[0]["choices"][0]["delta"]["role"]


def test_who_asks_for_the_usage_gets_its_chunk(chat):
    options = {"include_usage": True}

    chunks = list(
        litellm.completion(messages=MESSAGES, stream=True, stream_options=options, **chat.arguments)
    )

    assert ([], True) == (chunks[-1].choices, chunks[-1].usage.total_tokens > 0)


def test_an_asynchronous_stream_brings_the_same(chat):
    async def work():
        stream = await litellm.acompletion(messages=MESSAGES, stream=True, **chat.arguments)
        return [chunk async for chunk in stream]

    assert text(litellm.completion(messages=MESSAGES, stream=True, **chat.arguments)) == text(
        asyncio.run(work())
    )


def test_a_completions_stream_brings_text(simulator):
    stream = litellm.text_completion(
        "Once", "azure_text/instruct", stream=True, api_base=simulator.url, api_key=KEY
    )

    assert "".join(chunk.choices[0].text for chunk in stream)


def left(simulator, seen):
    """Whether the only call since has been left by its client."""
    return [entry["disconnected"] for entry in simulator.log[seen:]][-1:] not in ([], [None])


def closed(stream):
    stream.close()


def left_by_with(stream):
    with stream:
        next(stream)


def failed_in(stream):
    with pytest.raises(LookupError), stream:
        raise LookupError


@pytest.mark.parametrize("leave", [closed, left_by_with, failed_in])
def test_leaving_a_stream_ends_its_call_upstream(simulator, leave):
    seen = len(simulator.log)

    leave(litellm.completion("azure/slow", MESSAGES, stream=True, api_base=simulator.url, api_key=KEY))

    wait_for(lambda: left(simulator, seen))


def test_dropping_a_stream_ends_its_call_upstream(simulator):
    seen = len(simulator.log)
    stream = litellm.completion("azure/slow", MESSAGES, stream=True, api_base=simulator.url, api_key=KEY)
    next(stream)

    del stream

    wait_for(lambda: left(simulator, seen))


def test_leaving_an_asynchronous_stream_ends_its_call_upstream(simulator):
    async def work(leave):
        seen = len(simulator.log)
        await leave(
            await litellm.acompletion(
                "azure/slow", MESSAGES, stream=True, api_base=simulator.url, api_key=KEY
            )
        )
        await asyncio.to_thread(wait_for, lambda: left(simulator, seen))

    async def aclosed(stream):
        await stream.aclose()

    async def broken(stream):
        async for _ in stream:
            break

    async def cancelled(stream):
        async def read():
            async for _ in stream:
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for leave in (aclosed, broken, cancelled):
        asyncio.run(work(leave))


def test_a_cancelled_call_ends_upstream(simulator):
    seen = len(simulator.log)

    async def work():
        call = asyncio.create_task(
            litellm.acompletion("azure/late", MESSAGES, api_base=simulator.url, api_key=KEY)
        )
        await asyncio.to_thread(wait_for, lambda: len(simulator.log) > seen)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    asyncio.run(work())

    wait_for(lambda: left(simulator, seen))


@pytest.mark.parametrize("how", ["reset", "eof", "end"])
def test_a_stream_that_breaks_off_raises_after_what_came(chat, how):
    chat.fault({"cut": {"after": 4, "how": how}})
    stream = litellm.completion(messages=MESSAGES, stream=True, **chat.arguments)
    chunks = []

    with pytest.raises(litellm.APIConnectionError):
        chunks.extend(chunks.append(chunk) or chunk for chunk in stream)

    assert text(chunks)
    assert [] == list(stream)


def test_a_stream_that_falls_silent_raises_after_its_timeout(chat):
    chat.fault({"cut": {"after": 4, "how": "stall"}})
    stream = litellm.completion(messages=MESSAGES, stream=True, timeout=2, **chat.arguments)
    chunks = []

    with pytest.raises(litellm.Timeout):
        chunks.extend(chunks.append(chunk) or chunk for chunk in stream)

    assert text(chunks)
    wait_for(lambda: chat.log[0]["disconnected"])


def test_an_error_within_a_stream_is_raised_with_upstreams_words(chat):
    chat.fault({"error_event_after": 3})

    with pytest.raises(litellm.APIError) as raised:
        list(litellm.completion(messages=MESSAGES, stream=True, **chat.arguments))

    assert raised.value.body["message"] == str(raised.value)


def test_a_refusal_of_a_stream_is_raised_by_the_call(chat):
    chat.fault({"preset": "call_limit"})

    with pytest.raises(litellm.RateLimitError) as raised:
        litellm.completion(messages=MESSAGES, stream=True, **chat.arguments)

    assert raised.value.response.headers["retry-after"]


def test_a_stream_may_be_closed_by_another_thread_while_it_is_read(simulator):
    stream = litellm.completion("azure/slow", MESSAGES, stream=True, api_base=simulator.url, api_key=KEY)
    next(stream)
    timer = threading.Timer(0.3, stream.close)
    timer.start()

    list(stream)
    timer.join()

    assert [] == list(stream)
