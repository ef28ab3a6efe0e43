"""Completions, embeddings, speech and moderations."""

import io
import json
import struct
import time
import wave
from base64 import b64decode

import pytest

from simulator.testing import serve


@pytest.fixture
def complete(simulate):
    client = simulate({"kind": "completions", "model": "gpt-35-turbo-instruct"})

    def post(**body):
        return client.post("/openai/deployments/gpt/completions?api-version=2024-10-21", body)

    return post


@pytest.fixture
def embed(simulate):
    client = simulate({"kind": "embeddings", "model": "text-embedding-3-small"})

    def post(value, **body):
        path = "/openai/deployments/gpt/embeddings?api-version=2024-10-21"
        return client.post(path, {"input": value, **body})

    return post


@pytest.fixture
def speak(simulate):
    def post(text="Hello", *, deployment=None, **body):
        client = simulate({"kind": "speech", "model": "gpt-4o-mini-tts"} | (deployment or {}))
        path = "/openai/deployments/gpt/audio/speech?api-version=2025-04-01-preview"
        return client.post(path, {"input": text, "voice": "alloy", **body})

    return post


def test_a_completion_is_a_text_completion_with_usage(complete):
    body = complete(prompt="Once").json()

    assert "text_completion" == body["object"]
    assert body["choices"][0]["text"].endswith("You said: Once")
    assert (
        body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    )


def test_a_completion_is_sixteen_tokens_long_unless_asked(complete):
    prompt = "word " * 40

    assert 16 == complete(prompt=prompt).json()["usage"]["completion_tokens"]
    assert 20 == complete(prompt=prompt, max_tokens=20).json()["usage"]["completion_tokens"]


def test_a_completion_stream_has_null_finish_reasons_until_the_last_chunk(complete, parse_events):
    reply = complete(prompt="Once", stream=True, stream_options={"include_usage": True})
    *chunks, usage, done = parse_events(reply.text)
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]

    assert [None] * (len(chunks) - 1) + ["stop"] == reasons
    assert {"text_completion"} == {chunk["object"] for chunk in chunks}
    assert 7 == usage["usage"]["completion_tokens"]
    assert "[DONE]" == done


def test_several_prompts_and_copies_give_as_many_choices(complete):
    body = complete(prompt=["One", "Two"], n=2).json()

    assert [0, 1, 2, 3] == [choice["index"] for choice in body["choices"]]
    assert body["choices"][3]["text"].endswith("Two")


def test_a_prompt_of_token_numbers_is_counted_by_its_length(complete):
    assert 3 == complete(prompt=[1, 2, 3]).json()["usage"]["prompt_tokens"]


def test_echo_puts_the_prompt_before_the_text(complete):
    assert complete(prompt="Once upon", echo=True).json()["choices"][0]["text"].startswith("Once uponThis")


def test_a_vector_is_of_length_one_and_always_the_same(embed):
    first, second = (embed("hello").json()["data"][0]["embedding"] for _ in range(2))

    assert first == second
    assert 1536 == len(first)
    assert 1 == pytest.approx(sum(value * value for value in first), abs=1e-4)


def test_base64_holds_the_same_vector_as_little_endian_floats(embed):
    floats = embed("hello", dimensions=8).json()["data"][0]["embedding"]
    packed = embed("hello", dimensions=8, encoding_format="base64").json()["data"][0]["embedding"]

    assert floats == pytest.approx(struct.unpack("<8f", b64decode(packed)))


@pytest.mark.parametrize(
    ("value", "vectors", "tokens"),
    [
        ("hello", 1, 2),
        (["hello", "world"], 2, 3),
        ([1, 2, 3], 1, 3),
        ([[1, 2], [3]], 2, 3),
    ],
)
def test_every_form_of_input_is_embedded(embed, value, vectors, tokens):
    body = embed(value, dimensions=2).json()

    assert list(range(vectors)) == [item["index"] for item in body["data"]]
    assert {"prompt_tokens": tokens, "total_tokens": tokens} == body["usage"]


def test_more_than_2048_inputs_are_refused(embed):
    assert 200 == embed(["x"] * 2048, dimensions=1).status_code
    assert "array_above_max_length" == embed(["x"] * 2049).json()["error"]["code"]


@pytest.mark.parametrize(
    ("value", "code"), [(None, "missing_required_parameter"), ([], "empty_array"), (5, "invalid_type")]
)
def test_an_input_that_is_none_is_refused(embed, value, code):
    assert code == embed(value).json()["error"]["code"]


