"""Replies told apart: answers, with what they cost, and rejections."""

import asyncio
import gzip
import json
import zlib

import pytest
from support.samples import call, expected
from support.scripted import NO_END, Scripted, chunk, reply, stream, then

from gateway.limits.tokens.outcome import Result
from gateway.protocol.operations import SPEECH
from gateway.protocol.usage import Usage
from gateway.upstream.answers import StreamedAnswer
from gateway.upstream.client import Upstream
from gateway.upstream.coding import LONGEST
from gateway.upstream.failures import TooLong, Torn, Unreachable
from gateway.upstream.replies import LONGEST_HEAD, receive
from gateway.upstream.verdicts import AttemptFailed

pytestmark = pytest.mark.system

ONE = b'data: {"choices":[{"delta":{"content":"1"}}]}\n\n'
TWO = b'data: {"choices":[{"delta":{"content":"2"}}]}\n\n'


def received(step, one=None):
    """The answer to `one`, and what of its body was not read."""

    async def work():
        async with Scripted(step) as server:
            pool = Upstream()
            exchange = await pool.post(server.url, {}, b"{}", silence=5)
            try:
                answer = await receive(exchange, expected(one or call(), hide_usage=True), 0.0)
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
    body = b'{ "choices":[{}], "id":"x", "n":1.0,\n "usage" : {"prompt_tokens":3,"completion_tokens":4} }\n'
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


@pytest.mark.parametrize(
    ("step", "result", "wait"),
    [
        (reply(429, b"x", content_encoding="br", retry_after="7"), Result.LIMITED, 7),
        (reply(429, b"x" * 1_100_000, retry_after="7"), Result.LIMITED, 7),
        (reply(404, b"no gzip", content_encoding="gzip"), Result.OPERATION, None),
    ],
)
def test_a_refusal_that_cannot_be_read_is_judged_by_its_head(step, result, wait):
    error = rejected(step)
    assert (result, wait) == (error.result, error.outcome.retry_after)


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


@pytest.mark.parametrize(("zeros", "length"), [(14, "0" * 14 + "100000"), (15, None), (5000, None)])
def test_a_length_with_more_digits_than_lengths_have_is_not_handed_on(zeros, length):
    head = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: %s100000\r\n\r\n" % (b"0" * zeros)
    answer, rest = received(head + b"\xff\xf3" * 50_000, call(SPEECH))
    assert (length, 100_000) == (answer.length, len(answer.first + rest))


def test_speech_of_no_bytes_is_no_answer():
    assert Result.FAILED is rejected(reply(200, b""), call(SPEECH)).result


def test_a_stream_is_handed_on_from_its_first_event():
    answer, rest = received(stream(ONE, TWO), call(stream=True))
    assert ONE + TWO == b"".join(answer.events) + answer.splitter.rest() + rest
    assert answer.tap.hide_usage


def test_a_stream_of_one_event_that_no_empty_line_ends_is_one():
    answer, _ = received(stream(b'data: {"choices":[{"delta":{}}]}'), call(stream=True))
    assert ([], b'data: {"choices":[{"delta":{}}]}') == (answer.events, answer.splitter.rest())


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
    step = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(ONE) + b"0\r\n\r\n"
    answer, _ = received(step, call(stream=True))
    assert [ONE] == answer.events


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


V1 = "Could not find an existing deployment to match the model in the request."


@pytest.mark.parametrize(
    ("error", "result", "certain"),
    [
        ({"code": "DeploymentNotFound", "message": "m"}, Result.OPERATOR, True),
        ({"code": None, "message": V1}, Result.OPERATOR, True),
        ({"code": "ModelDeprecated", "message": "m"}, Result.OPERATOR, True),
        (
            {"code": "invalid_api_key", "message": "Incorrect API key provided: upstream-key"},
            Result.OPERATOR,
            False,
        ),
        ({"code": "404", "message": "Resource not found"}, Result.OPERATION, False),
        ({"code": "rate_limit_exceeded", "message": "m"}, Result.LIMITED, True),
        ({"code": "RateLimitReached", "message": "m"}, Result.LIMITED, True),
        ({"code": None, "type": "server_error", "message": "m"}, Result.FAILED, True),
    ],
)
def test_a_streams_first_error_that_speaks_of_the_deployment_moves_on(error, result, certain):
    event = b"data: " + json.dumps({"error": {"type": "invalid_request_error"} | error}).encode() + b"\n\n"
    failed = rejected(stream(event), call(stream=True))
    assert (result, certain) == (failed.result, failed.outcome.certain)


