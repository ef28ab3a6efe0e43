"""What reaches upstream and what comes back: the client's bytes, but for what must change."""

from __future__ import annotations

import json

import pytest
from support.calls import KEY, MESSAGES, call, chat
from support.upstream import AZURE_KEY, PLATFORM_KEY

#: Order, spacing, escapes, number forms, duplicate keys: all that a parser and a printer would change.
ODD = (
    b'{ "messages" : [{"role":"user",  "content":"caf\\u00e9 \xf0\x9f\x98\x80 \\/ \\ud83d\\ude00"}],'
    b'\n\t"temperature":1.0, "seed": 12345678901234567890, "top_p":1e0, "user":"a", "user":"b", "model":"%s" }'
)

SENT = {"host", "accept", "accept-encoding", "content-type", "user-agent", "content-length", "api-key"}

CLIENTS_HEADERS = {
    "cookie": "session=1",
    "x-stainless-lang": "python",
    "x-stainless-retry-count": "1",
    "x-forwarded-for": "6.6.6.6",
    "x-forwarded-host": "elsewhere",
    "forwarded": "for=6.6.6.6",
    "via": "1.1 proxy",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "openai-organization": "org-of-the-client",
    "openai-project": "project-of-the-client",
    "openai-beta": "something",
    "x-ms-client-request-id": "mine",
    "x-ms-invocation-id": "mine",
    "user-agent": "OpenAI/Python 3.57",
    "accept-encoding": "gzip, br",
    "accept-language": "de",
    "idempotency-key": "1",
    "x-custom": "1",
    "origin": "https://example.org",
    "referer": "https://example.org/page",
}


def only(entries):
    assert 1 == len(entries)
    return entries[0]


def sent_headers(entry):
    return {name.lower(): value for name, value in entry["headers"]}


def test_a_body_reaches_a_dated_path_byte_for_byte(gateway, pool):
    model = pool.solo()
    body = ODD.replace(b"%s", model.name.encode())

    answer = call(gateway.port, "POST", "/v1/chat/completions", body)

    assert 200 == answer.status
    assert body.decode() == only(pool.log(*model.deployments))["body"]


def test_only_the_model_changes_where_the_body_names_the_deployment(gateway, pool):
    before = len(pool.log("deployment-v1"))
    body = ODD.replace(b"%s", b"v1")

    answer = call(gateway.port, "POST", "/v1/chat/completions", body)

    assert 200 == answer.status
    entry = only(pool.log("deployment-v1")[before:])
    assert (ODD.replace(b"%s", b"deployment-v1").decode(), "/openai/v1/chat/completions", "") == (
        entry["body"],
        entry["path"],
        entry["query"],
    )


def test_an_openai_member_gets_the_model_and_its_bearer_key(gateway, pool):
    before = len(pool.log("gpt-4o-mini"))

    answer = chat(gateway.port, "mini")

    entry = only(pool.log("gpt-4o-mini")[before:])
    headers = sent_headers(entry)
    assert (200, "gpt-4o-mini") == (answer.status, json.loads(entry["body"])["model"])
    assert (f"Bearer {PLATFORM_KEY}", False) == (headers["authorization"], "api-key" in headers)


OTHERS = {
    "embeddings": {"model": "embed", "input": ["a", "b"], "encoding_format": "base64"},
    "completions": {"model": "instruct", "prompt": "Say", "max_tokens": 5},
    "audio/speech": {"model": "azure/tts-1", "input": "hello", "voice": "alloy"},
}


@pytest.mark.parametrize("operation", OTHERS)
def test_the_other_operations_forward_their_bytes_too(gateway, pool, operation):
    deployment = f"deployment-{operation.removeprefix('audio/')}"
    before = len(pool.log(deployment))
    body = json.dumps(OTHERS[operation], indent=3).encode()

    answer = call(gateway.port, "POST", f"/v1/{operation}", body)

    assert 200 == answer.status
    assert body.decode() == only(pool.log(deployment)[before:])["body"]


@pytest.mark.parametrize("named", [{}, {"model": "omni-moderation-latest"}], ids=["no model", "model"])
def test_a_moderation_goes_to_openai_with_the_members_model(gateway, pool, named):
    before = len(pool.log("omni-moderation"))

    answer = call(gateway.port, "POST", "/v1/moderations", {"input": ["hate", "love"]} | named)

    entry = only(pool.log("omni-moderation")[before:])
    assert [True, False] == [result["flagged"] for result in answer.json()["results"]]
    assert ("/v1/moderations", {"model": "omni-moderation", "input": ["hate", "love"]}) == (
        entry["path"],
        json.loads(entry["body"]),
    )