def test_a_wav_is_one_that_python_can_read(speak):
    reply = speak("Hello, world. " * 5, response_format="wav")
    with wave.open(io.BytesIO(reply.content)) as audio:
        assert (1, 2, 24_000) == (audio.getnchannels(), audio.getsampwidth(), audio.getframerate())
        assert audio.getnframes() * 2 + 44 == len(reply.content)
    assert len(reply.content) - 8 == struct.unpack("<I", reply.content[4:8])[0]
    assert "audio/wav" == reply.headers["content-type"]


def test_pcm_is_the_samples_alone(speak):
    wav = speak(response_format="wav").content
    pcm = speak(response_format="pcm").content

    assert wav[44:] == pcm


def test_an_mp3_consists_of_whole_frames(speak):
    reply = speak()
    frames = [reply.content[start : start + 417] for start in range(0, len(reply.content), 417)]

    assert {b"\xff\xfb\x90\xc4"} == {frame[:4] for frame in frames}
    assert {417} == {len(frame) for frame in frames}
    assert "audio/mpeg" == reply.headers["content-type"]


@pytest.mark.parametrize(("name", "magic"), [("opus", b"OggS"), ("aac", b"\xff\xf1"), ("flac", b"fLaC")])
def test_other_formats_begin_as_they_should(speak, name, magic):
    assert speak(response_format=name).content.startswith(magic)


def test_the_content_type_of_audio_can_be_octet_stream(speak):
    reply = speak(deployment={"audio_type": "octet-stream"})

    assert "application/octet-stream" == reply.headers["content-type"]


def test_audio_arrives_in_chunks_with_pauses(speak):
    start = time.monotonic()
    reply = speak(deployment={"latency": {"token_ms": [40, 40]}})

    assert time.monotonic() - start >= 0.08
    assert "chunked" == reply.headers["transfer-encoding"]


def test_audio_as_events_holds_the_same_bytes_and_reports_usage(speak):
    plain = speak("Hello").content
    reply = speak("Hello", stream_format="sse")
    events = [json.loads(line.removeprefix("data: ")) for line in reply.text.strip().split("\n\n")]

    assert plain == b"".join(b64decode(event["audio"]) for event in events[:-1])
    assert {"speech.audio.delta"} == {event["type"] for event in events[:-1]}
    assert "speech.audio.done" == events[-1]["type"]
    assert {"input_tokens", "output_tokens", "total_tokens"} == set(events[-1]["usage"])


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"text": "x" * 4097}, "string_above_max_length", "input"),
        ({"voice": None}, "missing_required_parameter", "voice"),
        ({"text": None}, "missing_required_parameter", "input"),
        ({"text": 5}, "invalid_type", "input"),
        ({"response_format": "ogg"}, "invalid_value", "response_format"),
        ({"stream_format": "x"}, "invalid_value", "stream_format"),
        ({"stream_format": "sse", "deployment": {"model": "tts-1"}}, "unsupported_value", "stream_format"),
    ],
)
def test_speech_that_cannot_be_made_is_refused(speak, body, code, param):
    error = speak(**body).json()["error"]

    assert (code, param) == (error["code"], error["param"])


def test_speech_of_4096_characters_is_made(speak):
    assert 200 == speak("x" * 4096).status_code


PLATFORM = {
    "name": "p",
    "kind": "openai",
    "keys": ["k"],
    "deployments": [{"name": "omni", "model": "omni", "kind": "moderations"}],
}


@pytest.mark.parametrize(
    ("value", "flagged"),
    [
        ("hello", [[]]),
        (["hate", "sexual/minors"], [["hate"], ["sexual", "sexual/minors"]]),
        ([{"type": "text", "text": "violence"}, {"type": "text", "text": "hate"}], [["hate", "violence"]]),
    ],
)
def test_moderations_flag_the_categories_that_the_text_names(http, value, flagged):
    with serve({"accounts": [PLATFORM]}) as running:
        headers = {"authorization": "Bearer k"}
        reply = http.post(
            f"{running.url}/v1/moderations", json={"model": "omni", "input": value}, headers=headers
        )

    results = reply.json()["results"]
    assert flagged == [[name for name, on in each["categories"].items() if on] for each in results]
    assert [bool(names) for names in flagged] == [each["flagged"] for each in results]


@pytest.mark.parametrize(
    "path", ["/openai/deployments/gpt/moderations?api-version=2024-10-21", "/openai/v1/moderations"]
)
def test_azure_has_no_moderations(simulate, path):
    assert 404 == simulate({"kind": "moderations"}).post(path, {"model": "gpt", "input": "x"}).status_code