def test_a_first_error_nested_as_deep_as_a_parser_takes_is_a_failure_like_others():
    """Where it can just be read, it cannot be written again."""
    for depth in range(900, 1010, 2):
        nested = b"[" * depth + b"]" * depth
        step = stream(b'data: {"error":{"type":"invalid_request_error","message":"x","a":%b}}\n\n' % nested)
        try:
            assert 400 == received(step, call(stream=True))[0].status
        except AttemptFailed as failed:
            assert Result.FAILED is failed.result  # noqa: PT017 - either is right


def test_a_reply_that_breaks_off_is_neither():
    with pytest.raises(Unreachable):
        received(then(b'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"a"', "close"))


def test_a_comment_before_the_first_event_commits_to_nothing():
    error = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
    assert Result.FAILED is rejected(stream(b": waiting\n\n", error), call(stream=True)).result
    answer, _ = received(stream(b": waiting\n\n", ONE), call(stream=True))
    assert b": waiting\n\n" + ONE == b"".join(answer.events)


def test_a_stream_under_an_odd_content_type_is_one_all_the_same():
    head = NO_END.replace(b"text/event-stream", b"application/octet-stream")
    answer, _ = received(head + chunk(ONE) + b"0\r\n\r\n", call(stream=True))
    assert [ONE] == answer.events


def test_a_content_type_that_no_header_can_carry_is_left_out():
    answer, _ = received(reply(200, b"\xff\xf3", content_type="audio/m\u00fcpeg"), call(SPEECH))
    assert (None, b"\xff\xf3") == (answer.content_type, answer.first)


FAILURE = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
FILTER = b'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{}]}\n\n'
BEFORE = {
    "a blank line": b"\n",
    "blank lines": b"\n\n\n\n",
    "a byte order mark": b"\xef\xbb\xbf",
    "a comment": b": waiting\n\n",
    "a comment line": b": waiting\n",
    "retry": b"retry: 3000\n\n",
    "id": b"id: 1\n\n",
    "a ping": b"event: ping\n\n",
    "a ping with data": b'event: ping\ndata: {"type":"ping"}\n\n',
    "empty data": b"data:\n\n",
    "filter results": FILTER,
    "all of it": b"\xef\xbb\xbf\r\n\r\n: x\r\n\r\nretry: 1\r\n\r\n" + FILTER,
}


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("torn", [False, True])
def test_a_failure_is_one_whatever_came_before_it(name, torn):
    before = BEFORE[name]
    pieces = [bytes([byte]) for byte in before + FAILURE] if torn else [before + FAILURE]
    assert Result.FAILED is rejected(stream(*pieces), call(stream=True)).result


@pytest.mark.parametrize("name", BEFORE)
def test_an_answer_is_one_whatever_came_before_it(name):
    answer, rest = received(stream(BEFORE[name], ONE, TWO), call(stream=True))
    assert (b"".join(answer.events) + answer.splitter.rest() + rest).endswith(ONE + TWO)


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b""])
def test_a_stream_that_ends_without_an_answer_is_none(name, end):
    assert Result.FAILED is rejected(stream(BEFORE[name] + end), call(stream=True)).result


def test_a_stream_that_never_becomes_an_answer_is_given_up():
    error = rejected(stream(*[FILTER * 1000] * 20, ONE), call(stream=True))
    assert (Result.FAILED, "empty") == (error.result, error.code)


