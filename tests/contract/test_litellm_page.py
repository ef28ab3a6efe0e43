"""What LiteLLM's page on Azure OpenAI shows, and what its readers do besides, through the official client.

Each test says the section of the page; docs/features.md has them all.
"""

from __future__ import annotations

import base64
import io
import json
import wave

import openai
import pytest
from support.calls import MESSAGES

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": CITY}}
CITIES = ["San Francisco", "Tokyo", "Paris"]
CALLS = [
    {
        "id": f"call_{index}",
        "type": "function",
        "function": {"name": "get_weather", "arguments": json.dumps({"city": city})},
    }
    for index, city in enumerate(CITIES)
]
IDENTITY = {
    "id": "chatcmpl-1",
    "created": 1,
    "model": "gpt-4o-2024-11-20",
    "system_fingerprint": "fp_44709d6fcb",
}
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def answered(simulator, deployment, message, **more):
    """Let a deployment answer once with this message; more goes into its choice."""
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "logprobs": None,
        "message": {"role": "assistant", "content": None, **message},
    }
    body = {**IDENTITY, "object": "chat.completion", "choices": [choice | more], "usage": USAGE}
    simulator.fault(deployment, {"status": 200, "body": body})


def sent(simulator):
    return json.loads(simulator.log[-1]["body"])


def create(client, model="gpt-4o", **more):
    return client.chat.completions.create(**{"model": model, "messages": MESSAGES, **more})


def test_vision_enhancements(openai_client, simulator):
    """Azure OpenAI Vision Models, "Usage - with Azure Vision enhancements"."""
    extra = {
        "enhancements": {"ocr": {"enabled": True}, "grounding": {"enabled": True}},
        "dataSources": [
            {"type": "AzureComputerVision", "parameters": {"endpoint": "https://v.test/", "key": "k"}}
        ],
    }

    for stream in (False, True):
        assert list(create(openai_client, "vision", extra_body=extra, stream=stream))
        assert extra == {key: sent(simulator)[key] for key in extra}
        assert "stream_options" not in sent(simulator)
        assert (
            "/openai/deployments/deployment-default/extensions/chat/completions",
            "api-version=2023-12-01-preview",
        ) == (simulator.log[-1]["path"], simulator.log[-1]["query"])


def test_data_of_ones_own(openai_client, simulator):
    """Azure OpenAI Chat Completion Models: `data_sources`, which came after the extensions."""
    sources = [{"type": "azure_search", "parameters": {"endpoint": "https://s.test", "index_name": "docs"}}]

    for stream in (False, True):
        assert list(create(openai_client, extra_body={"data_sources": sources}, stream=stream))
        assert (sources, False) == (sent(simulator)["data_sources"], "stream_options" in sent(simulator))


def test_a_reasoning_model(openai_client):
    """Azure O1 Models: the proxy's example, streamed; the flag for preview features is not needed."""
    whole = create(openai_client, "o1-mini", max_tokens=500)
    with openai_client.chat.completions.stream(
        model="o1-mini", messages=MESSAGES, max_tokens=500, stream_options={"include_usage": True}
    ) as stream:
        done = [event for event in stream if event.type == "content.done"]
        streamed = stream.get_final_completion()

    assert whole.choices[0].message.content == streamed.choices[0].message.content == done[0].content
    assert (True, "stop") == (streamed.usage.total_tokens > 0, streamed.choices[0].finish_reason)


def test_tools_of_a_model_that_cannot_stream(openai_client):
    """Azure O1 Models: tools in a stream."""
    asked = {"messages": [{"role": "user", "content": "Weather? [[tool]]"}], "tools": [WEATHER]}

    with openai_client.chat.completions.stream(model="o1", **asked) as stream:
        (choice,) = stream.get_final_completion().choices

    assert ("tool_calls", "get_weather") == (choice.finish_reason, choice.message.tool_calls[0].function.name)
    assert {"city": "text"} == json.loads(choice.message.tool_calls[0].function.arguments)


