"""The "Routes" paragraph: every path form, the models, health, and what no route takes."""

from __future__ import annotations

import json

import pytest
from support.calls import KEY, MESSAGES, call, connect, head, read_until
from support.upstream import SECRETS

PREFIXES = ["/v1/", "/", "/openai/v1/"]
OPERATIONS = {
    "chat/completions": ("gpt-4o", {"messages": MESSAGES}),
    "completions": ("instruct", {"prompt": "Say hello"}),
    "embeddings": ("embed", {"input": "hello"}),
    "audio/speech": ("azure/tts-1", {"input": "hello", "voice": "alloy"}),
    "moderations": ("omni-moderation-latest", {"input": "hello"}),
}
MODELS = ["/v1/models", "/models", "/openai/v1/models", "/openai/models"]
HEALTH = ["/healthz", "/readyz", "/health/liveliness", "/health/readiness"]


def error_keys(answer):
    return set(answer.error)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_answers_under_every_prefix(gateway, prefix, operation):
    model, fields = OPERATIONS[operation]

    answer = call(gateway.port, "POST", prefix + operation, {"model": model} | fields)

    assert (200, True) == (answer.status, len(answer.body) > 100)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_azures_form_names_the_model_in_the_path(gateway, operation):
    model, fields = OPERATIONS[operation]
    path = f"/openai/deployments/{model.replace('/', '%2F')}/{operation}?api-version=2024-02-01"

    assert 200 == call(gateway.port, "POST", path, fields).status


def test_the_paths_model_wins_over_the_bodys(gateway, pool):
    path, body = pool.solo(), pool.solo()

    answer = call(
        gateway.port,
        "POST",
        f"/openai/deployments/{path.name}/chat/completions?api-version=2024-10-21",
        {"model": body.name, "messages": MESSAGES},
    )

    assert 200 == answer.status
    assert ([1], [0]) == (pool.counts(path), pool.counts(body))


@pytest.mark.parametrize(
    "query", ["", "?api-version=2099-01-01", "?api-version=", "?api-version=a&api-version=b"]
)
def test_the_clients_api_version_is_ignored(gateway, pool, query):
    model = pool.solo()

    answer = call(
        gateway.port,
        "POST",
        f"/openai/deployments/{model.name}/chat/completions{query}",
        {"messages": MESSAGES},
    )

    assert 200 == answer.status
    assert ["api-version=2024-10-21"] == [entry["query"] for entry in pool.log(*model.deployments)]


@pytest.mark.parametrize("path", ["/V1/Chat/Completions", "/v1/chat/completions/"])
def test_case_and_a_last_slash_do_not_matter(gateway, path):
    assert 200 == call(gateway.port, "POST", path, {"model": "gpt-4o", "messages": MESSAGES}).status


@pytest.mark.parametrize("name", ["odd%2Fname%20with%20space%2Fx", "odd%2fname%20with%20space%2fx"])
def test_an_alias_with_slashes_and_spaces_is_encoded_in_azures_form(gateway, name):
    answer = call(
        gateway.port, "POST", f"/openai/deployments/{name}/chat/completions", {"messages": MESSAGES}
    )

    assert 200 == answer.status


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("odd/name%20with%20space/x", 200),
        ("odd%2Fname%20with%20space/x", 200),
        ("odd%252Fname%20with%20space%2Fx", 404),
    ],
)
def test_azures_form_takes_slashes_as_they_are_and_decodes_encoded_ones_once(gateway, name, expected):
    answer = call(
        gateway.port, "POST", f"/openai/deployments/{name}/chat/completions", {"messages": MESSAGES}
    )

    assert expected == answer.status
    if expected == 404:
        assert "`odd%2Fname with space/x`" in answer.error["message"]


def test_speech_of_a_model_with_a_slash_is_found_in_azures_form(gateway):
    body = {"input": "hello", "voice": "alloy"}
    answer = call(gateway.port, "POST", "/openai/deployments/azure/tts-1/audio/speech", body)

    assert (200, "audio/mpeg") == (answer.status, answer.headers["content-type"])


