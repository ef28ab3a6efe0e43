"""Answers as objects, and errors as exceptions: what scripts do with them."""

from __future__ import annotations

import ast
import copy
import importlib.util
import json
import pickle
from pathlib import Path

import pytest

from gateway import exceptions
from gateway.exceptions import ErrorResponse
from gateway.sdk.audio import SpeechAudio
from gateway.sdk.failures import status_error
from gateway.sdk.objects import Result
from gateway.sdk.results import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatMessage,
    EmbeddingList,
    ToolCall,
)

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Grüße", "own": {"deep": [{"a": 1}]}},
            "content_filter_results": {"hate": {"filtered": False}},
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def test_fields_are_attributes_and_items_at_every_depth():
    answer = ChatCompletion(ANSWER)

    assert "Grüße" == answer.choices[0].message.content == answer["choices"][0]["message"]["content"]
    assert (1, False) == (
        answer.choices[0].message.own.deep[0].a,
        answer.choices[0].content_filter_results.hate["filtered"],
    )
    assert (3, "none") == (answer.get("usage").total_tokens, answer.get("absent", "none"))


def test_objects_within_are_the_same_however_they_are_asked_for():
    def own():
        return ChatCompletion({**ANSWER, "own": {"a": [{"b": 1}], "plain": [[1], [2]]}})

    ways = [
        lambda answer: answer.own,
        lambda answer: answer["own"],
        lambda answer: answer.get("own"),
        lambda answer: dict(answer.items())["own"],
        lambda answer: list(answer.values())[-1],
        lambda answer: answer.pop("own"),
        lambda answer: answer.copy().own,
    ]
    for way in ways:
        assert (Result, 1) == (type(way(own())), way(own()).a[0].b)
    answer = own()
    answer.own.a[0].b = 2
    answer.own.plain[0].append(3)
    assert ({"a": [{"b": 2}], "plain": [[1, 3], [2]]}, answer.own) == (answer["own"], answer.own)
    assert {dict} == {type(each) for each in (answer.model_dump()["own"], answer.model_dump()["own"]["a"][0])}


def test_what_the_api_may_leave_out_is_none_and_anything_else_is_missing():
    message = ChatMessage(role="assistant")

    assert (None, None, None) == (message.tool_calls, message["tool_calls"], message.content)
    assert ("tool_calls" in message, hasattr(message, "anything")) == (False, False)
    with pytest.raises(KeyError):
        message["anything"]


def test_tool_calls_are_objects():
    message = ChatMessage(role="assistant", content=None, tool_calls=[CALL])

    assert (ToolCall, "weather") == (type(message.tool_calls[0]), message.tool_calls[0].function.name)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, copy.copy, lambda value: pickle.loads(pickle.dumps(value))],  # noqa: S301
)
def test_copies_are_equal_and_of_the_same_classes(copied):
    answer = ChatCompletion(ANSWER)
    again = copied(answer)

    assert (answer, ChatCompletion, ChatMessage) == (again, type(again), type(again.choices[0].message))


def test_a_deep_copy_shares_nothing():
    answer = ChatCompletion(ANSWER)
    copy.deepcopy(answer).choices[0].message.content = "other"

    assert ANSWER == answer


def test_dumps_are_plain_and_complete():
    answer = ChatCompletion(ANSWER)
    plain = answer.model_dump()

    assert ANSWER == plain == json.loads(answer.model_dump_json()) == json.loads(json.dumps(answer))
    assert {dict} == {type(each) for each in (plain, plain["choices"][0], plain["choices"][0]["message"])}
    assert plain == answer.json() == answer.dict() == answer.to_dict() == json.loads(answer.to_json())
    assert {dict} == {type(answer.choices[0].message.json()), type(answer.usage.dict())}
    assert {"id": "chatcmpl-1"} == answer.model_dump(include={"id"})
    assert "content" not in ChatMessage(role="assistant", content=None).model_dump(exclude_none=True)


def test_fields_may_be_changed_and_taken_away():
    message = ChatMessage(role="assistant")
    message.content = "x"
    message["own"] = {"a": 1}
    del message.role

    assert ({"content": "x", "own": {"a": 1}}, 1) == (message, message.own.a)
    with pytest.raises(AttributeError):
        del message.role


def test_str_shows_the_content_and_repr_fits_a_notebook():
    long = "word " * 10_000
    chat = ChatCompletion(choices=[{"index": 0, "message": {"role": "assistant", "content": long}}])
    vectors = EmbeddingList(data=[{"index": 0, "embedding": [0.25] * 3072}] * 50)

    assert long in str(chat)
    assert (True, True) == (len(repr(chat)) < 1000, len(repr(vectors)) < 1000)
    assert "Grüße" in repr(ChatCompletion(ANSWER))


