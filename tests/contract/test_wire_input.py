"""Odd and hostile requests on raw sockets: each gets its answer, no upstream call, and no connection for ever."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from support.calls import KEY, MESSAGES, PATIENCE, call, chat, connect, head, post, read_all_of, read_until
from support.gateways import start_gateway
from support.upstream import gateway_config

KEYS = {"message", "type", "param", "code"}
OPERATIONS = ["chat/completions", "completions", "embeddings", "audio/speech"]
PATHS = [
    *[prefix + operation for prefix in ("/v1/", "/", "/openai/v1/") for operation in OPERATIONS],
    "/openai/deployments/gpt-4o/chat/completions",
    "/v1/models",
    "/openai/models",
    "/v1/models/gpt-4o",
    "/healthz",
    "/readyz",
    "/",
    "/nothing",
]


heads_are_ours = pytest.mark.only_on("embedded", reason="on Azure heads and connections are the platform's")


@pytest.fixture
def calls_nobody(simulator):
    """The test makes no upstream call."""
    before = len(simulator.log)
    yield
    assert before == len(simulator.log)


def error_of(reply: bytes):
    return json.loads(reply.partition(b"\r\n\r\n")[2])["error"]


@pytest.mark.parametrize(
    "lines",
    [
        ["authorization: Bearer"],
        ["authorization: Bearer "],
        ["authorization:"],
        ["api-key: "],
        ["authorization: Bearer \xff\xfe"],
        [f"authorization: Bearer {KEY}", "api-key: \xff"],
        [f"authorization: Bearer {KEY}", "authorization: Bearer other"],
        [f"api-key: {KEY}", "api-key: other"],
        [f"authorization: Bearer {KEY} {KEY}"],
        [f"x-api-key: {KEY}"],
    ],
)
@pytest.mark.usefixtures("calls_nobody")
def test_no_empty_or_doubled_key_opens(gateway, lines):
    request = "\r\n".join(["GET /v1/models HTTP/1.1", "host: x", "connection: close", *lines, "", ""])
    with connect(gateway.port) as connection:
        connection.sendall(request.encode("latin-1"))
        reply = read_all_of(connection)

    assert (b"HTTP/1.1 401 ", KEYS) == (reply[:13], set(error_of(reply)))


def test_the_same_key_in_both_headers_opens(gateway):
    assert 200 == call(gateway.port, "GET", "/v1/models", headers={"api-key": KEY}).status


@pytest.mark.parametrize("depth", [10_000, 100_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
@pytest.mark.usefixtures("calls_nobody")
def test_deep_nesting_is_a_400(gateway, depth, brackets):
    opening = b'{"a":' if brackets == "{}" else b"["
    nested = opening * depth + b"1" + brackets[1].encode() * depth
    body = b'{"model":"gpt-4o","messages":[],"metadata":%s}' % nested

    answer = call(gateway.port, "POST", "/v1/chat/completions", body)

    assert (400, KEYS) == (answer.status, set(answer.error))


def test_nesting_at_the_parsers_limit_is_a_400_too(gateway):
    # This model's name is rewritten, deeper in the stack than where the body was parsed.
    found = {}
    for depth in range(900, 1010):
        body = b'{"model":"v1","messages":[{"role":"user","content":"x"}],"metadata":%s}' % (
            b"[" * depth + b"]" * depth
        )
        found.setdefault(call(gateway.port, "POST", "/v1/chat/completions", body).status, []).append(depth)

    assert {200, 400} >= set(found)


@pytest.mark.parametrize("member", ["metadata", "tools", "data_sources", "n", "stream_options"])
def test_nesting_at_the_edge_is_passed_on_and_beyond_it_a_400(gateway, member):
    found = [
        call(
            gateway.port,
            "POST",
            "/v1/chat/completions",
            b'{"model":"v1","messages":[{"role":"user","content":"x"}],"%s":%s}'
            % (member.encode(), b"[" * depth + b"]" * depth),
        )
        for depth in (499, 500)
    ]

    assert found[0].status < 500
    assert (400, True) == (found[1].status, "500 levels" in found[1].error["message"])
    assert "500 levels" not in found[0].body.decode()


@heads_are_ours
@pytest.mark.usefixtures("calls_nobody")
def test_a_length_of_many_digits_is_a_400(gateway):
    body = json.dumps({"model": "gpt-4o", "messages": MESSAGES}).encode()
    with connect(gateway.port) as connection:
        connection.sendall(head("POST", "/v1/chat/completions", f"content-length: {len(body):05000}") + body)
        reply = read_all_of(connection)

    assert (b"HTTP/1.1 400 ", KEYS) == (reply[:13], set(error_of(reply)))


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
@pytest.mark.usefixtures("calls_nobody")
def test_head_and_options_are_never_a_failure_of_ours(gateway, method):
    for path in PATHS:
        answer = call(gateway.port, method, path)

        assert (answer.status in {200, 404, 405}, True) == (True, bool(answer.headers["x-request-id"])), path
        assert method == "OPTIONS" or answer.body == b"", path


@pytest.mark.parametrize(
    "extra",
    [
        {"stream": "yes"},
        {"stream": 1},
        {"n": 0},
        {"messages": "hi"},
        {"messages": None},
        {"messages": []},
        {"max_tokens": "5"},
        {"max_tokens": -1},
        {"max_tokens": 1e308},
        {"max_tokens": True},
        {"stream": True, "stream_options": [1]},
        {"stream": True, "stream_options": "x"},
    ],
    ids=str,
)
def test_what_the_model_refuses_is_its_own_answer(gateway, pool, extra):
    model = pool.solo()

    answer = chat(gateway.port, model.name, **extra)

    assert (400, "invalid_request_error", [1]) == (answer.status, answer.error["type"], pool.counts(model))


def test_a_large_image_below_the_limit_passes(gateway, pool):
    model = pool.solo()
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 20_000_000}}

    answer = chat(gateway.port, model.name, messages=[{"role": "user", "content": [image]}])

    assert (200, [1]) == (answer.status, pool.counts(model))


@pytest.mark.usefixtures("calls_nobody")
def test_a_client_that_sends_all_of_a_body_that_is_too_large_still_reads_the_413(gateway):
    answer = call(gateway.port, "POST", "/v1/chat/completions", b"x" * 101_000_000)

    assert (413, "request_too_large") == (answer.status, answer.error["code"])


def request_with_expectation(length, key=KEY):
    """The head of a request whose client waits to be invited."""
    lines = (f"content-length: {length}", "expect: 100-continue", "connection: close")
    return head("POST", "/v1/chat/completions", *lines, key=key)


def test_a_client_that_waits_is_invited_to_send_its_body(gateway):
    body = json.dumps({"model": "gpt-4o", "messages": MESSAGES}).encode()
    with connect(gateway.port) as connection:
        connection.sendall(request_with_expectation(len(body)))
        invited = read_until(connection, b"\r\n\r\n")
        connection.sendall(body)
        reply = read_all_of(connection)

    assert (b"HTTP/1.1 100 ", b"HTTP/1.1 200 ") == (invited[:13], reply[:13])


@pytest.mark.only_on("embedded", reason="the Functions host invites before the worker has read the head")
def test_nobody_who_may_not_come_in_is_invited(gateway):
    with connect(gateway.port) as connection:
        connection.sendall(request_with_expectation(100, key="wrong"))
        refused = read_all_of(connection)

    assert b"HTTP/1.1 401 " == refused[:13]


@heads_are_ours
@pytest.mark.parametrize(
    "lines",
    [
        ("content-length: 5", "transfer-encoding: chunked"),
        ("content-length: 5", "content-length: 6"),
        ("content-length: -5",),
        ("x-nul: a\0b",),
        ("x a: b",),
    ],
)
@pytest.mark.usefixtures("calls_nobody")
def test_ambiguous_heads_are_a_400(gateway, lines):
    with connect(gateway.port) as connection:
        connection.sendall(head("POST", "/v1/chat/completions", *lines) + b"12345")
        reply = read_all_of(connection)

    assert (b"HTTP/1.1 400 ", KEYS) == (reply[:13], set(error_of(reply)))


@pytest.mark.usefixtures("calls_nobody")
def test_a_key_in_a_trailer_opens_nothing(gateway):
    body = json.dumps({"model": "gpt-4o", "messages": MESSAGES}).encode()
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: x", "content-type: application/json"]
    lines += ["transfer-encoding: chunked", "connection: close", "trailer: authorization", "", ""]
    with connect(gateway.port) as connection:
        connection.sendall("\r\n".join(lines).encode())
        connection.sendall(
            b"%x\r\n%s\r\n0\r\nauthorization: Bearer %s\r\n\r\n" % (len(body), body, KEY.encode())
        )
        reply = read_all_of(connection)

    assert b"HTTP/1.1 401 " == reply[:13]


RESPONSES = [
    "/v1/responses",
    "/v1/responses/",
    "/v1/responses/resp_1",
    "/v1/responses/resp_1/cancel",
    "/v1/responses/resp_1/input_items?limit=2",
    "/V1/Responses",
    "/responses",
    "/openai/responses?api-version=2025-04-01-preview",
    "/openai/v1/responses",
    "/openai/deployments/gpt-4o/responses?api-version=v1",
]


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.usefixtures("calls_nobody")
def test_the_responses_api_is_refused_in_every_form_with_what_to_do_instead(gateway, method):
    for path in RESPONSES:
        answer = call(gateway.port, method, path, {"model": "gpt-4o"} if method == "POST" else None)

        assert (404, "unknown_url", KEYS) == (answer.status, answer.error["code"], set(answer.error)), path
        assert "/v1/chat/completions" in answer.error["message"], path


# What follows waits for time-outs, so they are short here.
START = """
import sys
from gateway.server import connection_table, deadlines
deadlines.HEAD_SECONDS = 0.5
connection_table.TICK_SECONDS = 0.1
from gateway.__main__ import main
sys.exit(main(["serve", "--port", sys.argv[1]]))
"""


@pytest.fixture(scope="module")
def hasty(request, simulator):
    """The gateway with one second for each piece of a body, on the embedded host half a second for heads."""
    config = gateway_config(simulator.url)
    with start_gateway(request.param, config, program=("-c", START), GATEWAY_UPLOAD_TIMEOUT="1") as running:
        yield running


@pytest.mark.usefixtures("calls_nobody")
def test_an_upload_that_trickles_ends(hasty):
    with connect(hasty.port) as connection:
        connection.sendall(head("POST", "/v1/chat/completions", "content-length: 1000"))
        began = time.monotonic()
        connection.settimeout(0.2)
        reply = b""
        while not reply and time.monotonic() - began < PATIENCE:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(b" ")  # the gateway may have ended it since the last look
            with contextlib.suppress(TimeoutError):
                reply = connection.recv(65536)

    assert (b"HTTP/1.1 408 ", "request_timeout") == (reply[:13], error_of(reply)["code"])


@heads_are_ours
def test_a_head_that_does_not_end_is_a_408(hasty):
    with connect(hasty.port) as connection:
        connection.sendall(head("POST", "/v1/chat/completions")[:-4])
        reply = read_all_of(connection)
        end = connection.recv(1)

    assert (b"HTTP/1.1 408 ", KEYS, b"") == (reply[:13], set(error_of(reply)), end)


@heads_are_ours
def test_a_second_head_that_does_not_end_is_a_408_too(hasty):
    with connect(hasty.port) as connection:
        connection.sendall(head("GET", "/v1/models"))
        read_all_of(connection)
        connection.sendall(b"GET /v1/mod")
        reply = read_all_of(connection)

    assert b"HTTP/1.1 408 " == reply[:13]


@heads_are_ours
def test_a_connection_that_says_nothing_is_closed(hasty):
    with connect(hasty.port) as connection:
        assert b"" == connection.recv(1)


@heads_are_ours
def test_an_idle_connection_that_was_used_stays_open(hasty):
    with connect(hasty.port) as connection:
        connection.sendall(head("GET", "/healthz"))
        read_all_of(connection)
        time.sleep(0.8)
        connection.sendall(head("GET", "/healthz"))

        assert b"HTTP/1.1 200 " == read_all_of(connection)[:13]


@heads_are_ours
def test_a_late_pipelined_head_does_not_disturb_the_reply_before_it(hasty, pool):
    with connect(hasty.port) as connection:
        model = pool.solo({"delay_s": 1.2})
        connection.sendall(post("/v1/chat/completions", {"model": model.name, "messages": MESSAGES}))
        time.sleep(0.3)
        connection.sendall(b"GET /v1/mod")
        first = read_all_of(connection)
        second = read_all_of(connection)

    assert (b"HTTP/1.1 200 ", b"HTTP/1.1 408 ") == (first[:13], second[:13])
