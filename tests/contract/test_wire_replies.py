"""Replies that clients would stumble over: made readable, or given up for the next deployment's."""

from __future__ import annotations

import json
import re

import pytest
from support.calls import MESSAGES, call, chat

WITHHELD = [{"role": "user", "content": "[[filter-out-bare:violence]]"}]
#: LangChain takes a 429 with one of these in its message for hopeless, whatever its headers say.
HOPELESS = re.compile(
    r"billing|quota|credit balance|out of credits|will reset at|exceeded your|insufficient", re.IGNORECASE
)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/deployments/gpt-4o/chat/completions"])
def test_a_withheld_answer_without_a_message_gets_one(gateway, path):
    answer = call(gateway.port, "POST", path, {"model": "gpt-4o", "messages": WITHHELD})

    (choice,) = answer.json()["choices"]
    assert (200, "content_filter") == (answer.status, choice["finish_reason"])
    assert {"role": "assistant", "content": None} == choice["message"]
    assert choice["content_filter_results"]["violence"]["filtered"]


SHAPES = {
    "flat": ({"statusCode": 400, "message": "Too odd."}, "Too odd."),
    "detail": ({"detail": "Too odd."}, "Too odd."),
    "string": ({"error": "Too odd."}, "Too odd."),
    "title": ({"type": "about:blank", "title": "Too odd.", "status": 400}, "Too odd."),
    "errors": ({"errors": [{"message": "Too odd."}]}, "Too odd."),
    "fields": (
        {"detail": [{"loc": ["body", "messages", 0], "msg": "Too odd."}, {"msg": "No."}]},
        "body.messages.0: Too odd.; No.",
    ),
    "no message": ({"error": {"message": None}}, None),
    "list": ([1], None),
    "page": ("<html>Too odd.</html>", None),
    "empty": ("", None),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_of_another_shape_is_put_into_openais(gateway, pool, shape, status):
    body, message = SHAPES[shape]
    model = pool.solo({"status": status, "body": body})

    answer = chat(gateway.port, model.name)

    assert (status, "application/json", [1]) == (
        answer.status,
        answer.headers["content-type"],
        pool.counts(model),
    )
    assert {
        "message": message or "The model's upstream service refused the request.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    } == answer.error


def test_a_refusal_with_more_than_openais_keys_keeps_its_bytes(gateway, pool):
    body = b'{"error":{"message":"No.","code":400,"innererror":{"x":1.0}},"more":true}'

    answer = chat(gateway.port, pool.solo({"status": 400, "body": body.decode()}).name)

    assert (400, body) == (answer.status, answer.body)


NO_ANSWERS = {
    "no choices": {"status": 200, "body": {"id": "x", "choices": [], "usage": {}}},
    "an error": {"status": 200, "body": {"error": {"message": "No."}}},
    "a list": {"status": 200, "body": []},
    "empty": {"status": 200, "body": ""},
    "a page": {"preset": "bad_gateway_html"},
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_a_200_that_answers_nothing_is_never_passed_on(gateway, pool, name):
    model = pool.pair(NO_ANSWERS[name])

    answer = chat(gateway.port, model.name)

    assert (200, True, [1, 1]) == (answer.status, bool(answer.json()["choices"]), pool.counts(model))


def test_a_stream_that_is_over_before_it_began_is_never_passed_on(gateway, pool):
    fault = {"status": 200, "headers": {"content-type": "text/event-stream"}, "body": "data: [DONE]\n\n"}
    model = pool.pair(fault)

    answer = chat(gateway.port, model.name, stream=True)

    assert (200, True, [1, 1]) == (answer.status, bool(answer.text), pool.counts(model))


def test_a_page_in_place_of_audio_is_never_passed_on(gateway, simulator):
    for body in ("<html>login</html>", json.dumps({"error": {"message": "No."}})):
        kind = "text/html" if body.startswith("<") else "application/json"
        fault = {"status": 200, "headers": {"content-type": kind}, "body": body, "times": 0}
        simulator.fault("deployment-octets", fault)

        answer = call(
            gateway.port, "POST", "/v1/audio/speech", {"model": "octets", "voice": "alloy", "input": "x"}
        )

        simulator.fault("deployment-octets")
        assert 500 < answer.status < 600


def test_a_limits_text_lets_every_client_come_back(gateway, pool):
    quota = {
        "error": {"message": "You exceeded your current quota, check billing.", "code": "insufficient_quota"}
    }
    model = pool.solo({"status": 429, "body": quota, "headers": {"retry-after": "3"}, "times": 0})

    answer = chat(gateway.port, model.name)

    assert (429, None) == (answer.status, HOPELESS.search(answer.error["message"]))
    assert (answer.headers["retry-after"], "000") == (
        answer.headers["retry-after-ms"][:-3],
        answer.headers["retry-after-ms"][-3:],
    )


def test_an_integer_or_missing_retry_after_never_reaches_a_client_as_zero(gateway, pool):
    waits = [{}, {"retry-after": "0"}, {"retry-after-ms": "0"}, {"retry-after": "1", "retry-after-ms": "0"}]
    for headers in waits:
        answer = chat(gateway.port, pool.solo({"status": 429, "headers": headers, "times": 0}).name)

        assert (429, True) == (answer.status, 1 <= int(answer.headers["retry-after"]) <= 60), headers


def test_replies_are_never_compressed_or_redirected(gateway, pool):
    asks = {"accept-encoding": "gzip, br"}
    plain = chat(gateway.port, "gpt-4o", headers=asks)
    stream = chat(gateway.port, "gpt-4o", headers=asks, stream=True)

    assert [None, None] == [answer.headers["content-encoding"] for answer in (plain, stream)]
    model = pool.pair({"preset": "redirect"})
    assert (200, [1, 1]) == (chat(gateway.port, model.name).status, pool.counts(model))


def test_a_client_that_asks_for_an_answer_of_one_large_event_gets_it(gateway, pool):
    text = "\u00e9\u4e16" * 50_000
    chunk = {"id": "x", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}
    events = f"data: {json.dumps(chunk, ensure_ascii=False)}\n\ndata: [DONE]\n\n"
    model = pool.solo(
        {"status": 200, "headers": {"content-type": "text/event-stream"}, "body": events, "write_size": 1000}
    )

    answer = chat(gateway.port, model.name, messages=MESSAGES, stream=True)

    assert (text, "[DONE]") == (answer.text, answer.events[-1])
