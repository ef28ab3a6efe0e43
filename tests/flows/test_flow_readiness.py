"""A gateway without a valid configuration: closed, alive, and clear about why in its log alone."""

from __future__ import annotations

import json

import pytest
from support.calls import KEY, MESSAGES, call, wait_for
from support.gateways import start_gateway
from support.upstream import gateway_config, member

WRONG = {
    "model_list": [
        member(
            "gpt-4o", "secret-deployment", "https://secret-host.openai.azure.com", api_vresion="2024-10-21"
        ),
        member("gpt-4o", "secret-deployment", "http://secret-host.openai.azure.com"),
    ],
    "general_settings": {"master_key": KEY},
}

CLOSED = {"model_list": [member("gpt-4o", "a", "https://a.openai.azure.com")]}


@pytest.fixture(scope="module", params=["none", "wrong", "closed", "no such file", "bad setting"])
def unready(request):
    """A Functions host that started with no configuration, or one that is refused."""
    config = {"none": None, "wrong": WRONG, "closed": CLOSED, "no such file": "/no/such/file.yaml"}.get(
        request.param, gateway_config("http://127.0.0.1:9")
    )
    settings = {"GATEWAY_MAX_BODY_BYTES": "many"} if request.param == "bad setting" else {}
    with start_gateway("functions", config, **settings) as running:
        yield running, request.param


PATHS = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/audio/speech"),
    ("POST", "/openai/deployments/gpt-4o/embeddings"),
    ("GET", "/v1/models"),
    ("GET", "/openai/models/gpt-4o"),
    ("GET", "/readyz"),
    ("GET", "/health/readiness"),
]


def test_every_route_but_liveness_answers_503_not_ready(unready):
    gateway, _ = unready
    for method, path in PATHS:
        body = {"model": "gpt-4o", "messages": MESSAGES} if method == "POST" else None

        answer = call(gateway.port, method, path, body)

        assert (503, "gateway_not_ready", "server_error") == (
            answer.status,
            answer.error["code"],
            answer.error["type"],
        ), path
        assert {"message", "type", "param", "code"} == set(answer.error)
        assert answer.headers["x-request-id"]
        assert "secret" not in answer.body.decode()


def test_a_request_that_comes_too_early_is_logged(unready):
    gateway, _ = unready

    answer = call(gateway.port, "GET", "/v1/models")

    (line,) = gateway.lines(answer.headers["x-request-id"])
    assert (503, "gateway_not_ready", "models") == (
        line["status"],
        line["error"],
        line["gen_ai.operation.name"],
    )


@pytest.mark.parametrize("path", ["/healthz", "/health/liveliness"])
def test_liveness_stays_200(unready, path):
    gateway, _ = unready

    assert 200 == call(gateway.port, "GET", path, key=None).status


PROBLEMS = {
    "none": ["GATEWAY_CONFIG: is not set"],
    "wrong": [
        "model_list[0].litellm_params.api_vresion: unknown key, did you mean api_version?",
        "model_list[1].litellm_params.api_base: must begin with https://",
    ],
    "closed": ["general_settings.master_key"],
    "no such file": ["document: the file cannot be read"],
    "bad setting": ["GATEWAY_MAX_BODY_BYTES: must be a number above 0"],
}


def test_the_log_lists_every_problem_once(unready):
    gateway, kind = unready
    for _ in range(3):
        call(gateway.port, "GET", "/readyz")

    assert wait_for(lambda: all(problem in gateway.log() for problem in PROBLEMS[kind]))
    assert [1] * len(PROBLEMS[kind]) == [gateway.log().count(problem) for problem in PROBLEMS[kind]]


def test_an_open_gateway_takes_any_key_or_none(host, simulator):
    document = gateway_config(simulator.url, general_settings={"allow_anonymous": True})
    with start_gateway(host, document) as gateway:
        statuses = [call(gateway.port, "GET", "/v1/models", key=key).status for key in (None, "any", KEY)]
        answer = call(
            gateway.port, "POST", "/v1/chat/completions", {"model": "gpt-4o", "messages": MESSAGES}, key=None
        )
        line = gateway.lines(answer.headers["x-request-id"])[0]

    assert ([200] * 3, "anonymous") == (statuses, line["client"])


def test_the_setting_may_hold_the_document_itself(host, simulator):
    entries = [member("gpt-4o", "deployment-default", "os.environ/UPSTREAM_URL")]
    document = json.dumps({"model_list": entries, "general_settings": {"master_key": "os.environ/MASTER"}})
    with start_gateway(host, document, UPSTREAM_URL=simulator.url, MASTER="sk-other") as gateway:
        answer = call(
            gateway.port,
            "POST",
            "/v1/chat/completions",
            {"model": "gpt-4o", "messages": MESSAGES},
            key="sk-other",
        )

    assert 200 == answer.status
