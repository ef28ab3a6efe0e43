"""Every client that people point at the gateway, each from an environment of its own, over a real socket.

The clients run all their scenarios at once (`scenarios.py`, `scenarios.mjs`); the tests compare what they report.
"""

from __future__ import annotations

import json

import pytest
from support.calls import call, chat, wait_for
from support.client_programs import (
    PROGRAMS,
    gateway_config,
    require_environments,
    run_all,
    simulator_config,
    tags,
)
from support.gateways import start_gateway

from simulator.testing import serve

ANSWER = "Hello from the deployment, and goodbye."
CLIENTS = [f"{program.name}/{client}" for program in PROGRAMS for client in program.clients]
#: The scenarios' own body is just above this.
MAX_BODY = 200_000


@pytest.fixture(scope="module")
def simulator():
    require_environments()
    with serve(simulator_config(ANSWER)) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(simulator):
    limits = {"GATEWAY_MAX_BODY_BYTES": str(MAX_BODY)}
    with start_gateway("embedded", gateway_config(simulator.url, ANSWER), **limits) as running:
        yield running


@pytest.fixture(scope="module")
def silent():
    """A gateway whose streams have silences, in which it sends keep-alives."""
    require_environments()
    config = simulator_config(ANSWER)
    for deployment in config["accounts"][0]["deployments"]:
        if deployment["name"] == "fixed":
            deployment["latency"] = {"first_ms": [700, 700], "token_ms": [250, 250]}
    with (
        serve(config) as simulator,
        start_gateway("embedded", gateway_config(simulator.url, ANSWER), GATEWAY_KEEP_ALIVE="0.1") as running,
    ):
        yield running


@pytest.fixture(scope="module")
def reports(gateway, silent):
    return run_all((gateway.url, ()), (silent.url, ("stream", "stream_with_usage")))


@pytest.fixture(scope="module")
def results(reports):
    return reports[0]


@pytest.fixture(params=CLIENTS)
def client(request) -> str:
    return request.param


@pytest.fixture
def reported(results, client):
    return results[client]


def library(client):
    """Who wrote the client: "openai", "langchain" or "ai-sdk"."""
    name = client.partition("/")[0]
    return "openai" if name.startswith("openai") else name


def is_python(client):
    return client.startswith(("openai-python", "langchain"))


def names_deployments(client):
    """Whether the client speaks Azure's paths, which name a deployment."""
    return client.endswith(("AzureOpenAI", "AzureChatOpenAI", "azure-deployments"))


def error(client, kind, status, code):
    """How an error of the gateway's looks in a client; `kind` is the official clients' class."""
    langchain = {
        "AuthenticationError": "OpenAIAuthenticationError",
        "BadRequestError": "OpenAIInvalidRequestError",
        "NotFoundError": "OpenAIModelNotFoundError",
        "RateLimitError": "OpenAIRateLimitError",
        "InternalServerError": "OpenAIAPIError",
    }
    names = {"openai": kind, "langchain": langchain.get(kind, kind), "ai-sdk": "AI_APICallError"}
    return {"class": names[library(client)], "status": status, "code": code, "request_id": True}


def test_chat(reported):
    assert {"text": ANSWER, "finish": "stop", "usage": True, "request_id": True} == reported["chat"]


def test_stream(reported):
    assert (ANSWER, "stop") == (reported["stream"]["text"], reported["stream"]["finish"])


def test_a_stream_shows_usage_only_to_those_who_ask(reported):
    # The AI SDK's own wish for it cannot be turned off; its scenario knows who asks.
    assert ([], True) == (reported["stream"].get("usage", []), reported["stream_with_usage"]["usage"])


@pytest.fixture(scope="module")
def patient(silent, reports):
    """What the clients make of streams with silences; and such a stream."""
    return reports[1], chat(silent.port, "fixed", stream=True)


def test_a_stream_is_read_through_keep_alives(client, patient):
    results, raw = patient
    silences = [event for event in raw.events[:-1] if event["choices"] and not event["choices"][0]["delta"]]
    # Before the first event of upstream, and between all of them.
    assert ["", True] == [silences[0]["id"], len({event["id"] for event in silences}) == 2]
    assert len(silences) > 8
    stream = results[client]["stream"]
    assert (ANSWER, "stop", []) == (stream["text"], stream["finish"], stream.get("usage", []))
    assert results[client]["stream_with_usage"]["usage"]


def test_tools(client, reported):
    finish = "tool-calls" if library(client) == "ai-sdk" else "tool_calls"

    assert {"finish": finish, "name": "get_weather", "arguments": {"city": "text"}} == reported["tools"]


def test_tools_in_a_stream(reported):
    assert {"name": "get_weather", "arguments": {"city": "text"}} == reported["tools_in_a_stream"]


def test_structured_outputs(reported):
    assert {"name": "text", "age": 1} == reported["structured"]


