"""The log: one JSON line for each request, and never anything of its content."""

from __future__ import annotations

import pytest
from support.calls import KEY, call, chat


def test_no_content_and_no_key_is_ever_logged(gateway, pool):
    marks = ["prompt-mark-7391", "answer-mark-2284", "name-mark-5512"]
    bad = {"status": 400, "body": {"error": {"message": marks[1], "type": "invalid_request_error"}}}
    good = {"status": 200, "body": {"choices": [{"message": {"content": marks[1]}}]}}
    for fault in (bad, good, {"status": 500, "body": marks[1], "times": 0}):
        body = {"messages": [{"role": "user", "content": marks[0]}], "user": marks[2]}
        model = pool.pair(fault)
        answer = call(gateway.port, "POST", "/v1/chat/completions", body | {"model": model.name})
        assert gateway.lines(answer.headers["x-request-id"])
    call(gateway.port, "POST", "/v1/chat/completions", b'{"prompt-mark-7391')
    call(gateway.port, "GET", f"/v1/models?key={KEY}", key="wrong-key-mark")

    log = gateway.log()

    assert [] == [mark for mark in [*marks, KEY, "wrong-key-mark", "key-of-the-operator"] if mark in log]


def test_what_upstream_says_forges_no_line_and_fills_no_log(gateway, pool):
    mark = "FORGED-8812"
    codes = [f"a\n{mark}", f"\x1b[2J{mark}\u2028{mark}\x85", f"\0{mark}\ufeff", mark * 1000]
    for code in codes:
        for status in (400, 500):
            error = {"code": code, "type": [code], "message": code, "param": {"a": code}}
            model = pool.pair({"status": status, "body": {"error": error}})
            answer = chat(gateway.port, model.name)
            assert gateway.lines(answer.headers["x-request-id"])

    found = [line for line in gateway.log().split("\n") if mark in line]

    assert len(found) >= 2 * len(codes)
    for line in found:
        assert line.isprintable()
        assert 20 >= line.count(mark)
        assert "request_id" in line or "failed, status 500, code " in line


def test_every_request_is_logged_once_with_what_happened(gateway, pool):
    model = pool.pair({"status": 503})

    answer = chat(gateway.port, model.name)

    (line,) = gateway.lines(answer.headers["x-request-id"])
    assert {
        "gen_ai.operation.name": "chat",
        "client": "master",
        "gen_ai.request.model": model.name,
        "deployment": f"{model.name}#2",
        "stream": False,
        "status": 200,
        "error": None,
        "gen_ai.usage.input_tokens": answer.json()["usage"]["prompt_tokens"],
        "gen_ai.usage.output_tokens": answer.json()["usage"]["completion_tokens"],
        "attempts": 2,
    } == {name: value for name, value in line.items() if not name.endswith("_ms") and name != "request_id"}
    assert 0 <= line["own_ms"] <= line["first_byte_ms"] <= line["duration_ms"]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/models", None, {"gen_ai.operation.name": "models", "status": 200, "attempts": 0}),
        ("/v1/chat/completions", b"{", {"status": 400, "attempts": 0, "deployment": None}),
        ("/v1/chat/completions", {"model": "none"}, {"status": 404, "error": "model_not_found"}),
        ("/v1/chat/completions", None, {"status": 405, "error": "method_not_allowed", "client": None}),
        ("/v1/nothing", None, {"status": 404, "error": "unknown_url", "gen_ai.operation.name": None}),
    ],
)
def test_requests_that_never_reach_upstream_are_logged_too(gateway, path, body, expected):
    answer = call(gateway.port, "GET" if body is None else "POST", path, body)

    (line,) = gateway.lines(answer.headers["x-request-id"])
    assert expected == {name: line[name] for name in expected}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_probes_are_not_logged(gateway, path):
    probe = call(gateway.port, "GET", path, headers={"x-request-id": "probe-4413"})
    other = call(gateway.port, "GET", "/v1/models")

    assert (200, "probe-4413") == (probe.status, probe.headers["x-request-id"])
    assert gateway.lines(other.headers["x-request-id"])
    assert "probe-4413" not in gateway.log()


def test_a_stream_is_logged_when_it_is_over(gateway, pool):
    answer = chat(gateway.port, "slow", stream=True)

    (line,) = gateway.lines(answer.headers["x-request-id"])
    assert (True, 200, None) == (line["stream"], line["status"], line["error"])
    assert line["duration_ms"] > line["first_byte_ms"] > line["own_ms"]
