"""Relaying: what came is passed on, and half an answer never looks like a whole one."""

import asyncio
import gzip
import json

import pytest
from support.samples import call, deployment, expected
from support.scripted import NO_END, Scripted, chunk, reply, stream, then

from gateway.limits.tokens.outcome import Result
from gateway.protocol.messages import Truncated
from gateway.protocol.operations import SPEECH
from gateway.protocol.sse import DONE, PART, event_json
from gateway.protocol.usage import Usage
from gateway.telemetry.record import Record
from gateway.upstream.client import Exchange, Upstream
from gateway.upstream.incoming import Incoming
from gateway.upstream.local import LoopWatch
from gateway.upstream.redaction import LONGEST
from gateway.upstream.relay import AT_ONCE, BROKEN, FRAME, relay
from gateway.upstream.replies import receive

pytestmark = pytest.mark.system

STREAMED = call(stream=True)


def event(**members):
    return b"data: " + json.dumps(members).encode() + b"\n\n"


FIRST = event(choices=[{"delta": {"content": "a"}}], usage=None)
LAST = event(choices=[{"delta": {}, "finish_reason": "stop"}])
COST = event(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 4})


def relayed(step, *, hide_usage=False, silence=5.0, one=STREAMED, member=None):
    """(pieces, record, what broke it) of one reply."""

    async def work():
        record, pieces = Record("r", "chat", 0.0), []
        async with Scripted(step) as server:
            pool = Upstream()
            exchange = await pool.post(server.url, {}, b"{}", silence=silence)
            try:
                answer = await receive(exchange, expected(one, member, hide_usage=hide_usage), 0.0)
                pieces = [piece async for piece in relay(answer, record, "gpt")]
            finally:
                await exchange.close()
                await pool.close()
        return pieces, record

    return asyncio.run(work())


@pytest.mark.parametrize("end", [b"data: [DONE]", b"data: [DONE]\n", b"data:[DONE]\r\n", b"data: [DONE]\r\r"])
def test_done_ends_the_reply_though_no_empty_line_follows_and_upstream_leaves_it_open(end):
    pieces, record = relayed(then(NO_END + chunk(FIRST + LAST + end), "hang"), silence=4.0)
    assert (FIRST + LAST + end, None) == (b"".join(pieces), record.error_code)


def test_lines_that_end_in_cr_are_passed_on_as_they_come():
    first, last, done = (each.replace(b"\n", b"\r") for each in (FIRST, LAST, DONE))
    pieces, record = relayed(then(NO_END + chunk(first), chunk(last), chunk(done), "hang"), silence=4.0)
    assert (first + last + done, None) == (b"".join(pieces), record.error_code)


@pytest.mark.parametrize(
    ("error", "result"),
    [
        ({"code": "content_filter", "type": None}, Result.CALLER),
        ({"code": None, "type": "invalid_request_error"}, Result.CALLER),
        ({"code": None, "type": "model_error"}, Result.REQUEST),
        ({"code": "DeploymentNotFound", "type": "invalid_request_error"}, Result.FAILED),
        ({"code": None, "type": "server_error"}, Result.FAILED),
    ],
)
def test_an_error_in_a_stream_has_one_to_blame(error, result):
    async def work():
        async with Scripted(stream(FIRST, event(error=error | {"message": "m"}))) as server:
            pool = Upstream()
            exchange = await pool.post(server.url, {}, b"{}", silence=5.0)
            answer = await receive(exchange, expected(STREAMED), 0.0)
            [piece async for piece in relay(answer, Record("r", "chat", 0.0), "gpt")]
            await exchange.close()
            await pool.close()
            return answer.outcome().result

    assert result is asyncio.run(work())


