"""Errors: OpenAI's shape with all four keys and a request id, and nothing of the operator's in them."""

from __future__ import annotations

import json

import pytest
from support.calls import KEY, MESSAGES, call, chat, connect, head, read_all_of, read_until, wait_for
from support.upstream import SECRETS

KEYS = {"message", "type", "param", "code"}


def chat_body(**more):
    return {"model": "gpt-4o", "messages": MESSAGES} | more


def assert_tells_nothing(answer):
    text = str(answer.headers) + answer.body.decode("utf-8", "replace")
    assert [] == [secret for secret in SECRETS if secret in text]


BAD_BODIES = [
    b"",
    b"not json",
    b'{"model": "gpt-4o", "messages": [}',
    b"[]",
    b'"text"',
    b"null",
    b'{"model": "gpt-4o", "x": NaN}',
    b'{"model": "gpt-4o", "x": "\\ud800"}',
    b'{"model": "gpt-4o", "x": "\xff"}',
    b'{"model": "gpt-4o"' + b"}" * 2,
    b'{"x":' * 3000 + b"1" + b"}" * 3000,
    "{}".encode("utf-16"),
    b'\xef\xbb\xbf{"model": "gpt-4o"}',
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_a_body_that_is_no_json_object_is_a_400(gateway, simulator, body):
    before = len(simulator.log)

    answer = call(gateway.port, "POST", "/v1/chat/completions", body)

    assert (400, "invalid_request_error", KEYS) == (answer.status, answer.error["type"], set(answer.error))
    assert before == len(simulator.log)


@pytest.mark.parametrize(
    ("model", "code", "param"),
    [
        (None, None, None),
        ("", None, None),
        (7, "invalid_type", "model"),
        (["gpt-4o"], "invalid_type", "model"),
    ],
)
def test_a_missing_or_odd_model_is_a_400(gateway, model, code, param):
    answer = call(gateway.port, "POST", "/v1/chat/completions", {"model": model, "messages": MESSAGES})

    assert (400, code, param, KEYS) == (
        answer.status,
        answer.error["code"],
        answer.error["param"],
        set(answer.error),
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "embed", "messages": MESSAGES}),
        ("/v1/moderations", {"model": "gpt-4o", "input": "hello"}),
    ],
    ids=["chat", "moderations"],
)
def test_a_model_that_cannot_do_the_operation_is_a_400(gateway, path, body):
    answer = call(gateway.port, "POST", path, body)

    assert (400, "OperationNotSupported") == (answer.status, answer.error["code"])
    assert_tells_nothing(answer)


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-encoding": "gzip"},
        {"content-type": "image/png"},
    ],
)
def test_what_cannot_be_plain_json_is_a_415(gateway, headers):
    answer = call(gateway.port, "POST", "/v1/chat/completions", chat_body(), headers=headers)

    assert (415, "unsupported_media_type", KEYS) == (answer.status, answer.error["code"], set(answer.error))


def test_json_under_text_plain_is_taken(gateway):
    headers = {"content-type": "text/plain; charset=utf-8"}

    assert 200 == call(gateway.port, "POST", "/v1/chat/completions", chat_body(), headers=headers).status


def test_a_clients_harmless_request_id_is_kept(gateway):
    answer = chat(gateway.port, "gpt-4o", headers={"x-request-id": "my-id.1:2_3"})

    assert "my-id.1:2_3" == answer.headers["x-request-id"]
    assert "my-id.1:2_3" == gateway.lines("my-id.1:2_3")[0]["request_id"]


@pytest.mark.parametrize("given", ['a"b', "a b", "x" * 129, "<script>", "\xe9"])
def test_any_other_request_id_is_replaced(gateway, given):
    assert (
        chat(gateway.port, "gpt-4o", headers={"x-request-id": given})
        .headers["x-request-id"]
        .startswith("req_")
    )


def test_every_reply_has_a_request_id_of_its_own(gateway):
    calls = [
        ("POST", "/v1/chat/completions", chat_body()),
        ("POST", "/v1/chat/completions", chat_body(stream=True)),
        ("POST", "/v1/chat/completions", b"{"),
        ("POST", "/v1/audio/speech", {"model": "azure/tts-1", "input": "hello", "voice": "alloy"}),
        ("GET", "/v1/models", None),
        ("GET", "/v1/models/none", None),
        ("GET", "/healthz", None),
        ("GET", "/readyz", None),
        ("GET", "/nothing", None),
        ("PUT", "/v1/models", None),
    ]

    found = [call(gateway.port, *arguments).headers["x-request-id"] for arguments in calls]

    assert (len(calls), True) == (len(set(found)), all(found))