def test_a_parameter_that_a_reasoning_model_refuses(openai_client):
    """Azure O1 Models: unsupported parameters."""
    with pytest.raises(openai.BadRequestError) as caught:
        create(openai_client, "o1-mini", temperature=0.5)

    assert ("temperature", "unsupported_value") == (caught.value.param, caught.value.code)


def test_a_chat_on_an_instruct_model(openai_client):
    """Azure Instruct Models."""
    whole = create(openai_client, "instruct")
    with openai_client.chat.completions.stream(model="instruct", messages=MESSAGES) as stream:
        streamed = stream.get_final_completion()

    for completion in (whole, streamed):
        assert ("assistant", "stop") == (
            completion.choices[0].message.role,
            completion.choices[0].finish_reason,
        )
        assert "Say hello" in completion.choices[0].message.content


@pytest.mark.parametrize("prompt", ["a", ["a", "b"], [1, 2, 3], [[1, 2], [3]]], ids=str)
def test_every_form_of_prompt(openai_client, prompt):
    """Azure Instruct Models: the models' own endpoint."""
    found = openai_client.completions.create(model="instruct", prompt=prompt, best_of=2, max_tokens=5)

    assert [0, 1][: len(prompt) if prompt in (["a", "b"], [[1, 2], [3]]) else 1] == [
        c.index for c in found.choices
    ]


SPEECH = {
    "mp3": b"\xff\xfb",
    "opus": b"OggS",
    "aac": b"\xff\xf1",
    "flac": b"fLaC",
    "wav": b"RIFF",
    "pcm": b"",
}


@pytest.mark.parametrize("audio_format", SPEECH)
def test_speech_in_every_format(openai_client, audio_format):
    """Azure Text to Speech (tts)."""
    with openai_client.audio.speech.with_streaming_response.create(
        model="voice",
        voice="alloy",
        input="Hello",
        response_format=audio_format,
        instructions="Whisper.",
        speed=1.5,
    ) as response:
        pieces = list(response.iter_bytes())

    assert pieces[0].startswith(SPEECH[audio_format])
    kinds = {"mp3": "audio/mpeg"}
    assert kinds.get(audio_format, f"audio/{audio_format}") == response.headers["content-type"]
    if audio_format == "wav":
        with wave.open(io.BytesIO(b"".join(pieces))) as sound:
            assert sound.getnframes() > 0


def test_speech_as_events(openai_client, simulator):
    """Azure Text to Speech (tts): `stream_format`."""
    with openai_client.audio.speech.with_streaming_response.create(
        model="voice", voice="alloy", input="Hello", stream_format="sse", instructions="Whisper."
    ) as response:
        events = [json.loads(line.removeprefix("data: ")) for line in response.iter_lines() if line]

    assert {"speech.audio.delta", "speech.audio.done"} == {event["type"] for event in events}
    assert base64.b64decode(events[0]["audio"]).startswith(b"\xff\xfb")
    assert "Whisper." == sent(simulator)["instructions"]


def test_parallel_function_calling(openai_client, simulator):
    """Advanced, "Parallel Function calling": three calls come back in order, and their results go upstream."""
    answered(simulator, "deployment-default", {"tool_calls": CALLS}, finish_reason="tool_calls")
    asked = {"tools": [WEATHER], "tool_choice": "auto", "parallel_tool_calls": True}

    message = create(openai_client, **asked).choices[0].message

    assert asked == {key: sent(simulator)[key] for key in asked}
    assert CITIES == [json.loads(each.function.arguments)["city"] for each in message.tool_calls]
    results = [{"role": "tool", "tool_call_id": each.id, "content": "10"} for each in message.tool_calls]
    assert create(openai_client, messages=[*MESSAGES, message, *results]).choices
    assert ["user", "assistant", "tool", "tool", "tool"] == [
        each["role"] for each in sent(simulator)["messages"]
    ]