@pytest.mark.parametrize("path", ["/openai/deployments/a/b/chat", "/openai/deployments/x/models"])
def test_other_paths_below_a_deployment_are_unknown(gateway, path):
    assert (404, "unknown_url") == (
        (answer := call(gateway.port, "POST", path, {})).status,
        answer.error["code"],
    )


@pytest.mark.parametrize("path", MODELS)
def test_the_models_are_listed(gateway, path):
    listing = call(gateway.port, "GET", path).json()

    assert "list" == listing["object"]
    found = {entry["id"]: entry for entry in listing["data"]}
    assert {"gpt-4o", "azure/tts-1", "embed", "instruct", "mini"} <= set(found)
    assert {"id", "object", "created", "owned_by"} == set(found["gpt-4o"])


@pytest.mark.parametrize("path", MODELS)
@pytest.mark.parametrize(
    ("written", "name"),
    [("gpt-4o", "gpt-4o"), ("azure/tts-1", "azure/tts-1"), ("azure%2Ftts-1", "azure/tts-1")],
)
def test_one_model_is_shown(gateway, path, written, name):
    answer = call(gateway.port, "GET", f"{path}/{written}")

    assert (200, name, "model") == (answer.status, answer.json()["id"], answer.json()["object"])


def test_the_models_name_no_deployment(gateway):
    listing = call(gateway.port, "GET", "/v1/models").body.decode()

    assert [] == [secret for secret in SECRETS if secret in listing]


def test_an_unknown_model_is_a_404(gateway):
    shown = call(gateway.port, "GET", "/v1/models/nothing")
    called = call(gateway.port, "POST", "/v1/chat/completions", {"model": "nothing", "messages": MESSAGES})
    azure = call(gateway.port, "POST", "/openai/deployments/nothing/chat/completions", {"messages": MESSAGES})

    assert [(404, "model_not_found"), (404, "model_not_found"), (404, "DeploymentNotFound")] == [
        (answer.status, answer.error["code"]) for answer in (shown, called, azure)
    ]
    assert all("`nothing`" in answer.error["message"] for answer in (shown, called, azure))


@pytest.mark.parametrize("path", MODELS)
def test_the_models_need_a_key(gateway, path):
    assert 401 == call(gateway.port, "GET", path, key=None).status


@pytest.mark.parametrize("path", HEALTH)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_is_open_content_free_and_calls_no_model(gateway, simulator, path, method):
    before = len(simulator.log)

    answer = call(gateway.port, method, path, key=None)

    body = b"" if method == "HEAD" else b'{"status":"ok"}'
    assert (200, body, before) == (answer.status, answer.body, len(simulator.log))
    assert answer.headers["x-request-id"]


UNKNOWN = [
    "/",
    "/v2/chat/completions",
    "/v1/responses",
    "/v1/chat",
    "/openai/deployments/gpt-4o/images/generations",
    "/openai/deployments/azure/tts-1/audio",
    "/.env",
    "/docs",
    "/openapi.json",
    "/favicon.ico",
    "/api/v1/models",
    "/v1/%00",
    "/v1/%ff%fe",
    "/a/../../etc/passwd",
]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_an_unknown_path_is_an_openai_error_whatever_the_method(gateway, method):
    for path in UNKNOWN:
        answer = call(gateway.port, method, path)

        assert (404, {"message", "type", "param", "code"}) == (answer.status, error_keys(answer)), path
        assert answer.headers["x-request-id"], path
        assert "unknown_url" == answer.error["code"], path


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/embeddings", "/openai/deployments/x/audio/speech"]
)
def test_a_wrong_method_is_a_405_that_names_the_right_one(gateway, method, path):
    answer = call(gateway.port, method, path)

    assert (405, "POST", "method_not_allowed") == (
        answer.status,
        answer.headers["allow"],
        answer.error["code"],
    )
    assert {"message", "type", "param", "code"} == error_keys(answer)