def test_the_event_that_is_an_answer_may_end_a_megabyte():
    before = FILTER + b":" * (LONGEST_HEAD - len(FILTER) - 2 - len(ONE)) + b"\n\n"
    answer, _ = received(stream(before, ONE), call(stream=True))
    assert [FILTER, before[len(FILTER) :], ONE] == answer.events


def test_behind_more_than_a_megabyte_no_answer_is_waited_for():
    before = FILTER + b":" * (LONGEST_HEAD - len(FILTER) - 1) + b"\n\n"
    error = rejected(then(NO_END + chunk(before), "hang"), call(stream=True))
    assert (Result.FAILED, "empty") == (error.result, error.code)


@pytest.mark.parametrize(("blanks", "answers"), [(LONGEST_HEAD - 1, True), (LONGEST_HEAD, False)])
def test_sound_may_begin_behind_less_than_a_megabyte_of_blanks(blanks, answers):
    before = b"\f" * blanks
    step = then(NO_END + chunk(before), *([chunk(b"\1\2"), b"0\r\n\r\n"] if answers else ["hang"]))
    if answers:
        answer, rest = received(step, call(SPEECH))
        assert before + b"\1\2" == answer.first + rest
    else:
        assert Result.FAILED is rejected(step, call(SPEECH)).result


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_coded_reply_is_decoded_up_to_its_bound(monkeypatch, coding):
    monkeypatch.setattr("gateway.upstream.coding.LONGEST", 5_000)
    for size, passes in ((5_000, True), (5_001, False)):
        body = b'{"choices":[{}]}'.ljust(size)
        coded = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
        step = reply(200, coded, content_encoding=coding)
        if passes:
            assert body == received(step)[0].body
        else:
            with pytest.raises(Torn):
                received(step)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "error": {"type": "invalid_request_error", "message": "m"}},
        {"object": "error", "type": "invalid_request_error", "message": "m"},
        {"id": "x", "error": {"type": "invalid_request_error", "message": "m"}},
    ],
)
def test_the_callers_error_is_a_400_in_every_shape(event):
    answer, _ = received(stream(FILTER, b"data: " + json.dumps(event).encode() + b"\n\n"), call(stream=True))
    assert (400, "m") == (answer.status, json.loads(answer.body)["error"]["message"])


@pytest.mark.parametrize("content_type", ["application/json", "text/html", "text/plain; charset=utf-8"])
def test_events_are_events_whatever_their_type_says(content_type):
    head = NO_END.replace(b"text/event-stream", content_type.encode())
    answer, _ = received(head + chunk(ONE) + b"0\r\n\r\n", call(stream=True))
    assert [ONE] == answer.events


@pytest.mark.parametrize("blank", [b" " * 64, b"\r\n" * 100])
def test_white_space_around_json_is_passed_on(blank):
    body = blank + b'{"choices":[{}]}' + blank
    assert body == received(reply(200, body))[0].body


def test_a_byte_order_mark_before_json_is_taken_away():
    assert b'{"choices":[{}]}' == received(reply(200, b'\xef\xbb\xbf{"choices":[{}]}'))[0].body


def test_an_object_in_place_of_sound_is_no_answer_whatever_its_type_says():
    step = reply(200, b'{"error":{"message":"x"}}', content_type="audio/mpeg")
    assert Result.FAILED is rejected(step, call(SPEECH)).result


def deflated(data):
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(data) + squeezer.flush()


BODY = b'{"choices":[{"x":"' + b"y" * 3_000_000 + b'"}]}'