def test_a_vision_message_reaches_upstream(client, reported, simulator):
    assert ANSWER == reported["vision"]
    tag = dict(zip(CLIENTS, tags(), strict=True))[client]
    # One tag may begin another.
    (sent,) = [entry["body"] for entry in simulator.log if f'What is this? {tag}"' in (entry["body"] or "")]
    assert "data:image/png;base64,iVBORw0KGgo" in json.dumps(json.loads(sent)["messages"])


def test_embeddings_are_the_same_in_base64_and_floats(reported, gateway):
    body = {"model": "embed", "input": ["hello", "world"], "encoding_format": "float"}
    data = call(gateway.port, "POST", "/v1/embeddings", body).json()["data"]

    assert [[round(number, 4) for number in item["embedding"][:3]] for item in data] == reported["embeddings"]


def test_speech(client, reported, gateway):
    if library(client) == "langchain" or client.endswith("compatible"):
        pytest.skip("this client has no speech")
    audio = call(
        gateway.port, "POST", "/v1/audio/speech", {"model": "tts", "voice": "alloy", "input": "Hello"}
    ).body

    assert audio.hex()[:64] == reported["speech"]


def test_completions_and_models(client, reported):
    if library(client) != "openai":
        pytest.skip("this client has neither")

    assert (True, True) == (reported["completions"], reported["models"])


def test_an_alias_whose_name_tells_of_reasoning_is_called_as_such(client, reported):
    if library(client) != "ai-sdk":
        pytest.skip("this client does not look at names")
    if client.endswith("compatible"):
        # It sends max_tokens to every model, and gets the model's own answer to that.
        assert "max_completion_tokens" in reported["reasoning"]["raised"]
    else:
        assert ANSWER == reported["reasoning"]


def test_an_answer_that_was_withheld_without_a_message_is_readable(client, reported):
    if client == "langchain/AzureChatOpenAI":
        # It raises this by itself, once it finds a message.
        assert "content filter being triggered" in reported["withheld"]["raised"]
        return
    finish = "content-filter" if library(client) == "ai-sdk" else "content_filter"

    assert {"finish": finish, "content": None} == reported["withheld"]


ERRORS = {
    "filtered": ("BadRequestError", 400, "content_filter"),
    "filtered_in_a_stream": ("BadRequestError", 400, "content_filter"),
    "limited": ("RateLimitError", 429, "rate_limit_exceeded"),
    "broken": ("InternalServerError", 502, "upstream_error"),
    "unreachable": ("InternalServerError", 503, "upstream_unavailable"),
}


@pytest.mark.parametrize("scenario", ERRORS)
def test_errors_have_the_clients_own_classes(client, reported, scenario):
    assert error(client, *ERRORS[scenario]) == reported[scenario]


def test_a_wrong_key_is_an_authentication_error(client, reported):
    code = "401" if names_deployments(client) else "invalid_api_key"

    assert error(client, "AuthenticationError", 401, code) == reported["wrong_key"]


def test_an_unknown_model_is_a_not_found_error(client, reported):
    code = "DeploymentNotFound" if names_deployments(client) else "model_not_found"

    assert error(client, "NotFoundError", 404, code) == reported["unknown_model"]


def test_a_body_that_is_too_large_is_an_error_of_its_status(client, reported):
    kind = "APIStatusError" if is_python(client) else "APIError"

    assert error(client, kind, 413, "request_too_large") == reported["too_large"]


def test_the_responses_api_is_refused_with_a_hint(client, reported):
    if client.endswith("compatible"):
        pytest.skip("this client never calls it")

    assert error(client, "NotFoundError", 404, "unknown_url") == {
        name: value for name, value in reported["responses"].items() if name != "message"
    }
    assert "Chat Completions" in reported["responses"]["message"]


def test_a_stream_that_breaks_off_is_an_error(client, reported):
    if library(client) == "ai-sdk":
        assert "AI_StreamProviderError" == reported["torn_stream"]["class"]
    else:
        assert ("APIError", "upstream_error") == (
            reported["torn_stream"]["class"],
            reported["torn_stream"]["code"],
        )
    assert "broke off" in reported["torn_stream"]["message"]


def test_retry_after_is_obeyed(reported):
    # Every client's own backoff would be half a second, but for the AI SDK's, which is two.
    assert {"text": ANSWER, "waited": True} == reported["retry_after"]


def test_a_client_that_leaves_ends_the_call_upstream(client, reported, simulator):
    tag = dict(zip(CLIENTS, tags(), strict=True))[client]

    def left(name):
        return [
            entry["disconnected"] is not None
            for entry in simulator.log
            if entry["deployment"] == f"{name}-{tag}"
        ]

    assert "left" == reported["leaves_a_stream"]
    assert reported["leaves_before_the_reply"] in {
        "APITimeoutError",
        "APIUserAbortError",
        "OpenAITimeoutError",
        "TimeoutError",
    }
    assert wait_for(lambda: [[True], [True]] == [left("stalled"), left("silent")])
