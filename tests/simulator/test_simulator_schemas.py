"""Bodies fit the schemas of the official client's types, Azure's known deviations aside; and it reads them."""

import json
from pathlib import Path

import openai
import pytest

SCHEMAS = Path(__file__).parents[1] / "data" / "schemas"
USAGE = {"stream_options": {"include_usage": True}}


def deviations(schema, document):
    """The places at which a document does not fit, and the values there."""
    from jsonschema import (
        Draft202012Validator,  # it builds 38 parsers, 2 s of CPU: not in every process that collects
    )

    validator = Draft202012Validator(json.loads((SCHEMAS / f"{schema}.json").read_text(encoding="utf-8")))
    return {
        (".".join(str(part) for part in error.absolute_path), json.dumps(error.instance)[:40])
        for error in validator.iter_errors(document)
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n": 3},
        {"max_tokens": 1},
        {"text": "[[filter-out:hate]]"},
        {"text": "[[filter-down]]"},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_a_chat_answer_fits_its_schema(simulate, options):
    assert set() == deviations("ChatCompletion", simulate().chat(**options).json())


def test_a_withheld_answer_without_message_deviates_there_only(simulate):
    body = simulate().chat("[[filter-out-bare:hate]]").json()

    assert {"choices.0"} == {place for place, _ in deviations("ChatCompletion", body)}


@pytest.mark.parametrize("options", [{}, USAGE, {"n": 2}, {"text": "[[filter-out:hate]]"}])
def test_chat_chunks_fit_their_schema_but_for_the_first_ones_object(simulate, options):
    first, *events, _ = simulate().events(**options)

    assert {("object", '""')} == deviations("ChatCompletionChunk", first)
    assert set() == set().union(*(deviations("ChatCompletionChunk", event) for event in events))


def test_annotation_chunks_deviate_in_object_and_missing_delta_only(simulate):
    events = [
        event
        for event in simulate({"content_filter": "async"}).events()
        if event != "[DONE]" and not event["id"]
    ]

    assert {"object", "choices.0"} == {
        place for event in events for place, _ in deviations("ChatCompletionChunk", event)
    }


@pytest.mark.parametrize("prompt", ["x", ["x", "y"], [1, 2], [[1], [2]]])
def test_a_completion_fits_its_schema(simulate, prompt):
    client = simulate({"kind": "completions"})
    reply = client.post("/openai/deployments/gpt/completions?api-version=2024-10-21", {"prompt": prompt})

    assert set() == deviations("Completion", reply.json())


def test_completion_chunks_deviate_in_null_finish_reasons_only(simulate, parse_events):
    client = simulate({"kind": "completions"})
    reply = client.post(
        "/openai/deployments/gpt/completions?api-version=2024-10-21", {"prompt": "x", "stream": True, **USAGE}
    )
    found = set().union(*(deviations("Completion", event) for event in parse_events(reply.text)[:-1]))

    # The client's type says null for neither; on the wire both are (usage until the last chunk).
    assert found <= {("choices.0.finish_reason", "null"), ("usage", "null")}
    assert ("choices.0.finish_reason", "null") in found


@pytest.mark.parametrize(("encoding", "expected"), [("float", False), ("base64", True)])
def test_embeddings_fit_their_schema_but_for_base64(simulate, encoding, expected):
    client = simulate({"kind": "embeddings", "model": "text-embedding-3-small"})
    body = {"input": "x", "dimensions": 4, "encoding_format": encoding}
    reply = client.post("/openai/deployments/gpt/embeddings?api-version=2024-10-21", body)

    assert expected == (
        {"data.0.embedding"} == {p for p, _ in deviations("CreateEmbeddingResponse", reply.json())}
    )


@pytest.mark.parametrize(
    "body",
    [{}, {"messages": 5}, {"bogus": 1}, {"messages": [{"role": "user", "content": "[[filter:hate]]"}]}],
)
def test_errors_of_the_model_fit_the_error_schema_but_for_the_filters_null_type(simulate, body):
    reply = simulate().post("/openai/deployments/gpt/chat/completions?api-version=2024-10-21", body)

    assert deviations("ErrorObject", reply.json()["error"]) <= {("type", "null")}


# The official client


@pytest.fixture
def azure(simulate):
    client = simulate(
        {"name": "gpt"},
        {"name": "instruct", "kind": "completions"},
        {"name": "emb", "kind": "embeddings", "model": "text-embedding-3-small"},
        {"name": "tts", "kind": "speech", "model": "tts-1"},
    )
    with openai.AzureOpenAI(
        azure_endpoint=client.running.url, api_key="k", api_version="2025-04-01-preview", max_retries=0
    ) as sdk:
        yield sdk


MESSAGES = [{"role": "user", "content": "hello"}]


def test_the_official_client_chats_completes_embeds_and_speaks(azure):
    chat = azure.chat.completions.create(model="gpt", messages=MESSAGES)
    completion = azure.completions.create(model="instruct", prompt="hello")
    embeddings = azure.embeddings.create(model="emb", input=["hello"])
    speech = azure.audio.speech.create(model="tts", voice="alloy", input="hello")

    assert chat.choices[0].message.content.endswith("You said: hello")
    assert completion.choices[0].text.endswith("You said: hello")
    assert 1536 == len(embeddings.data[0].embedding)
    assert speech.content.startswith(b"\xff\xfb")


def test_the_official_client_streams(azure):
    chunks = list(
        azure.chat.completions.create(
            model="gpt", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    assert text.endswith("You said: hello")
    assert chunks[-1].usage.total_tokens > 0


def test_the_official_client_knows_the_errors(azure):
    with pytest.raises(openai.NotFoundError) as missing:
        azure.chat.completions.create(model="other", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError) as blocked:
        azure.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "[[filter:hate]]"}])

    assert "DeploymentNotFound" == missing.value.code
    assert "content_filter" == blocked.value.code


def test_the_official_client_of_the_platform_streams_too(simulate):
    client = simulate({"name": "gpt-4o"}, kind="openai")
    with openai.OpenAI(base_url=f"{client.running.url}/v1", api_key="k", max_retries=0) as sdk:
        chunks = list(sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))

    assert "stop" == chunks[-1].choices[0].finish_reason