def test_the_models_400_passes_byte_for_byte(gateway, pool):
    body = b'{"error" : {"message":"caf\\u00e9 1.0","type":"invalid_request_error", "param":"x","code":null , "extra":1}}'
    fault = {"status": 400, "body": body.decode(), "headers": {"Content-Type": "application/json; odd=1"}}

    answer = chat(gateway.port, pool.solo(fault).name)

    assert (400, body, "application/json; odd=1") == (
        answer.status,
        answer.body,
        answer.headers["content-type"],
    )


@pytest.mark.parametrize("status", [400, 409, 413, 422])
@pytest.mark.parametrize("stream", [False, True])
def test_any_mistake_of_the_callers_passes_and_is_tried_once(gateway, pool, status, stream):
    body = {"error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": "odd"}}
    model = pool.pair({"status": status, "body": body, "times": 0})

    answer = chat(gateway.port, model.name, stream=stream)

    assert (status, body, [1, 0]) == (answer.status, answer.json(), pool.counts(model))


@pytest.mark.parametrize("stream", [False, True])
def test_the_content_filters_400_passes_byte_for_byte(gateway, pool, stream):
    body = {
        "model": "filtered",
        "messages": [{"role": "user", "content": "[[filter:hate]]"}],
        "stream": stream,
    }

    answer = call(gateway.port, "POST", "/v1/chat/completions", body)

    assert (400, "content_filter") == (answer.status, answer.error["code"])
    assert "innererror" in answer.error
    assert "content_filter" == gateway.lines(answer.headers["x-request-id"])[0]["error"]


def test_a_callstack_host_or_deployment_is_cut_out_of_a_400_and_nothing_else(gateway, pool, simulator):
    model = pool.solo()
    host = simulator.url.removeprefix("http://")
    deployment = model.deployments[0]
    body = (
        '{ "error":{"message":"DEPLOYMENT failed at http://HOST/openai, ask \\u00e9",  "code":"x",'
        '"inner":{"callstack":"at Foo.Bar()","keep":1.0}, "callstack": ["a", {"b": 1}]} , "last":true}'
    )
    body = body.replace("DEPLOYMENT", deployment).replace("HOST", host)
    simulator.fault(
        deployment, {"status": 400, "body": body, "headers": {"Content-Type": "application/json"}}
    )

    answer = chat(gateway.port, model.name)

    left = (
        '{ "error":{"message":"MODEL failed at upstream/openai, ask \u00e9",  "code":"x",'
        '"inner":{"keep":1.0}} , "last":true}'
    )
    assert (400, left.replace("MODEL", model.name)) == (answer.status, answer.body.decode())


UPSTREAM_FAULTS = [
    ({"preset": "key_rotated"}, 502, "upstream_error"),
    ({"preset": "rbac_401"}, 502, "upstream_error"),
    ({"preset": "network_403"}, 502, "upstream_error"),
    (
        {"status": 404, "body": {"error": {"code": "DeploymentNotFound", "message": "No deployment-7."}}},
        502,
        "upstream_error",
    ),
    (
        {"status": 400, "body": {"error": {"code": "BadRequest", "message": "API version not supported"}}},
        502,
        "upstream_error",
    ),
    ({"preset": "redirect", "times": 0}, 502, "upstream_error"),
    ({"preset": "server_error", "times": 0}, 502, "upstream_error"),
    ({"preset": "bad_gateway_html", "times": 0}, 502, "upstream_error"),
    ({"status": 200, "body": "<html>deployment-7</html>", "times": 0}, 502, "upstream_error"),
    ({"preset": "unavailable_empty", "times": 0}, 503, "upstream_unavailable"),
    ({"reset": "request", "times": 0}, 503, "upstream_unavailable"),
    ({"preset": "timeout", "times": 0}, 504, "upstream_timeout"),
]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(fault, rest) for fault, *rest in UPSTREAM_FAULTS],
    ids=range(len(UPSTREAM_FAULTS)),
)
@pytest.mark.parametrize("stream", [False, True])
def test_upstreams_and_the_operators_failures_become_neutral(gateway, pool, expected, fault, stream):
    # A pair whose second deployment fails alike: nothing waits for a backoff.
    model = pool.pair(fault | {"times": 0})
    pool.simulator.fault(model.deployments[1], fault | {"times": 0})

    answer = chat(gateway.port, model.name, stream=stream)

    assert (*expected, "server_error", KEYS) == (
        answer.status,
        answer.error["code"],
        answer.error["type"],
        set(answer.error),
    )
    assert_tells_nothing(answer)
    # A kept connection that ends without a byte of a reply is replaced by a new one, within the same attempt.
    # Both deployments may meet one.
    kept = (1, 2) if "reset" in fault else (1,)
    assert pool.counts(model) in [[first, second] for first in kept for second in kept]


