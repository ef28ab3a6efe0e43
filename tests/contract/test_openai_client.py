"""The official Python client against the gateway, over a real socket."""

from __future__ import annotations

import asyncio
import json
import time

import openai
import pydantic
import pytest
from support.calls import KEY, MESSAGES, wait_for

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALLS_TOOL = [{"role": "user", "content": "Weather? [[tool]]"}]


class Person(pydantic.BaseModel):
    name: str
    age: int


def test_chat(client):
    completion = client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    assert "Say hello" in completion.choices[0].message.content
    assert ("stop", "gpt-4o-2024-11-20") == (completion.choices[0].finish_reason, completion.model)
    assert (
        completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    )
    assert completion._request_id.startswith("req_")


def test_chat_stream(client):
    chunks = list(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "Say hello" in text
    assert [None] * len(chunks) == [chunk.usage for chunk in chunks]
    assert "stop" in [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]


def test_chat_stream_with_usage(client):
    options = {"stream": True, "stream_options": {"include_usage": True}}

    last = list(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, **options))[-1]

    assert ([], True) == (last.choices, last.usage.total_tokens > 0)


def test_stream_helper(client):
    with client.chat.completions.stream(model="gpt-4o", messages=MESSAGES) as stream:
        done = [event for event in stream if event.type == "content.done"]
        completion = stream.get_final_completion()

    assert completion.choices[0].message.content == done[0].content


def test_tools(client):
    completion = client.chat.completions.create(model="gpt-4o", messages=CALLS_TOOL, tools=[TOOL])

    call = completion.choices[0].message.tool_calls[0]
    assert ("tool_calls", "get_weather") == (completion.choices[0].finish_reason, call.function.name)
    assert isinstance(json.loads(call.function.arguments), dict)


def test_tools_in_a_stream(client):
    with client.chat.completions.stream(model="gpt-4o", messages=CALLS_TOOL, tools=[TOOL]) as stream:
        completion = stream.get_final_completion()

    assert "get_weather" == completion.choices[0].message.tool_calls[0].function.name


def test_structured_outputs(client, simulator):
    answer = '{"name":"Ada","age":36}'
    reply = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": answer, "refusal": None},
            }
        ],
    }
    simulator.fault("deployment-default", {"status": 200, "body": reply})

    completion = client.chat.completions.parse(model="gpt-4o", messages=MESSAGES, response_format=Person)

    assert Person(name="Ada", age=36) == completion.choices[0].message.parsed
    sent = json.loads(simulator.log[-1]["body"])["response_format"]
    assert ("json_schema", "Person", True) == (
        sent["type"],
        sent["json_schema"]["name"],
        sent["json_schema"]["strict"],
    )


def test_vision(client, simulator):
    pixel = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": pixel}}]

    completion = client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": content}]
    )

    assert completion.choices[0].message.content
    assert content == json.loads(simulator.log[-1]["body"])["messages"][0]["content"]


@pytest.mark.parametrize("options", [{}, {"encoding_format": "float"}], ids=["base64", "float"])
def test_embeddings(client, options):
    # Without a format the client asks for base64 and decodes it.
    found = client.embeddings.create(model="embed", input=["a", "b"], **options)

    assert [0, 1] == [item.index for item in found.data]
    assert {float} == {type(number) for item in found.data for number in item.embedding}


def test_completions(client):
    completion = client.completions.create(model="instruct", prompt="Say hello")

    assert ("text_completion", True) == (completion.object, bool(completion.choices[0].text))


def test_completions_stream(client):
    chunks = list(client.completions.create(model="instruct", prompt="Say hello", stream=True))

    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)


def test_speech_streamed_to_a_file(client, tmp_path):
    path = tmp_path / "speech.mp3"
    create = client.audio.speech.with_streaming_response.create

    with create(model="slow-speech", voice="alloy", input="Hello " * 10) as response:
        response.stream_to_file(path)

    assert path.read_bytes().startswith(b"\xff\xfb")


def test_speech_under_an_alias_with_a_slash(openai_client):
    assert openai_client.audio.speech.create(model="azure/tts-1", voice="alloy", input="Hi").content


@pytest.mark.parametrize("named", [{}, {"model": "omni-moderation-latest"}], ids=["no model", "model"])
def test_moderations(openai_client, named):
    parts = [
        {"type": "text", "text": "violence"},
        {"type": "image_url", "image_url": {"url": "https://x.test/i"}},
    ]

    several = openai_client.moderations.create(input=["hello", "self-harm"], **named)
    together = openai_client.moderations.create(input=parts, **named)

    assert [False, True] == [result.flagged for result in several.results]
    assert several.results[1].categories.self_harm
    assert [True] == [result.categories.violence for result in together.results]


def test_moderations_of_a_model_at_azure_are_a_bad_request(openai_client):
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.moderations.create(model="gpt-4o", input="hello")

    assert "OperationNotSupported" == caught.value.code


def test_models(client):
    models = {model.id: model for model in client.models.list()}

    assert {"gpt-4o", "azure/tts-1"} <= set(models)
    assert "gateway" == models["gpt-4o"].owned_by
    assert "azure/tts-1" == client.models.retrieve("azure/tts-1").id


