"""Events told apart: an answer, its end, a failure in any of the shapes that were seen, or nothing."""

import json

import pytest

from gateway.protocol.sse import DONE
from gateway.protocol.stream_events import EventKind, kind_of

ERROR = {"message": "Overloaded.", "type": "server_error"}
FAILURES = {
    "openai": {"error": ERROR},
    "after an id": {"id": "x", "choices": [], "error": ERROR},
    "a text": {"error": "Overloaded."},
    "anthropic": {"type": "error", "error": ERROR},
    "typed without error": {"type": "error", "message": "Overloaded."},
    "vllm": {"object": "error", "message": "Overloaded.", "code": 500},
    "fastapi": {"detail": "Overloaded."},
    "apim": {"statusCode": 503, "message": "Overloaded."},
    "message": {"message": "no healthy upstream"},
}


def data(value):
    return b"data: " + json.dumps(value).encode() + b"\n\n"


@pytest.mark.parametrize("shape", FAILURES)
def test_a_failure_is_one_in_every_shape(shape):
    assert EventKind.FAILURE is kind_of(data(FAILURES[shape]), None)


@pytest.mark.parametrize("shape", sorted(set(FAILURES) - {"message", "fastapi", "apim"}))
def test_a_failure_of_speech_too(shape):
    assert EventKind.FAILURE is kind_of(data(FAILURES[shape]), b"speech.audio.")


@pytest.mark.parametrize(
    "event",
    [b'event: error\ndata: {"message":"x"}\n\n', b': x\nretry: 3\ndata: {\ndata: "error":{"a":1}}\n\n'],
)
def test_a_failure_is_one_in_every_form_of_event(event):
    assert EventKind.FAILURE is kind_of(event, None)


@pytest.mark.parametrize("none", [None, {}, "", False])
def test_an_error_of_null_is_none(none):
    chunk = {"error": none, "choices": [{"index": 0, "delta": {"role": "assistant"}}]}
    assert EventKind.ANSWER is kind_of(data(chunk), None)


def test_an_error_within_filter_results_is_not_the_streams():
    results = {"error": {"code": "content_filter_error"}}
    chunk = {"choices": [{"delta": {"content": "a"}, "content_filter_results": results}]}
    assert EventKind.ANSWER is kind_of(data(chunk), None)


@pytest.mark.parametrize(
    "choice",
    [{"delta": {}}, {"text": "a"}, {"text": ""}, {"finish_reason": "content_filter"}],
    ids=["chat", "text", "empty text", "blocked"],
)
def test_a_choice_that_says_something_or_ends_is_an_answer(choice):
    assert EventKind.ANSWER is kind_of(data({"choices": [choice]}), None)


@pytest.mark.parametrize(
    "value",
    [
        {"choices": [], "id": "", "prompt_filter_results": [{}]},
        {"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {}}]},
        {"choices": None},
        {"choices": {}},
        {},
        1,
    ],
)
def test_what_neither_answers_nor_fails_stands_aside(value):
    assert EventKind.ASIDE is kind_of(data(value), None)


def test_speech_answers_with_its_own_types():
    assert EventKind.ANSWER is kind_of(data({"type": "speech.audio.delta"}), b"speech.audio.")
    assert EventKind.ASIDE is kind_of(data({"type": "other"}), b"speech.audio.")


@pytest.mark.parametrize("event", [DONE, b"data:[DONE]\r\n\r\n", b"id: 1\ndata: [DONE]"])
def test_done_ends_a_stream(event):
    assert EventKind.DONE is kind_of(event, None)


@pytest.mark.parametrize(
    "event", [b"\n", b": x\n\n", b"retry: 1\nid: 2\n\n", b"event: ping\n\n", b"data:  \n\n"]
)
def test_an_event_without_data_is_nothing(event):
    assert EventKind.NOTHING is kind_of(event, None)