@pytest.mark.parametrize(
    ("model", "status"), [("missing", 502), ("wrong-key", 502), ("wrong-version", 502), ("nowhere", 503)]
)
def test_a_wrong_configuration_is_a_neutral_error(gateway, model, status):
    answer = chat(gateway.port, model)

    assert (status, KEYS) == (answer.status, set(answer.error))
    assert_tells_nothing(answer)


@pytest.mark.parametrize("encoding", ["chunked", "declared"])
def test_a_body_above_the_limit_is_a_413_before_it_is_read(impatient, encoding):
    with connect(impatient.port) as connection:
        if encoding == "declared":
            connection.sendall(head("POST", "/v1/chat/completions", "content-length: 1000001"))
        else:
            connection.sendall(head("POST", "/v1/chat/completions", "transfer-encoding: chunked"))
            for _ in range(18):
                connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        # The body has not ended, and never will.
        reply = read_until(connection, b"}}")

    assert reply.startswith(b"HTTP/1.1 413 ")
    error = json.loads(reply.partition(b"\r\n\r\n")[2])["error"]
    assert ("request_too_large", KEYS) == (error["code"], set(error))


def test_a_body_just_below_the_limit_passes(narrow, pool):
    model = pool.solo()
    body = json.dumps({"model": model.name, "messages": MESSAGES, "user": ""}).encode()
    padded = body.replace(b'"user": ""', b'"user": "' + b"x" * (1_000_000 - len(body)) + b'"')

    answer = call(narrow.port, "POST", "/v1/chat/completions", padded)

    assert (1_000_000, 200) == (len(padded), answer.status)
    assert padded.decode() == pool.log(*model.deployments)[0]["body"]


def test_when_too_many_bytes_are_held_the_next_body_is_a_503_with_retry_after(impatient, pool):
    filler = pool.solo({"delay_s": 30})
    big = json.dumps({"model": filler.name, "messages": MESSAGES, "user": "x" * 900_000}).encode()
    other = json.dumps(json.loads(big) | {"model": pool.solo().name}).encode()

    def call_beside_it():
        """The answers to another body and to a small call; None where the one before was not held so long."""
        with connect(impatient.port) as holding:
            # The body's last byte is missing.
            holding.sendall(head("POST", "/v1/chat/completions", f"content-length: {len(big)}") + big[:-1])
            for _ in range(20):
                answer = call(impatient.port, "POST", "/v1/chat/completions", other)
                if answer.status == 503:
                    return answer, chat(impatient.port, "gpt-4o")
        return None

    refused, small = wait_for(call_beside_it)

    assert ("gateway_overloaded", "1", "1000", KEYS) == (
        refused.error["code"],
        refused.headers["retry-after"],
        refused.headers["retry-after-ms"],
        set(refused.error),
    )
    assert 200 == small.status
    # What the client that left had held is free again.
    assert wait_for(lambda: 200 == call(impatient.port, "POST", "/v1/chat/completions", other).status)


def test_an_upload_that_stalls_is_a_408(impatient):
    with connect(impatient.port) as connection:
        connection.sendall(head("POST", "/v1/chat/completions", "content-length: 1000") + b"{")
        reply = read_all_of(connection)

    assert reply.startswith(b"HTTP/1.1 408 ")
    assert {"message", "type", "param", "code"} == set(json.loads(reply.partition(b"\r\n\r\n")[2])["error"])


@pytest.mark.parametrize("stream_first", [False, True])
def test_a_call_without_stream_answers_504_at_the_reply_time_out(impatient, pool, stream_first):
    fault = {"delay_s": 30} if stream_first else {"cut": {"after": 10, "how": "stall"}}
    model = pool.solo(fault)

    answer = chat(impatient.port, model.name)

    assert (504, "upstream_timeout", KEYS) == (answer.status, answer.error["code"], set(answer.error))
    assert pool.log(*model.deployments)[0]["completed"] is None


def test_no_key_is_ever_repeated(gateway):
    answer = call(gateway.port, "GET", "/v1/models", key=KEY + "x")

    assert 401 == answer.status
    assert KEY not in answer.body.decode()
