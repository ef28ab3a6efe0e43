"""Every request ends in one place: with a reply in the one shape, an id, and one line of the log."""

import asyncio
import json
import logging
import re

import pytest

from gateway.errors import BadRequest, MethodNotAllowed
from gateway.pipeline.ending import answered, begin, request_id
from gateway.protocol.messages import ClientGone, Reply


def ended(outcome, *, headers=None, **options):
    """The reply of a request that ends in `outcome`: a reply or an exception."""

    async def work():
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    record = begin(None, headers or {}, 100.0)
    return asyncio.run(answered(record, work, lambda: 102.0, **options))


@pytest.fixture
def lines(caplog):
    """The log's lines, parsed when asked for."""
    caplog.set_level(logging.INFO, "gateway.request")
    return lambda: [
        json.loads(each.getMessage()) for each in caplog.records if each.name == "gateway.request"
    ]


def test_a_reply_gets_the_requests_id_and_a_line(lines):
    reply = ended(Reply(200, [("a", "b")], b"x"), headers={"x-request-id": "r1"})

    assert (200, [("a", "b"), ("x-request-id", "r1")], b"x") == (reply.status, reply.headers, reply.body)
    (line,) = lines()
    assert ("r1", None, 200, None, 2000.0) == (
        line["request_id"],
        line["gen_ai.operation.name"],
        line["status"],
        line["error"],
        line["duration_ms"],
    )


def test_an_error_becomes_its_reply_with_the_headers_it_needs(lines):
    reply = ended(MethodNotAllowed("no", allow="POST"), headers={"x-request-id": "r1"})

    inner = json.loads(reply.body)["error"]
    assert {"message", "type", "param", "code"} == set(inner)
    assert (405, "method_not_allowed") == (reply.status, inner["code"])
    assert [("content-type", "application/json"), ("allow", "POST"), ("x-request-id", "r1")] == reply.headers
    assert [(405, "method_not_allowed")] == [(line["status"], line["error"]) for line in lines()]


def test_a_client_that_left_is_recorded_as_such(lines):
    assert 499 == ended(ClientGone()).status
    assert [499] == [line["status"] for line in lines()]


def test_a_defect_is_a_neutral_error_and_logged_without_its_text(lines, caplog):
    reply = ended(ValueError("the-prompt"), headers={"x-request-id": "r1"})

    assert (500, "internal_error") == (reply.status, json.loads(reply.body)["error"]["code"])
    assert [(500, "internal_error")] == [(line["status"], line["error"]) for line in lines()]
    assert "request r1: ValueError < work:" in caplog.text
    assert "the-prompt" not in caplog.text


def test_a_cancellation_by_the_host_passes_and_is_recorded(lines):
    with pytest.raises(asyncio.CancelledError):
        ended(asyncio.CancelledError())

    assert [(500, "internal_error")] == [(line["status"], line["error"]) for line in lines()]


@pytest.mark.parametrize("outcome", [Reply(200, [], b"x"), BadRequest("x")], ids=["answer", "error"])
def test_a_request_that_is_not_to_be_logged_gets_an_id_and_no_line(lines, outcome):
    reply = ended(outcome, logged=False)

    assert ["x-request-id"] == [name for name, _ in reply.headers if name == "x-request-id"]
    assert [] == lines()


def test_a_stream_gets_its_line_at_its_own_end(lines):
    async def pieces():
        yield b""

    assert 200 == ended(Reply(200, [], pieces())).status
    assert [] == lines()


@pytest.mark.parametrize("given", ["a", "A-b_c.d:1", "x" * 128])
def test_a_harmless_request_id_is_kept(given):
    assert given == request_id({"x-request-id": given})


@pytest.mark.parametrize("given", ["", "a b", "a\nb", "é", '"', "x" * 129, None])
def test_any_other_is_replaced(given):
    headers = {} if given is None else {"x-request-id": given}
    assert re.fullmatch(r"req_[0-9a-f]{32}", request_id(headers))


@pytest.mark.parametrize(("size", "kept"), [(1, True), (128, True), (129, False), (30_000, False)])
def test_a_clients_request_id_has_at_most_128_characters(size, kept):
    assert kept == (request_id({"x-request-id": "x" * size}) == "x" * size)
