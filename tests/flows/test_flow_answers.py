"""Answers and failures over the wire: what does not answer moves on, whatever its shape, and is told to nobody."""

from __future__ import annotations

import json

import pytest
from support.calls import MESSAGES, call, chat

ERROR = {"message": "Overloaded.", "type": "server_error"}
NO_ANSWERS = {
    "nothing": "{}",
    "null": '{"choices":null}',
    "a page's": '{"html-message":"<p>busy</p>"}',
    "a text": '{"error":"overloaded"}',
    "typed": json.dumps({"type": "error", "error": ERROR}),
    "an object": json.dumps({"object": "error", **ERROR}),
    "detail": '{"detail":"Not now"}',
    "status": '{"statusCode":500,"message":"Internal server error"}',
    "torn": '{"choices":[{"index":0,"message":{"role":"assistant","content":"Hel',
    "invalid": '{"choices":[{"index":00}]}',
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_a_200_without_what_the_schema_requires_moves_on(gateway, pool, name):
    model = pool.pair({"status": 200, "body": NO_ANSWERS[name]})

    answer = chat(gateway.port, model.name)

    assert (200, True, [1, 1]) == (answer.status, bool(answer.json()["choices"]), pool.counts(model))


FILTER = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{}]}
HEADS = {
    "an error": [{"error": ERROR}],
    "an error after an id": [{"id": "x", "error": ERROR}],
    "a typed error": [{"type": "error", "error": ERROR}],
    "an object": [{"object": "error", **ERROR}, "[DONE]"],
    "behind the filter's results": [FILTER, {"error": ERROR}],
    "the filter's results alone": [FILTER, "[DONE]"],
}
BEFORE = ["", "\n", "\ufeff", ": waiting\n\n", "retry: 3000\n\nid: 1\n\n", "event: ping\n\n"]


def events(*values):
    return "".join(f"data: {each if isinstance(each, str) else json.dumps(each)}\n\n" for each in values)


def stream_fault(body, content_type="text/event-stream"):
    return {"status": 200, "headers": {"content-type": content_type}, "body": body}


@pytest.mark.parametrize("name", HEADS)
def test_a_stream_that_fails_before_its_answer_begins_moves_on(gateway, pool, name):
    for before in BEFORE:
        model = pool.pair(stream_fault(before + events(*HEADS[name])))

        answer = chat(gateway.port, model.name, stream=True)

        assert (200, "[DONE]", [1, 1]) == (answer.status, answer.events[-1], pool.counts(model)), before
        assert answer.text


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"], ids=["lf", "cr", "crlf"])
@pytest.mark.parametrize("blank", [True, False])
def test_a_stream_ends_with_done_however_its_lines_end(gateway, pool, end, blank):
    body = events(TEXT, END, "[DONE]").replace("\n", end)
    body = body if blank else body.removesuffix(end)

    answer = chat(gateway.port, pool.solo(stream_fault(body)).name, stream=True)

    assert (200, body) == (answer.status, answer.body.decode())


CODES = ["DeploymentNotFound", "invalid_api_key", "rate_limit_exceeded", "ModelDeprecated"]


@pytest.mark.parametrize("code", CODES)
def test_a_streams_first_error_that_speaks_of_the_deployment_moves_on(gateway, pool, code):
    error = {"message": "deployment-0 at 127.0.0.1", "type": "invalid_request_error", "code": code}
    model = pool.pair(stream_fault(events({"error": error})))

    answer = chat(gateway.port, model.name, stream=True)

    assert (200, "[DONE]", [1, 1]) == (answer.status, answer.events[-1], pool.counts(model))


def test_a_refusal_that_repeats_a_long_request_is_the_clients(gateway, pool):
    model = pool.pair({"status": 400, "body": {"error": {"message": "Invalid role: " + "x" * 1_200_000}}})

    answer = chat(gateway.port, model.name)

    assert (400, "invalid_request_error", [1, 0]) == (
        answer.status,
        answer.error["type"],
        pool.counts(model),
    )


