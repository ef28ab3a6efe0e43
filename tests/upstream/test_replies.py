"""Replies told apart: answers, with what they cost, and rejections."""

import asyncio
import json

import pytest
from support.samples import call, deployment
from support.scripted import NO_END, Scripted, chunk, reply, stream, then

from gateway.limits.tokens.outcome import Result
from gateway.protocol.operations import SPEECH
from gateway.protocol.usage import Usage
from gateway.upstream.client import Unreachable, Upstream
from gateway.upstream.replies import StreamedAnswer, receive
from gateway.upstream.transport import PooledTransport
from gateway.upstream.verdicts import AttemptFailed

pytestmark = pytest.mark.system


def received(step, one=None):
    """The answer to `one`, and what of its body was not read."""

    async def work():
        async with Scripted(step) as server:
            pool = Upstream(PooledTransport())
            exchange = await pool.post(server.url, {}, b"{}", silence=5)
            try:
                answer = await receive(exchange, one or call(), deployment(), hide_usage=True, now=0.0)
                rest = await exchange.read() if isinstance(answer, StreamedAnswer) else b""
            finally:
                await exchange.close()
                await pool.close()
            return answer, rest

    return asyncio.run(work())


def rejected(step, one=None):
    with pytest.raises(AttemptFailed) as caught:
        received(step, one)
    return caught.value


def test_a_json_reply_is_passed_on_byte_for_byte_with_its_usage():
    body = b'{ "id":"x", "n":1.0,\n "usage" : {"prompt_tokens":3,"completion_tokens":4} }\n'
    answer, _ = received(reply(200, body))
    assert (200, "application/json", body) == (answer.status, answer.content_type, answer.body)
    assert (Usage(3, 4), None) == (answer.usage, answer.code)


def test_a_rejection_says_whose_fault_it_is_and_when_to_come_back():
    error = rejected(reply(429, {"error": {"code": "429"}}, retry_after="7"))
    assert (Result.LIMITED, 429, "429", 7) == (
        error.result,
        error.status,
        error.code,
        error.outcome.retry_after,
    )


def test_a_refusal_is_redacted_and_keeps_its_status_and_code():
    answer, _ = received(reply(422, {"error": {"message": "dep-a", "code": "c"}}))
    assert (422, "c", {"error": {"message": "gpt", "code": "c"}}) == (
        answer.status,
        answer.code,
        json.loads(answer.body),
    )


def test_speech_is_relayed_from_its_first_piece_with_its_type_and_length():
    answer, rest = received(reply(200, b"\xff\xf3" * 50_000, content_type="audio/mpeg"), call(SPEECH))
    assert ("audio/mpeg", "100000") == (answer.content_type, answer.length)
    assert b"\xff\xf3" * 50_000 == answer.first + rest


def test_speech_without_a_length_has_none():
    answer, rest = received(NO_END + chunk(b"ab") + b"0\r\n\r\n", call(SPEECH))
    assert (None, b"ab") == (answer.length, answer.first + rest)


def test_speech_of_no_bytes_is_no_answer():
    assert Result.FAILED is rejected(reply(200, b""), call(SPEECH)).result


def test_a_stream_is_handed_on_from_its_first_event():
    answer, rest = received(stream(b"data: 1\n\n", b"data: 2\n\n"), call(stream=True))
    assert b"data: 1\n\ndata: 2\n\n" == b"".join(answer.events) + answer.splitter.rest() + rest
    assert answer.tap.hide_usage


def test_a_stream_of_one_event_that_no_empty_line_ends_is_one():
    answer, _ = received(stream(b'data: {"a":1}'), call(stream=True))
    assert ([], b'data: {"a":1}') == (answer.events, answer.splitter.rest())


@pytest.mark.parametrize("event", [b"data: [DONE]", b"data: [DONE]\n\n"])
def test_a_stream_that_is_over_before_it_began_is_no_answer(event):
    assert Result.FAILED is rejected(stream(event), call(stream=True)).result


@pytest.mark.parametrize("body", [b'{"choices":[]}', b'{"error":{"message":"x"}}', b"[]"])
def test_json_that_answers_nothing_is_no_answer(body):
    assert Result.FAILED is rejected(reply(200, body)).result


@pytest.mark.parametrize("content_type", ["application/json", "text/html; charset=utf-8"])
def test_speech_that_is_no_sound_is_no_answer(content_type):
    assert Result.FAILED is rejected(reply(200, b"{}", content_type=content_type), call(SPEECH)).result


def test_a_stream_without_a_content_type_is_one():
    step = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"data: 1\n\n") + b"0\r\n\r\n"
    answer, _ = received(step, call(stream=True))
    assert [b"data: 1\n\n"] == answer.events


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"type": "invalid_request_error", "message": "m", "code": None}, None),
        ({"type": None, "message": "filtered", "code": "content_filter"}, "content_filter"),
    ],
)
def test_a_streams_first_error_that_is_the_callers_is_a_400(error, code):
    answer, _ = received(
        stream(b"data: " + json.dumps({"error": error}).encode() + b"\n\n"), call(stream=True)
    )
    assert (400, "application/json", code) == (answer.status, answer.content_type, answer.code)
    assert {"error": error} == json.loads(answer.body)


def test_a_reply_that_breaks_off_is_neither():
    with pytest.raises(Unreachable):
        received(then(b'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"a"', "close"))


def test_a_comment_before_the_first_event_commits_to_nothing():
    error = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
    assert Result.FAILED is rejected(stream(b": waiting\n\n", error), call(stream=True)).result
    answer, _ = received(stream(b": waiting\n\n", b"data: 1\n\n"), call(stream=True))
    assert b": waiting\n\ndata: 1\n\n" == b"".join(answer.events)


def test_a_stream_under_an_odd_content_type_is_one_all_the_same():
    head = NO_END.replace(b"text/event-stream", b"application/octet-stream")
    answer, _ = received(head + chunk(b"data: 1\n\n") + b"0\r\n\r\n", call(stream=True))
    assert [b"data: 1\n\n"] == answer.events


def test_a_content_type_that_no_header_can_carry_is_left_out():
    answer, _ = received(reply(200, b"\xff\xf3", content_type="audio/m\u00fcpeg"), call(SPEECH))
    assert (None, b"\xff\xf3") == (answer.content_type, answer.first)