def test_parallel_function_calling_in_a_stream(openai_client, simulator):
    """Advanced, "Parallel Function calling": the fragments of two calls in turn."""
    deltas = [
        {"role": "assistant", "content": None},
        *(
            {"tool_calls": [{"index": index, **call, "function": {**call["function"], "arguments": ""}}]}
            for index, call in enumerate(CALLS[:2])
        ),
        {"tool_calls": [{"index": 1, "function": {"arguments": '{"city":'}}]},
        {
            "tool_calls": [
                {"index": 0, "function": {"arguments": '{"city":"A"}'}},
                {"index": 1, "function": {"arguments": '"B"}'}},
            ]
        },
        {},
    ]
    chunks = [
        {
            **IDENTITY,
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "tool_calls"}],
        }
        for delta in deltas
    ]
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    simulator.fault(
        "deployment-default", {"status": 200, "body": text, "headers": {"content-type": "text/event-stream"}}
    )

    with openai_client.chat.completions.stream(model="gpt-4o", messages=MESSAGES, tools=[WEATHER]) as stream:
        (choice,) = stream.get_final_completion().choices

    assert ["A", "B"] == [json.loads(call.function.arguments)["city"] for call in choice.message.tool_calls]
    assert ("tool_calls", ["call_0", "call_1"]) == (
        choice.finish_reason,
        [call.id for call in choice.message.tool_calls],
    )


def test_json_mode(openai_client, simulator):
    """Azure OpenAI Chat Completion Models: `response_format`, with an old api-version, too."""
    for model in ("gpt-4o", "old"):
        completion = create(openai_client, model, response_format={"type": "json_object"})

        assert {"answer": "text"} == json.loads(completion.choices[0].message.content)
        assert {"type": "json_object"} == sent(simulator)["response_format"]


PCM = base64.b64encode(b"\0\1" * 20).decode()
LOGPROBS = {
    "content": [{"token": "Hi", "logprob": -0.01, "bytes": [72, 105], "top_logprobs": []}],
    "refusal": None,
}
SENT_AND_SHOWN = {
    "predicted outputs": (
        {"prediction": {"type": "content", "content": "class User:"}},
        {"content": "class User:"},
        {},
    ),
    "audio": (
        {
            "modalities": ["text", "audio"],
            "audio": {"voice": "alloy", "format": "pcm16"},
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "input_audio", "input_audio": {"data": PCM, "format": "wav"}}],
                }
            ],
        },
        {"audio": {"id": "audio_1", "data": PCM, "expires_at": 9, "transcript": "Hi"}},
        {},
    ),
    "seed": ({"seed": 12345678901234567}, {"content": "Hi"}, {}),
    "logprobs": ({"logprobs": True, "top_logprobs": 2}, {"content": "Hi"}, {"logprobs": LOGPROBS}),
    "reasoning effort": ({"reasoning_effort": "low"}, {"content": "Hi"}, {}),
}


@pytest.mark.parametrize("name", SENT_AND_SHOWN)
def test_newer_features_in_full(openai_client, simulator, name):
    """Azure OpenAI Chat Completion Models: every field goes upstream and every value comes back."""
    asked, message, more = SENT_AND_SHOWN[name]
    answered(simulator, "deployment-v1", message, **more)

    completion = create(openai_client, "v1", **asked).model_dump(exclude_unset=True)

    assert asked == {key: sent(simulator)[key] for key in asked}
    choice = completion["choices"][0]
    assert {"role": "assistant", "content": None, **message} == choice["message"]
    assert more.get("logprobs") == choice["logprobs"]
    assert (IDENTITY["system_fingerprint"], USAGE) == (completion["system_fingerprint"], completion["usage"])


def test_a_group_of_azure_and_openai(openai_client, simulator):
    """Advanced, "Azure API Load-Balancing": an OpenAI member beside Azure's, with its organization."""
    first = create(openai_client, "mixed")
    simulator.fault("deployment-default", {"status": 503})
    second = create(openai_client, "mixed")

    assert ["gpt-4o-2024-11-20", "gpt-4o-mini-2024-07-18"] == [first.model, second.model]
    azure, platform = (
        {name.lower(): value for name, value in entry["headers"]}
        for entry in (simulator.log[-2], simulator.log[-1])
    )
    assert "org-of-ours" == platform["openai-organization"]
    assert ("api-key" in azure, "openai-organization" in azure) == (True, False)
    assert platform["authorization"].startswith("Bearer sk-")