TEXT = {"id": "x", "error": None, "choices": [{"index": 0, "delta": {"content": "Hello"}}]}
END = {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
ASYNC = {"id": "", "choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {}}]}


@pytest.mark.parametrize("content_type", ["application/json", "text/html", "application/octet-stream"])
def test_real_events_are_a_stream_under_any_type_and_an_error_of_null_is_none(gateway, pool, content_type):
    body = events(TEXT, END, "[DONE]")
    model = pool.solo(stream_fault(body, content_type))

    answer = chat(gateway.port, model.name, stream=True)

    assert (200, body, [1]) == (answer.status, answer.body.decode(), pool.counts(model))


def test_chunks_of_the_asynchronous_filter_get_their_delta(gateway, pool):
    model = pool.solo(stream_fault(events(TEXT, ASYNC, END, ASYNC, "[DONE]")))

    chunks = chat(gateway.port, model.name, stream=True).events[:-1]

    assert [TEXT, END] == [chunks[0], chunks[2]]
    assert [{}, {}] == [chunk["choices"][0]["delta"] for chunk in (chunks[1], chunks[3])]


def test_a_stream_of_two_choices_that_ends_after_one_is_an_error(gateway, pool):
    answer = chat(gateway.port, pool.solo(stream_fault(events(TEXT, END))).name, stream=True, n=2)

    assert "upstream_error" == answer.events[-1]["error"]["code"]


def test_filter_results_stay_where_usage_is_hidden(gateway, pool):
    usage = FILTER | {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    model = pool.solo(stream_fault(events(TEXT, END, usage, "[DONE]")))

    answer = chat(gateway.port, model.name, stream=True)

    assert (FILTER, b'"usage"' in answer.body) == (answer.events[2], False)
    assert 4 == gateway.lines(answer.headers["x-request-id"])[0]["gen_ai.usage.output_tokens"]


@pytest.mark.parametrize("blank", [" " * 64, "\r\n" * 64])
def test_white_space_around_json_is_no_failure(gateway, pool, blank):
    body = blank + '{"choices":[{"index":0}]}' + blank
    model = pool.solo({"status": 200, "headers": {"content-type": "application/json"}, "body": body})

    assert (200, body) == ((answer := chat(gateway.port, model.name)).status, answer.body.decode())


def test_usage_is_not_asked_for_beside_data_sources(gateway, pool):
    model = pool.solo(stream_fault(events(TEXT, END, "[DONE]")))

    chat(gateway.port, model.name, stream=True, data_sources=[{"type": "azure_search"}])

    (entry,) = pool.log(*model.deployments)
    assert "stream_options" not in json.loads(entry["body"])


def test_a_server_that_refuses_stream_options_is_called_without(gateway, pool):
    refusal = {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}
    model = pool.solo({"status": 422, "body": refusal})

    answers = [chat(gateway.port, model.name, stream=True) for _ in range(2)]

    assert ["[DONE]", "[DONE]"] == [answer.events[-1] for answer in answers]
    sent = ["stream_options" in json.loads(entry["body"]) for entry in pool.log(*model.deployments)]
    assert [True, False, False] == sent


def test_a_refusal_tells_no_other_deployment_or_key_either(gateway, pool):
    model = pool.solo(
        {
            "status": 400,
            "body": {
                "error": {
                    "message": "Try DEPLOYMENT-V1_v1 at http://127.0.0.1/x with azure-key-of-the-operator.\n"
                    'Traceback (most recent call last):\n  File "/app/x.py", line 1',
                    "code": "bad",
                }
            },
        }
    )

    answer = chat(gateway.port, model.name)

    message = f"Try {model.name} at upstream/x with ***."
    assert (400, {"message": message, "code": "bad"}) == (answer.status, answer.error)


@pytest.mark.parametrize("key", ["model", "max_tokens", "messages"])
def test_of_a_deciding_key_that_occurs_twice_the_last_one_goes_upstream(gateway, pool, key):
    model = pool.solo()
    values = {"model": model.name, "max_tokens": 5, "messages": MESSAGES}
    first = {"model": "other", "max_tokens": 10**8, "messages": []}[key]
    body = f'{{"{key}":{json.dumps(first)},{json.dumps(values)[1:]}'

    assert 200 == call(gateway.port, "POST", "/v1/chat/completions", body.encode()).status
    (entry,) = pool.log(*model.deployments)
    assert json.dumps(values) == entry["body"]