def test_upstream_sees_only_the_headers_it_needs(gateway, pool):
    model = pool.solo()

    assert 200 == chat(gateway.port, model.name, headers=CLIENTS_HEADERS | {"api-key": KEY}).status

    headers = sent_headers(only(pool.log(*model.deployments)))
    assert (SENT, AZURE_KEY) == (set(headers), headers["api-key"])
    assert "OpenAI" not in headers["user-agent"]
    assert KEY not in str(headers)


def test_a_plain_reply_comes_back_byte_for_byte(gateway, pool):
    reply = b'{ "id": "x",  "choices":[{}], "n": 1.0, "t":"\\u00e9\xc3\xa9", "usage": {"prompt_tokens": 3} }'
    model = pool.solo(
        {"status": 200, "body": reply.decode(), "headers": {"Content-Type": "application/json"}}
    )

    answer = chat(gateway.port, model.name)

    assert (200, reply, "application/json") == (answer.status, answer.body, answer.headers["content-type"])


def test_the_model_in_a_reply_is_upstreams(gateway, pool):
    assert "gpt-4o-2024-11-20" == chat(gateway.port, pool.solo().name).json()["model"]


def test_upstreams_headers_do_not_reach_the_client(gateway, pool):
    extra = {
        "x-ms-region": "East US 2",
        "apim-request-id": "1",
        "set-cookie": "a=1",
        "azureml-model-session": "d1",
    }
    model = pool.solo({"status": 200, "body": {"id": "x", "choices": [{}]}, "headers": extra})

    found = {name.lower() for name in chat(gateway.port, model.name).headers}

    assert {"content-type", "content-length", "x-request-id"} == found - {"date", "server", "connection"}


def test_request_defaults_are_added_where_the_client_is_silent(gateway, pool):
    before = len(pool.log("deployment-defaults"))

    answer = chat(gateway.port, "defaults", temperature=0.75)

    body = json.loads(only(pool.log("deployment-defaults")[before:])["body"])
    assert (200, 0.75, "configured") == (answer.status, body["temperature"], body["user"])


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, {"include_usage": True}),
        ({"include_usage": False}, {"include_usage": True}),
        ({"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}),
    ],
)
def test_usage_is_asked_for_and_hidden_again(gateway, pool, given, sent):
    model = pool.solo()
    more = {} if given is None else {"stream_options": given}

    answer = chat(gateway.port, model.name, stream=True, **more)

    assert sent == json.loads(only(pool.log(*model.deployments))["body"])["stream_options"]
    assert b'"usage"' not in answer.body
    assert "[DONE]" == answer.events[-1]
    line = gateway.lines(answer.headers["x-request-id"])[0]
    assert line["gen_ai.usage.input_tokens"] > 0
    assert line["gen_ai.usage.output_tokens"] > 0


def test_a_client_that_asks_for_usage_gets_it_and_its_bytes_are_untouched(gateway, pool):
    model = pool.solo()
    body = json.dumps(
        {"stream_options": {"include_usage": True}, "messages": MESSAGES, "stream": True, "model": model.name}
    )

    answer = call(gateway.port, "POST", "/v1/chat/completions", body.encode())

    assert body == only(pool.log(*model.deployments))["body"]
    assert answer.events[-2]["usage"]["prompt_tokens"] > 0


def test_an_api_version_that_knows_no_usage_is_not_asked_for_it(gateway, pool):
    before = len(pool.log("deployment-old"))

    answer = chat(gateway.port, "old", stream=True)

    assert "stream_options" not in json.loads(only(pool.log("deployment-old")[before:])["body"])
    assert "[DONE]" == answer.events[-1]


def test_completions_report_usage_in_the_log_too(gateway):
    body = {"model": "instruct", "prompt": "Say", "stream": True}

    answer = call(gateway.port, "POST", "/v1/completions", body)

    assert b'"usage"' not in answer.body
    assert gateway.lines(answer.headers["x-request-id"])[0]["gen_ai.usage.output_tokens"] > 0


def test_a_stream_comes_back_byte_for_byte_where_the_client_asked_for_usage(gateway, pool):
    stream = (
        ': a comment\n\ndata: {"choices":[{"delta":{"content":"caf\\u00e9 \u00e9"},"finish_reason":null}],"usage":null}\r\n\r\n'
        'event: odd\nid: 7\ndata:{"choices": [], "usage" : {"prompt_tokens": 1}}\n\n\n\ndata: [DONE]\n\n'
    )
    events = {"status": 200, "body": stream, "headers": {"Content-Type": "text/event-stream"}}
    model = pool.solo(events | {"write_size": 7})

    answer = chat(gateway.port, model.name, stream=True, stream_options={"include_usage": True})

    assert (200, stream.encode()) == (answer.status, answer.body)
    assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