def test_what_a_client_got_that_left_is_counted():
    async def work():
        text = event(choices=[{"delta": {"content": "x" * (FRAME + 400)}}])
        async with Scripted(stream(FIRST, FIRST, text, LAST, COST, DONE)) as server:
            pool = Upstream()
            exchange = await pool.post(server.url, {}, b"{}", silence=5.0)
            answer = await receive(exchange, expected(STREAMED), 0.0)
            source = relay(answer, Record("r", "chat", 0.0), "gpt")
            got = b""
            while got.count(b"data:") < 3:
                got += await anext(source)
            await source.aclose()
            answer.result = Result.ABORTED
            outcome = answer.outcome()
            await exchange.close()
            await pool.close()
        return outcome, got.count(b"data:"), len(text)

    outcome, events, size = asyncio.run(work())
    assert (Result.ABORTED, events + (size - FRAME) // 4) == (outcome.result, outcome.relayed)


def test_a_whole_stream_passes_unchanged():
    pieces, record = relayed(stream(FIRST, LAST, COST, DONE))
    assert FIRST + LAST + COST + DONE == b"".join(pieces)
    assert (Usage(3, 4), None) == (record.usage, record.error_code)


def test_events_leave_when_they_come():
    step = then(NO_END + chunk(FIRST), 0.05, chunk(LAST), 0.05, chunk(DONE) + b"0\r\n\r\n")
    assert [FIRST, LAST, DONE] == relayed(step)[0]


def test_events_leave_whole_whatever_the_chunks():
    step = then(NO_END + chunk(FIRST + LAST[:9]), 0.05, chunk(LAST[9:]), 0.05, chunk(DONE) + b"0\r\n\r\n")
    assert [FIRST, LAST, DONE] == relayed(step)[0]


def test_crlf_passes_unchanged():
    whole = (FIRST + LAST + DONE).replace(b"\n", b"\r\n")
    assert whole == b"".join(relayed(stream(whole[:50], whole[50:]))[0])


def test_usage_that_the_client_did_not_ask_for_is_hidden_and_learnt():
    pieces, record = relayed(stream(FIRST, LAST, COST, DONE), hide_usage=True)
    assert FIRST.replace(b', "usage": null', b"") + LAST + DONE == b"".join(pieces)
    assert Usage(3, 4) == record.usage


def turns_between(pieces, coding=None):
    """The parts of a body that comes in `pieces`, and how often others had their turn before each part."""

    class Carrier:
        def __init__(self):
            self.loop = asyncio.get_running_loop()
            self.watch = LoopWatch(self.loop)

        def parsed_status(self):
            return 200

        def keeps_alive(self):
            return True

    async def work():
        incoming = Incoming(Carrier(), 5.0)
        if coding is not None:
            incoming.on_header(b"content-encoding", coding.encode())
        incoming.on_headers_complete()
        exchange = Exchange(incoming)
        found, turns = [], 0

        async def others():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        await asyncio.sleep(0)
        for number, piece in enumerate(pieces, 1):
            incoming.on_body(piece)
            if number == len(pieces):
                incoming.on_message_complete()
            length = len(piece if coding is None else gzip.decompress(piece))
            while length:
                before = turns
                found.append((await exchange.piece(PART), turns - before))
                length -= len(found[-1][0])
        assert await exchange.piece(PART) == b""
        task.cancel()
        return found

    return asyncio.run(work())


def test_others_have_their_turn_between_the_parts_of_one_large_piece():
    """Else an upstream that sends events without end has the event loop for itself: for seconds, where it was tried."""
    piece = b"\n\n" * PART
    found = turns_between([b"a" * PART, piece])
    assert [b"a" * PART, piece[:PART], piece[PART:]] == [part for part, _ in found]
    assert [0, 0, 1] == [turns for _, turns in found]


def test_others_have_their_turn_while_a_small_piece_is_decoded():
    found = turns_between([gzip.compress(bytes(5_000_000))], "gzip")
    assert bytes(5_000_000) == b"".join(part for part, _ in found)
    assert all(turns > 0 for _, turns in found[1:])


def test_what_came_before_the_answer_is_passed_on_some_at_a_time():
    blank = b":\n\n" * (2 * AT_ONCE)
    pieces, record = relayed(stream(blank + FIRST, LAST, DONE))
    assert (blank + FIRST + LAST + DONE, None) == (b"".join(pieces), record.error_code)
    assert [blank[: 3 * AT_ONCE], blank[: 3 * AT_ONCE]] == pieces[:2]


def test_an_error_event_that_is_too_long_to_be_looked_at_is_replaced():
    long = b'data: {"error":{"message":"%s"}}\n\n' % (b"a" * LONGEST)
    pieces, record = relayed(stream(FIRST, long))
    assert "upstream_error" == record.error_code
    assert len(b"".join(pieces)) < 1000
    assert "upstream_error" == event_json(pieces[-1])["error"]["code"]


def test_a_stream_that_ends_after_its_finish_reason_is_whole():
    pieces, record = relayed(stream(FIRST, LAST))
    assert (FIRST + LAST, None) == (b"".join(pieces), record.error_code)


def broken_off(message=BROKEN, code="upstream_error"):
    inner = {"message": message, "type": "server_error", "param": None, "code": code}
    return b"data: " + json.dumps({"error": inner}, separators=(",", ":")).encode() + b"\n\n"


@pytest.mark.parametrize(
    "step",
    [
        stream(FIRST),
        then(NO_END + chunk(FIRST), "reset"),
        then(NO_END + chunk(FIRST), "close"),
        then(NO_END + chunk(FIRST) + b"40\r\ndata", "close"),
        stream(FIRST, LAST[:20]),
        stream(FIRST, b"data: {\n"),
    ],
    ids=["ended", "reset", "closed", "closed in a chunk", "half an event", "half an event and a line end"],
)
def test_a_stream_that_breaks_off_ends_in_an_error_event(step):
    pieces, record = relayed(step)
    assert (FIRST + broken_off(), "upstream_error") == (b"".join(pieces), record.error_code)


def test_a_stream_that_breaks_between_its_finish_and_its_end_is_broken():
    pieces, _ = relayed(then(NO_END + chunk(FIRST + LAST), "reset"))
    assert FIRST + LAST + broken_off() == b"".join(pieces)


def test_a_stream_that_breaks_after_done_is_whole():
    pieces, record = relayed(then(NO_END + chunk(FIRST + DONE), "reset"))
    assert (FIRST + DONE, None) == (b"".join(pieces), record.error_code)


def test_a_stream_that_falls_silent_ends_in_an_error_event():
    pieces, record = relayed(then(NO_END + chunk(FIRST), "hang"), silence=0.5)
    silent = broken_off(
        "The model's upstream service fell silent in the middle of its answer.", "upstream_timeout"
    )
    assert (FIRST + silent, "upstream_timeout") == (b"".join(pieces), record.error_code)


def test_a_last_event_without_its_empty_line_is_passed_on():
    pieces, record = relayed(stream(FIRST, DONE.rstrip()))
    assert (FIRST + DONE.rstrip(), None) == (b"".join(pieces), record.error_code)


def test_a_whole_event_before_a_broken_end_is_closed_so_that_the_error_is_seen():
    pieces, _ = relayed(stream(FIRST, FIRST.rstrip()))
    assert FIRST + FIRST.rstrip() + b"\n\n" + broken_off() == b"".join(pieces)


@pytest.mark.parametrize(
    "end", [stream, lambda *events: then(NO_END + b"".join(map(chunk, events)), "reset")]
)
def test_upstreams_own_error_event_is_redacted_and_the_only_one(end):
    error = event(error={"message": "dep-a at https://contoso-east.openai.azure.com", "callstack": "x"})
    pieces, record = relayed(end(FIRST, error))
    assert FIRST + b'data: {"error": {"message": "gpt at upstream"}}\n\n' == b"".join(pieces)
    assert "upstream_error" == record.error_code


def test_an_error_event_that_cannot_be_redacted_is_replaced():
    pieces, _ = relayed(stream(FIRST, b'data: {"error": dep-a}\n\n'))
    error = b"".join(pieces).removeprefix(FIRST)
    assert "upstream_error" == event_json(error)["error"]["code"]
    assert b"dep-a" not in b"".join(pieces)


def test_speech_passes_unchanged():
    sound = bytes(range(256)) * 1000
    pieces, _ = relayed(reply(200, sound, content_type="audio/mpeg"), one=call(SPEECH))
    assert sound == b"".join(pieces)


@pytest.mark.parametrize("how", ["reset", "close", "hang"])
def test_speech_that_breaks_off_is_truncated(how):
    step = then(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\nabc", how)
    with pytest.raises(Truncated):
        relayed(step, one=call(SPEECH), silence=0.5)


def test_the_reply_ends_with_done_and_what_follows_is_nobodys():
    pieces, record = relayed(then(NO_END + chunk(FIRST + DONE + LAST), "hang"), silence=30.0)
    assert (FIRST + DONE, None) == (b"".join(pieces), record.error_code)


@pytest.mark.parametrize(
    ("after", "connections"),
    [(b"0\r\n\r\n", 1), (chunk(b": more\n\n"), 2), (b"", 2)],
    ids=["the end", "more", "nothing"],
)
def test_a_connection_is_kept_only_where_the_reply_ends_with_done(after, connections):
    async def work():
        async with Scripted(then(NO_END + chunk(FIRST + DONE), 0.05, after, "hang"), reply(200)) as server:
            pool = Upstream()
            exchange = await pool.post(server.url, {}, b"{}", silence=30.0)
            answer = await receive(exchange, expected(STREAMED), 0.0)
            assert FIRST + DONE == b"".join(
                [piece async for piece in relay(answer, Record("r", "chat", 0.0), "gpt")]
            )
            await exchange.close()
            if after.startswith(b"0"):
                return server.connections
            await (await pool.post(server.url, {}, b"{}", silence=5.0)).close()
            await pool.close()
            return server.connections

    assert connections == asyncio.run(work())


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ({"type": "error", "error": {"message": "dep-a fell"}}, "gpt fell"),
        ({"object": "error", "message": "dep-a fell"}, "gpt fell"),
        ({"detail": "dep-a fell"}, "gpt fell"),
        ({"statusCode": 500, "message": "dep-a fell"}, "gpt fell"),
        ({"error": "dep-a fell"}, "gpt fell"),
        ({"error": {"code": 5}}, "The model's upstream service failed to answer the request."),
    ],
)
def test_an_error_event_of_any_shape_is_one_that_clients_read(failure, message):
    pieces, record = relayed(stream(FIRST, event(**failure), LAST, DONE))
    error = event_json(b"".join(pieces).removeprefix(FIRST))["error"]
    assert (message, "upstream_error") == (error["message"], record.error_code)


@pytest.mark.parametrize(
    ("one", "member"),
    [
        (call(stream=True, n=2), None),
        (STREAMED, deployment(defaults={"n": 2})),
        (STREAMED, deployment(extra_body={"n": 2})),
    ],
    ids=["asked for", "default", "extra body"],
)
def test_a_stream_of_two_choices_that_ends_after_one_is_broken(one, member):
    ends = [event(choices=[{"index": index, "delta": {}, "finish_reason": "stop"}]) for index in (0, 1)]
    assert FIRST + ends[0] + broken_off() == b"".join(
        relayed(stream(FIRST, ends[0]), one=one, member=member)[0]
    )
    assert FIRST + b"".join(ends) == b"".join(relayed(stream(FIRST, *ends), one=one, member=member)[0])
