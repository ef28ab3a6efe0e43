"""A stream's end is one: of its call upstream, of its account, and of its request."""

import asyncio
import logging

import pytest
from support.samples import config, deployment

from gateway.errors import BadRequest, RateLimited, error_body
from gateway.limits.tokens.outcome import Result
from gateway.pipeline.streams import AnswerStream, LateStream, abandon
from gateway.protocol.messages import Reply
from gateway.protocol.operations import CHAT
from gateway.protocol.sse import DONE, EventSplitter, event_json
from gateway.protocol.stream_tap import StreamTap
from gateway.telemetry.record import Record
from gateway.upstream.answers import BytesAnswer, EventsAnswer
from gateway.upstream.redaction import Scrubber

EVENT = b'data: {"id":"c","choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'


class Exchange:
    """An upstream reply whose body is given; notes in `log` that it was closed."""

    status = 200
    complete = False

    def __init__(self, log, *pieces):
        self.log = log
        self.pieces = list(pieces)

    async def piece(self, most=0):
        return self.pieces.pop(0) if self.pieces else b""

    async def close(self):
        self.log.append("exchange")


class Account:
    """Notes in `log` how it was closed."""

    def __init__(self, log):
        self.log = log

    async def close(self, outcome):
        self.log.append(outcome.result)


def stream(log, *pieces, record=None):
    """The body that relays an event stream."""
    tap = StreamTap(CHAT.streaming, hide_usage=False)
    tap.look(EVENT)
    answer = EventsAnswer(
        exchange=Exchange(log, *pieces),
        deployment=deployment(),
        content_type=None,
        limits=None,
        events=[EVENT],
        splitter=EventSplitter(),
        tap=tap,
        scrubber=Scrubber(config()),
    )
    return AnswerStream(answer, Account(log), record or Record("r", "chat", 0.0), "gpt", lambda: 7.0)


@pytest.fixture
def log(caplog):
    """What happened in order; "line" where the request was logged."""
    caplog.set_level(logging.INFO, "gateway.request")
    seen = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append("line")
    logging.getLogger("gateway.request").addHandler(handler)
    yield seen
    logging.getLogger("gateway.request").removeHandler(handler)


def test_a_stream_that_was_read_ends_once_and_before_its_reader_sees_the_end(log):
    async def work():
        body = stream(log, DONE)
        assert [EVENT, DONE] == [await anext(body), await anext(body)]
        assert [] == log
        assert await anext(body, None) is None
        ended = list(log)
        await body.aclose()
        return ended

    assert ["exchange", Result.SUCCESS, "line"] == asyncio.run(work()) == log


@pytest.mark.parametrize("pieces", [0, 1])
def test_a_stream_that_is_left_ends_once_too_as_aborted(log, pieces):
    async def work():
        body = stream(log, DONE)
        for _ in range(pieces):
            await anext(body)
        await body.aclose()
        await body.aclose()

    asyncio.run(work())
    assert ["exchange", Result.ABORTED, "line"] == log


def test_an_account_is_closed_even_if_the_connection_cannot_be(log):
    async def work():
        body = stream(log)

        async def fail():
            raise OSError("gone")

        body._answer.exchange.close = fail
        with pytest.raises(OSError, match="gone"):
            await body.aclose()

    asyncio.run(work())
    assert [Result.ABORTED, "line"] == log


def sent(result):
    """A future of what sending brought: an error, or a reply with this body."""
    sending = asyncio.get_running_loop().create_future()
    if isinstance(result, Exception):
        sending.set_exception(result)
    else:
        sending.set_result(Reply(200, [], result))
    return sending


def late(result):
    """(pieces, record) of a late stream whose sending ended in `result`."""

    async def work():
        record = Record("r", "chat", 0.0)
        return [
            piece async for piece in LateStream(sent(result), CHAT.streaming, record, lambda: 7.0)
        ], record

    return asyncio.run(work())


def test_a_late_stream_is_relayed_like_any_other(log):
    pieces, _ = late(stream(log, DONE))
    assert [EVENT, DONE] == pieces
    assert ["exchange", Result.SUCCESS, "line"] == log


def test_a_silence_has_the_answers_id_only_once_the_answer_is_relayed(log):
    """Azure's own first event has none yet, and openai-go takes no event without one behind one that has it."""

    async def work():
        body = LateStream(sent(stream(log, DONE)), CHAT.streaming, Record("r", "chat", 0.0), lambda: 7.0)
        before = body.keep_alive()
        await anext(body)
        after = body.keep_alive()
        await body.aclose()
        return [event_json(each)["id"] for each in (before, after)]

    assert ["", "c"] == asyncio.run(work())


def test_a_failure_after_the_headers_is_an_event(log):
    error = RateLimited("slow", retry_after=7)
    pieces, record = late(error)
    assert ([b"data: " + error_body(error) + b"\n\n"], "rate_limit_exceeded") == (pieces, record.error_code)
    assert ["line"] == log


def test_a_refusal_after_the_headers_is_one_event_even_over_several_lines(log):
    body = b'{\n  "error": {\r\n    "code": "content_filter"\n  }\n}\n'
    (piece,), _ = late(body)
    assert {"error": {"code": "content_filter"}} == event_json(piece)
    assert 1 == piece.count(b"\n\n")
    assert ["line"] == log


def test_a_late_stream_that_is_left_ends_what_is_being_sent(log):
    async def work():
        sending = asyncio.ensure_future(asyncio.sleep(60))
        await asyncio.sleep(0)
        body = LateStream(sending, CHAT.streaming, Record("r", "chat", 0.0), lambda: 7.0)
        await body.aclose()
        await body.aclose()
        return sending.cancelled()

    assert asyncio.run(work())
    assert ["line"] == log


def test_abandoning_ends_the_call_and_leaves_the_request_to_others(log):
    async def work():
        await abandon(sent(stream(log)))

    asyncio.run(work())
    assert ["exchange", Result.ABORTED] == log


@pytest.mark.parametrize(
    "result",
    [BadRequest("x"), b""],
    ids=["error", "whole answer"],
)
def test_abandoning_what_needs_no_closing_does_nothing(result):
    async def work():
        await abandon(sent(result))

    asyncio.run(work())


def test_abandoning_what_was_cancelled_does_nothing():
    async def work():
        sending = asyncio.get_running_loop().create_future()
        sending.cancel()
        await abandon(sending)

    asyncio.run(work())


def test_a_body_of_bytes_is_copied(log):
    async def work():
        answer = BytesAnswer(
            exchange=Exchange(log, b"2"),
            deployment=deployment(),
            content_type=None,
            limits=None,
            first=b"1",
        )
        record = Record("r", "speech", 0.0)
        return [piece async for piece in AnswerStream(answer, Account(log), record, "tts", lambda: 7.0)]

    assert [b"1", b"2"] == asyncio.run(work())
    assert ["exchange", Result.SUCCESS, "line"] == log
