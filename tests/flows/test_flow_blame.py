"""What a client sees of a fault that is its request's own, and that nobody else sees anything of it."""

from __future__ import annotations

import pytest
from support.calls import chat

pytestmark = pytest.mark.system


def said(status, message, code=None, kind=None):
    return {
        "status": status,
        "body": {"error": {"message": message, "type": kind, "param": None, "code": code}},
        "times": 0,
    }


#: A fault that every deployment answers with, the client's status, and what it is told (None: nothing of it).
FAULTS = {
    "a tier": (said(429, "No capacity for the flex tier.", "resource_unavailable"), 429, "No capacity"),
    "a parameter": (said(403, "The parameter 'logprobs' is not allowed."), 403, "'logprobs' is not allowed"),
    "a file": (said(404, "No such File object: file-1", "not_found"), 404, "file-1"),
    "a key": (said(401, "Access denied due to invalid subscription key.", "401"), 502, None),
    "a version": (said(400, "API version not supported", "BadRequest"), 502, None),
    "words of ours": (said(400, "Unknown parameter: 'API version not supported'."), 400, "Unknown parameter"),
    "a prompt": (
        said(500, "The model produced invalid content. Consider modifying your prompt.", None, "model_error"),
        500,
        "invalid content",
    ),
    "a failure": (said(500, "The server had an error.", None, "server_error"), 502, None),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_fails_everywhere_fails_alone(gateway, pool, name, stream):
    fault, status, told = FAULTS[name]
    model = pool.pair(fault)
    pool.simulator.fault(model.deployments[1], fault)
    for _ in range(7):
        answer = chat(gateway.port, model.name, stream=stream)
        assert status == answer.status
        assert (told or "upstream service failed") in answer.error["message"]
    for deployment in model.deployments:
        pool.simulator.fault(deployment)

    assert 200 == chat(gateway.port, model.name, stream=stream).status
    assert pool.counts(model)[0] == 8


@pytest.mark.parametrize(
    ("body", "kind"),
    [(said(429, "No capacity.", kind="flex_error")["body"], "flex_error"), ("slow down", "requests")],
)
def test_a_429_that_is_the_requests_own_names_a_wait_as_every_other(gateway, pool, body, kind):
    fault = {"status": 429, "body": body, "times": 0}
    model = pool.pair(fault)
    pool.simulator.fault(model.deployments[1], fault)

    answer = chat(gateway.port, model.name)

    assert (429, "10", "10000") == (
        answer.status,
        answer.headers["retry-after"],
        answer.headers["retry-after-ms"],
    )
    assert kind == answer.error["type"]


def test_calls_whose_max_tokens_upstream_refuses_use_nothing_up(gateway, pool):
    model = pool.pair(said(400, "max_tokens is too large: 100000000.", "invalid_value"))
    for _ in range(7):
        assert 400 == chat(gateway.port, model.name, max_tokens=100_000_000).status
    pool.simulator.fault(model.deployments[0])

    assert 200 == chat(gateway.port, model.name).status
    assert [8, 0] == pool.counts(model)