@pytest.mark.parametrize("dots", ["..", "%2E%2E", "%2e."])
def test_dots_in_place_of_a_deployment_lead_to_no_path(gateway, dots):
    answer = call(gateway.port, "POST", f"/openai/deployments/{dots}/chat/completions", {"messages": []})

    assert (404, "unknown_url") == (answer.status, answer.error["code"])


def test_the_models_cannot_be_posted(gateway):
    answers = [call(gateway.port, "POST", path, {}) for path in ("/v1/models", "/v1/models/gpt-4o")]

    assert [(405, "GET")] * 2 == [(answer.status, answer.headers["allow"]) for answer in answers]


def test_head_on_an_unknown_path_is_a_bare_404_with_a_request_id(gateway):
    answer = call(gateway.port, "HEAD", "/nothing")

    assert (404, b"") == (answer.status, answer.body)
    assert answer.headers["x-request-id"]


@pytest.mark.only_on("embedded", reason="the Functions host answers these itself")
def test_double_slashes_reach_the_route_on_the_embedded_host(gateway):
    answer = call(gateway.port, "POST", "//v1//chat/completions", {"model": "gpt-4o", "messages": MESSAGES})

    assert 200 == answer.status


@pytest.mark.parametrize(
    "header",
    [("authorization", f"Bearer {KEY}"), ("authorization", f"bearer  {KEY}"), ("api-key", KEY)],
    ids=["Bearer", "bearer", "api-key"],
)
def test_every_form_of_key_opens(gateway, header):
    assert 200 == call(gateway.port, "GET", "/v1/models", key=None, headers=dict([header])).status


WRONG_KEYS = [
    {},
    {"authorization": "Bearer wrong"},
    {"authorization": f"Basic {KEY}"},
    {"authorization": KEY},
    {"api-key": KEY[:-1]},
    {"api-key": "\xe9\xfc"},
    {"authorization": f"Bearer {KEY}", "api-key": "another"},
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/deployments/gpt-4o/chat/completions"])
def test_a_missing_or_wrong_key_is_a_401_before_the_body_is_read(gateway, path):
    for headers in WRONG_KEYS:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        request = "\r\n".join([f"POST {path} HTTP/1.1", "host: x", *lines, "content-length: 1000", "", ""])
        with connect(gateway.port) as connection:
            # Not one byte of the body is ever sent.
            connection.sendall(request.encode("latin-1"))
            reply = read_until(connection, b"}}")

        assert reply.startswith(b"HTTP/1.1 401 "), headers
        error = json.loads(reply.partition(b"\r\n\r\n")[2])["error"]
        assert {"message", "type", "param", "code"} == set(error)
        assert KEY not in reply.decode("latin-1")


def test_a_key_in_the_query_opens_nothing(gateway):
    assert 401 == call(gateway.port, "GET", f"/v1/models?api-key={KEY}", key=None).status


@pytest.mark.only_on("embedded", reason="the Functions host answers these itself")
def test_a_head_with_many_headers_is_answered_in_our_shape_on_the_embedded_host(gateway):
    with connect(gateway.port) as connection:
        connection.sendall(head("GET", "/v1/models", *(f"x-{number}: 1" for number in range(150))))
        reply = read_until(connection, b"}}")

    assert reply.startswith(b"HTTP/1.1 431 ")
    assert {"message", "type", "param", "code"} == set(json.loads(reply.partition(b"\r\n\r\n")[2])["error"])


@pytest.mark.parametrize("path", ["/v1/" + "x" * 7000, "/v1/%1b%5b31m%e2%80%a8"])
def test_a_path_is_repeated_at_most_in_part_and_printable(gateway, path):
    message = call(gateway.port, "POST", path, {}).error["message"]

    assert message.startswith("Invalid URL (POST /v1/")
    assert message.isprintable()
    assert len(message) < 250