def test_lists_of_numbers_are_not_copied():
    numbers = [0.5] * 10

    assert numbers is EmbeddingList(data=[{"embedding": numbers}]).data[0].embedding


def test_chunks_have_deltas():
    chunk = ChatCompletionChunk(choices=[{"index": 0, "delta": {}, "finish_reason": None}])

    assert (None, None) == (chunk.choices[0].delta.content, chunk.usage)


def test_an_object_takes_any_fields():
    assert {"a": 1, "b": {"c": 2}} == (Result(a=1) | {"b": {"c": 2}})


def test_sound_is_shown_by_its_size():
    assert "SpeechAudio(3 bytes, audio/mpeg)" == repr(SpeechAudio(b"abc", {"content-type": "audio/mpeg"}))


BASES = {
    "APIError": "OpenAIError",
    "APIStatusError": "APIError",
    "APIConnectionError": "APIError",
    "APITimeoutError": "APIConnectionError",
    "BadRequestError": "APIStatusError",
    "AuthenticationError": "APIStatusError",
    "PermissionDeniedError": "APIStatusError",
    "NotFoundError": "APIStatusError",
    "ConflictError": "APIStatusError",
    "UnprocessableEntityError": "APIStatusError",
    "RateLimitError": "APIStatusError",
    "InternalServerError": "APIStatusError",
    "UnsupportedParamsError": "BadRequestError",
    "ContextWindowExceededError": "BadRequestError",
    "ContentPolicyViolationError": "BadRequestError",
}


@pytest.fixture(scope="module")
def openais():
    """The bases of openai-python's errors, read from its source: to import it takes a second."""
    package = importlib.util.find_spec("openai")
    if package is None:
        pytest.skip("openai is not installed")
    source = Path(package.origin).with_name("_exceptions.py").read_text()
    return {
        each.name: ast.unparse(each.bases[0])
        for each in ast.parse(source).body
        if isinstance(each, ast.ClassDef) and each.bases
    }


@pytest.mark.parametrize("name", BASES)
def test_names_and_bases_are_openais(name, openais):
    kind = getattr(exceptions, name)

    assert BASES[name] == kind.__mro__[1].__name__
    assert BASES[name] == openais.get(name, BASES[name])
    assert "RateLimitError" in openais
    # Our own code never imports openai: an error of ours is none of its classes.
    assert {"gateway", "builtins"} == {each.__module__.partition(".")[0] for each in kind.__mro__}


def test_an_error_survives_pickling_with_all_it_says():
    body = b'{"error":{"message":"Slow down.","code":"429","param":"x","type":"requests"}}'
    error = pickle.loads(pickle.dumps(status_error(429, {"Retry-After": "3", "X-Request-Id": "r"}, body)))  # noqa: S301

    assert (exceptions.RateLimitError, "Slow down.", 429) == (type(error), str(error), error.status_code)
    assert ("429", "x", "requests", "r") == (error.code, error.param, error.type, error.request_id)
    assert ("3", "3", True) == (
        error.response.headers["retry-after"],
        error.response.headers.get("RETRY-AFTER"),
        "Retry-After" in error.response.headers,
    )
    assert "Slow down." == error.response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("status", "body", "name", "text"),
    [
        (408, b"", "APITimeoutError", "status 408"),
        (418, b"tea", "APIStatusError", "tea"),
        (502, b"<html>", "InternalServerError", "<html>"),
        (400, b'{"error":{"code":"unsupported_parameter","message":"No."}}', "UnsupportedParamsError", "No."),
        (401, b'{"statusCode":401,"message":"Access denied"}', "AuthenticationError", "Access denied"),
        (500, b'{"error":"broken"}', "InternalServerError", "broken"),
    ],
)
def test_any_reply_becomes_an_exception(status, body, name, text):
    error = status_error(status, {}, body)

    assert (name, text, status) == (type(error).__name__, str(error), error.status_code)


def test_tests_may_raise_errors_as_litellm_has_them():
    by_place = exceptions.RateLimitError("Slow down.", "azure", "gpt-4o")
    by_name = exceptions.RateLimitError(
        message="Slow down.", llm_provider="azure", model="gpt-4o", num_retries=2
    )

    for error in (by_place, pickle.loads(pickle.dumps(by_name))):  # noqa: S301
        assert ("Slow down.", "azure", "gpt-4o", 429) == (
            str(error),
            error.llm_provider,
            error.model,
            error.status_code,
        )
    assert None is status_error(500, {}, b"").llm_provider


def test_timeout_catches_what_openai_names_differently():
    assert exceptions.Timeout is exceptions.APITimeoutError
    caught = (exceptions.ServiceUnavailableError, exceptions.BadGatewayError)
    assert (True, True) == tuple(isinstance(status_error(503, {}, b""), each) for each in caught)
    assert "<ErrorResponse [404]>" == repr(ErrorResponse(404))