@pytest.mark.parametrize(
    ("coding", "encode"),
    [("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress), ("deflate", deflated)],
)
def test_a_coded_reply_is_decoded(coding, encode):
    assert BODY == received(reply(200, encode(BODY), content_encoding=coding))[0].body
    sound = b"\xff\xf3" * 50_000
    answer, rest = received(
        reply(200, encode(sound), content_type="audio/mpeg", content_encoding=coding), call(SPEECH)
    )
    # The declared length is that of the coded bytes.
    assert (sound, None) == (answer.first + rest, answer.length)


def test_a_coded_stream_is_decoded_as_it_comes():
    squeezer = zlib.compressobj(wbits=31)
    pieces = [squeezer.compress(event) + squeezer.flush(zlib.Z_SYNC_FLUSH) for event in (ONE, TWO)]
    head = NO_END.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
    step = then(head + chunk(pieces[0]), 0.05, chunk(pieces[1] + squeezer.flush()) + b"0\r\n\r\n")
    answer, rest = received(step, call(stream=True))
    assert ([ONE], TWO) == (answer.events, rest)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("br", b"x"),
        ("zstd", b"x"),
        ("gzip", b"no gzip"),
        ("gzip", gzip.compress(BODY)[:-9]),
        ("gzip, br", b""),
    ],
)
def test_what_cannot_be_decoded_moves_on(coding, body):
    with pytest.raises(Torn):
        received(reply(200, body, content_encoding=coding))


def test_a_small_reply_that_decodes_to_an_endless_one_is_cut():
    with pytest.raises(Torn):
        received(reply(200, gzip.compress(bytes(LONGEST + 1), 9), content_encoding="gzip"))


@pytest.mark.parametrize("coding", ["identity", "none", "UTF-8", "identity, identity", ""])
def test_what_is_no_coding_is_none(coding):
    assert b'{"choices":[{}]}' == received(reply(200, b'{"choices":[{}]}', content_encoding=coding))[0].body


@pytest.mark.parametrize("between", [b"", bytes(512)])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_reply_of_several_gzip_members_is_decoded_whole(between, size):
    coded = gzip.compress(BODY[:1_500_000]) + between + gzip.compress(BODY[1_500_000:]) + bytes(100)
    head = NO_END.replace(b"text/event-stream", b"application/json\r\ncontent-encoding: gzip")
    pieces = [coded[at : at + size] for at in range(0, len(coded), size)]
    assert BODY == received(head + b"".join(map(chunk, pieces)) + b"0\r\n\r\n")[0].body


@pytest.mark.parametrize(
    "behind", [b"x", gzip.compress(b"a")[:-3], gzip.compress(b"") * 1001], ids=["other", "cut", "many"]
)
def test_what_follows_a_gzip_member_must_be_another_and_not_any_number(behind):
    with pytest.raises(Torn):
        received(reply(200, gzip.compress(b'{"choices":[{}]}') + behind, content_encoding="gzip"))


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize(("most", "whole"), [(1000, True), (999, False)])
def test_a_reply_is_read_to_its_bound_and_no_further(framing, most, whole):
    body = json.dumps({"choices": [{}], "x": ""}).encode()
    body = body.replace(b'""', b'"' + b"a" * (1000 - len(body)) + b'"')
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    raw = {
        "length": head + b"content-length: 1000\r\n\r\n" + body,
        "chunks": head
        + b"transfer-encoding: chunked\r\n\r\n"
        + chunk(body[:500])
        + chunk(body[500:])
        + b"0\r\n\r\n",
    }[framing]

    async def work():
        async with Scripted(then(raw)) as server:
            pool = Upstream()
            exchange = await pool.post(server.url, {}, b"{}", silence=5)
            try:
                return await receive(exchange, expected(call(), max_reply=most), 0.0)
            except TooLong:
                return None
            finally:
                await exchange.close()
                await pool.close()

    answer = asyncio.run(work())
    assert whole == (answer is not None)
    assert answer is None or body == answer.body


@pytest.mark.parametrize(("size", "passes"), [(1_000_000, True), (1_000_001, False)])
def test_a_refusal_is_read_to_its_bound_and_no_further(size, passes):
    body = json.dumps({"error": {"message": "x", "code": "c"}}).encode()
    padded = body + b" " * (size - len(body))
    # What is longer is never whole here, and is not waited for: its status is known.
    head = b"HTTP/1.1 400 X\r\ncontent-length: %d\r\n\r\n" % (size if passes else 2 * size)
    answer, _ = received(then(head + padded, "hang"))
    assert (400, "c" if passes else None) == (answer.status, answer.code)
    assert passes is (b'"x"' in answer.body)