def test_raw_response_shows_the_request_id(client):
    response = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES)

    assert response.headers["x-request-id"] == response.parse()._request_id


ERRORS = [
    (
        {
            "status": 400,
            "body": {"error": {"message": "No.", "type": "invalid_request_error", "param": "x", "code": "c"}},
        },
        openai.BadRequestError,
        "c",
    ),
    (
        {"status": 409, "body": {"error": {"message": "No.", "type": "invalid_request_error"}}},
        openai.ConflictError,
        None,
    ),
    (
        {"status": 422, "body": {"error": {"message": "No.", "type": "invalid_request_error"}}},
        openai.UnprocessableEntityError,
        None,
    ),
    ({"status": 429, "times": 0}, openai.RateLimitError, "rate_limit_exceeded"),
    ({"preset": "rbac_401"}, openai.InternalServerError, "upstream_error"),
    ({"status": 503, "headers": {"retry-after": "30"}}, openai.InternalServerError, "upstream_unavailable"),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_raised_by_class(client, pool, number, stream):
    fault, kind, code = ERRORS[number]

    with pytest.raises(kind) as raised:
        client.chat.completions.create(model=pool.solo(fault).name, messages=MESSAGES, stream=stream)

    assert kind is type(raised.value)
    assert code == raised.value.code
    assert raised.value.request_id


def test_a_wrong_key_is_an_authentication_error(gateway):
    for client in (
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="wrong", max_retries=0),
        openai.AzureOpenAI(
            azure_endpoint=gateway.url, api_key="wrong", api_version="2024-10-21", max_retries=0
        ),
    ):
        with client, pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model="gpt-4o", messages=MESSAGES)


def test_an_unknown_model_is_a_not_found_error(client):
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nothing", messages=MESSAGES)


def test_an_unknown_path_is_a_not_found_error(openai_client):
    with pytest.raises(openai.NotFoundError) as raised:
        openai_client.responses.create(model="gpt-4o", input="x")

    assert "unknown_url" == raised.value.code


def test_the_content_filter_is_a_bad_request_with_its_details(client):
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "[[filter:hate]]"}]
        )

    assert "content_filter" == raised.value.code
    assert raised.value.body["innererror"]["content_filter_result"]["hate"]["filtered"]


def test_a_stream_that_breaks_off_raises(client, pool):
    model = pool.solo({"cut": {"after": 4, "how": "reset"}})

    with pytest.raises(openai.APIError) as raised:
        list(client.chat.completions.create(model=model.name, messages=MESSAGES, stream=True))

    assert "broke off" in raised.value.message


def test_retry_after_is_obeyed(gateway, pool):
    model = pool.solo({"status": 429, "headers": {"retry-after": "2"}})
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=1) as client:
        began = time.monotonic()

        completion = client.chat.completions.create(model=model.name, messages=MESSAGES)

    # The client's own backoff would be half a second.
    assert time.monotonic() - began > 1.9
    assert (True, [2]) == (bool(completion.choices), pool.counts(model))


def test_a_client_that_gives_up_ends_the_call_upstream(gateway, pool):
    model = pool.solo({"delay_s": 600})
    with (
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=2) as client,
        pytest.raises(openai.APITimeoutError),
    ):
        client.chat.completions.create(model=model.name, messages=MESSAGES)

    assert wait_for(lambda: pool.log(*model.deployments)[0]["disconnected"])


def test_a_stream_that_is_closed_early_ends_upstream(client, pool):
    model = pool.solo({"cut": {"after": 4, "how": "stall"}})
    stream = client.chat.completions.create(model=model.name, messages=MESSAGES, stream=True)
    next(iter(stream))

    stream.close()

    assert wait_for(lambda: pool.log(*model.deployments)[0]["disconnected"])


def test_the_asynchronous_client_streams_side_by_side(gateway):
    async def read(client, number):
        messages = [{"role": "user", "content": f"mark-{number}-end"}]
        stream = await client.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    async def run():
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY) as client:
            return await asyncio.gather(*(read(client, number) for number in range(30)))

    assert [] == [
        number for number, text in enumerate(asyncio.run(run())) if f"mark-{number}-end" not in text
    ]


@pytest.mark.parametrize("kind", ["OpenAI", "AzureOpenAI"])
def test_smoke_on_each_host(gateway, kind, tmp_path):
    if kind == "OpenAI":
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0)
    else:
        client = openai.AzureOpenAI(azure_endpoint=gateway.url, api_key=KEY, api_version="v1", max_retries=0)
    with client:
        assert client.chat.completions.create(model="gpt-4o", messages=MESSAGES).choices
        assert list(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))
        assert client.completions.create(model="instruct", prompt="x").choices
        assert client.embeddings.create(model="embed", input="x").data
        with client.audio.speech.with_streaming_response.create(
            model="octets", voice="alloy", input="x"
        ) as speech:
            speech.stream_to_file(tmp_path / "x.mp3")
        assert list(client.models.list())
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="nothing", messages=MESSAGES)
