"""One request from top to bottom, without an HTTP server in front: as Python calls the core."""

import asyncio
import json
import logging

import pytest
from support.assembled import Assembled, reply_to
from support.calls import PATIENCE
from support.samples import Caller, deployment, settings
from support.scripted import HANG, NO_END, Scripted, chunk, reply, stream, then

from gateway.config.deployment import Config
from gateway.protocol.endpoints import MODELS
from gateway.protocol.messages import Request
from gateway.protocol.operations import CHAT, SPEECH
from gateway.protocol.sse import DONE
from gateway.upstream.client import Upstream

pytestmark = pytest.mark.system

KEY = {"authorization": "Bearer the-key"}
ANSWER = b'{"choices":[{}],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
EVENT = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'


def body(**members):
    return json.dumps({"model": "gpt", "messages": [], **members}).encode()


def ask(raw=None, *, operation=CHAT, headers=None, caller=None, **fields):
    """A request with the right key."""
    return Request(
        operation, KEY | (headers or {}), caller or Caller([body() if raw is None else raw]), **fields
    )


def run(test, *script, **environ):
    """Run `test(gateway, upstream)`; the one deployment is `script`, settings are GATEWAY_... in lower case."""

    async def work():
        async with Scripted(*(script or (reply(200, ANSWER),))) as upstream:
            operations = ("chat", "speech")
            member = deployment(base=upstream.url, operations=operations)
            one = Config(models={"gpt": (member,)}, master_key="the-key", num_retries=0)
            pool = Upstream()
            parts = Assembled(one, pool, clock=lambda: 100.0)
            try:
                return await test(parts.gateway(settings(**environ)), upstream)
            finally:
                await parts.sharing.close()
                await pool.close()

    return asyncio.run(work())


def handled(request, *script, **environ):
    """(reply with its body read, requests upstream)."""

    async def test(gateway, upstream):
        answer = await reply_to(gateway, request)
        if not isinstance(answer.body, bytes):
            relay = answer.body
            try:
                answer.body = b"".join([piece async for piece in relay])
            finally:
                await relay.aclose()
        assert gateway._uploads.held == 0
        return answer, upstream.count

    return run(test, *script, **environ)


def error(answer):
    inner = json.loads(answer.body)["error"]
    assert {"message", "type", "param", "code"} == set(inner)
    return answer.status, inner["code"]


def log_line(caplog):
    (entry,) = [record for record in caplog.records if record.name == "gateway.request"]
    return json.loads(entry.getMessage())


@pytest.fixture(autouse=True)
def _log(caplog):
    caplog.set_level(logging.INFO, "gateway.request")


def test_an_answer_is_upstreams_with_a_request_id(caplog):
    answer, count = handled(ask(headers={"x-request-id": "mine-1"}))
    assert (200, ANSWER, 1) == (answer.status, answer.body, count)
    assert [("content-type", "application/json"), ("x-request-id", "mine-1")] == answer.headers
    line = log_line(caplog)
    assert ("mine-1", "master", "gpt", "a") == (
        line["request_id"],
        line["client"],
        line["gen_ai.request.model"],
        line["deployment"],
    )
    assert (200, 3, 4, 1) == (
        line["status"],
        line["gen_ai.usage.input_tokens"],
        line["gen_ai.usage.output_tokens"],
        line["attempts"],
    )


class Unread(Caller):
    def chunks(self):
        raise AssertionError("the body was read")


def test_a_key_is_checked_before_the_body_is_read(caplog):
    answer, count = handled(Request(CHAT, {"api-key": "wrong"}, Unread()))
    assert ((401, "invalid_api_key"), 0) == (error(answer), count)
    assert (401, "invalid_api_key", None) == tuple(
        log_line(caplog)[name] for name in ("status", "error", "client")
    )


@pytest.mark.parametrize(
    ("request_", "environ", "expected"),
    [
        (ask(b"{"), {}, (400, None)),
        (ask(b"{}"), {}, (400, None)),
        (ask(body(model="other")), {}, (404, "model_not_found")),
        (ask(path_model="other", azure_path=True), {}, (404, "DeploymentNotFound")),
        (ask(headers={"content-type": "text/html"}), {}, (415, "unsupported_media_type")),
        (ask(b"x" * 11), {"max_body_bytes": 10}, (413, "request_too_large")),
        (
            ask(headers={"content-length": "5000"}),
            {"max_body_bytes": 4999, "max_held_bytes": 4999},
            (413, "request_too_large"),
        ),
    ],
)
def test_what_cannot_be_sent_is_answered_without_upstream(request_, environ, expected):
    answer, count = handled(request_, **environ)
    assert (expected, 0) == (error(answer), count)
    assert "x-request-id" in dict(answer.headers)


def test_models_are_listed_without_a_body():
    answer, count = handled(Request(MODELS, KEY, Unread()))
    assert ([{"id": "gpt", "object": "model", "created": 100, "owned_by": "gateway"}], 0) == (
        json.loads(answer.body)["data"],
        count,
    )


def test_one_model_is_shown_and_an_unknown_one_not_found():
    assert b'{"id":"gpt"' == handled(Request(MODELS, KEY, Unread(), path_model="gpt"))[0].body[:11]
    assert (404, "model_not_found") == error(handled(Request(MODELS, KEY, Unread(), path_model="x"))[0])


def test_a_refusal_of_upstream_passes_with_its_status(caplog):
    refused = b'{"error":{"code":"content_filter","message":"no"}}'
    answer, _ = handled(ask(), reply(400, refused))
    assert (400, refused) == (answer.status, answer.body)
    assert "content_filter" == log_line(caplog)["error"]


def test_a_limit_carries_both_retry_headers():
    answer, _ = handled(ask(), reply(429, b"{}", retry_after="7"))
    assert (429, "7", "7000") == (
        answer.status,
        dict(answer.headers)["retry-after"],
        dict(answer.headers)["retry-after-ms"],
    )


@pytest.mark.parametrize(
    ("limit", "kind", "other"),
    [("Requests", "requests", "tokens"), ("Tokens", "tokens", "requests")],
)
def test_a_429_says_that_nothing_is_left_of_what_it_refuses_for(limit, kind, other):
    limits = {f"x_ratelimit_limit_{each}": "9000" for each in (kind, other)}

    async def test(gateway, upstream):
        await reply_to(gateway, ask())
        return await reply_to(gateway, ask())

    answer = run(
        test, reply(200, ANSWER, **limits), reply(429, b"{}", retry_after="7", x_ratelimit_type=limit)
    )
    headers = dict(answer.headers)
    assert (429, kind, "0") == (
        answer.status,
        json.loads(answer.body)["error"]["type"],
        headers[f"x-ratelimit-remaining-{kind}"],
    )
    assert int(headers[f"x-ratelimit-remaining-{other}"]) > 0


def test_a_429_names_no_limit_that_is_not_known():
    answer, _ = handled(ask(), reply(429, b"Call rate limit"))
    assert [] == [name for name, _ in answer.headers if name.startswith("x-ratelimit-")]


def test_a_reply_that_takes_too_long_is_a_504():
    answer, _ = handled(ask(), HANG, reply_timeout=0.15)
    assert (504, "upstream_timeout") == error(answer)


def test_speech_is_relayed_with_its_length():
    answer, _ = handled(
        ask(operation=SPEECH), reply(200, b"\xff" * 99, content_type="audio/mpeg", x_secret="1")
    )
    assert b"\xff" * 99 == answer.body
    assert ["content-type", "content-length", "x-request-id"] == [name for name, _ in answer.headers]
    assert ("audio/mpeg", "99") == (answer.headers[0][1], answer.headers[1][1])


def test_a_stream_is_relayed_as_events(caplog):
    answer, _ = handled(ask(body(stream=True)), stream(EVENT, DONE))
    assert (200, EVENT + DONE) == (answer.status, answer.body)
    headers = dict(answer.headers)
    assert ("text/event-stream; charset=utf-8", "no-cache") == (
        headers["content-type"],
        headers["cache-control"],
    )
    assert 30.0 == answer.keep_alive_after
    assert log_line(caplog)["stream"]


def test_a_stream_that_fails_before_its_first_byte_is_an_http_error():
    assert (502, "upstream_error") == error(handled(ask(body(stream=True)), reply(500, b"{}"))[0])


def test_a_streams_headers_do_not_wait_for_ever():
    async def test(gateway, upstream):
        answer = await reply_to(gateway, ask(body(stream=True)))
        held = gateway._uploads.held
        go_on.set()
        pieces = [piece async for piece in answer.body]
        await answer.body.aclose()
        return answer.status, held > 0, pieces, gateway._uploads.held

    go_on = asyncio.Event()

    async def late(writer):
        await go_on.wait()
        writer.write(stream(EVENT, DONE))

    assert (200, True, [EVENT + DONE], 0) == run(test, late, stream_hold=0.1)


def test_a_failure_after_the_headers_is_an_event(caplog):
    answer, _ = handled(ask(body(stream=True)), then(b"", 0.2, reply(500, b"{}")), stream_hold=0.05)
    assert 200 == answer.status
    assert answer.body.startswith(b'data: {"error":{"message":"The model\'s upstream service failed')
    assert "upstream_error" == log_line(caplog)["error"]


def test_a_refusal_after_the_headers_is_an_event_and_recorded(caplog):
    refused = b'{"error":{"code":"content_filter","message":"no"}}'
    answer, _ = handled(ask(body(stream=True)), then(b"", 0.2, reply(400, refused)), stream_hold=0.05)
    assert (200, b"data: " + refused + b"\n\n") == (answer.status, answer.body)
    assert "content_filter" == log_line(caplog)["error"]


def test_a_stream_that_is_late_for_its_own_timeout_is_an_event():
    answer, _ = handled(ask(body(stream=True)), HANG, stream_hold=0.05, stream_timeout=0.2)
    assert b'"code":"upstream_timeout"' in answer.body


async def gone(upstream):
    async with asyncio.timeout(PATIENCE):
        while not upstream.left:
            await asyncio.sleep(0.005)
    return True


@pytest.mark.parametrize("raw", [body(), body(stream=True)], ids=["whole", "stream"])
def test_a_caller_that_leaves_before_the_answer_closes_upstream(raw, caplog):
    async def test(gateway, upstream):
        caller = Caller([raw])
        handling = asyncio.create_task(reply_to(gateway, ask(caller=caller)))
        while not upstream.count:
            await asyncio.sleep(0.005)
        caller.go()
        status = (await handling).status
        return status, await gone(upstream), gateway._uploads.held

    assert (499, True, 0) == run(test, HANG)
    assert 499 == log_line(caplog)["status"]


@pytest.mark.parametrize(
    ("step", "hold", "pieces"),
    [
        (then(NO_END + chunk(EVENT), "hang"), 5, 1),
        (then(NO_END + chunk(EVENT), "hang"), 5, 0),
        (HANG, 0.05, 0),
    ],
    ids=["begun", "unread", "late"],
)
def test_closing_a_stream_closes_upstream(step, hold, pieces, caplog):
    async def test(gateway, upstream):
        answer = await reply_to(gateway, ask(body(stream=True)))
        assert [EVENT] * pieces == [await anext(aiter(answer.body)) for _ in range(pieces)]
        while not upstream.count:
            await asyncio.sleep(0.005)
        await answer.body.aclose()
        return await gone(upstream), gateway._uploads.held

    assert (True, 0) == run(test, step, stream_hold=hold)
    assert 200 == log_line(caplog)["status"]


def test_a_shutdown_is_no_client_that_left(caplog):
    async def test(gateway, upstream):
        handling = asyncio.create_task(reply_to(gateway, ask(body(stream=True))))
        while not upstream.count:
            await asyncio.sleep(0.005)
        handling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handling
        return await gone(upstream)

    assert run(test, HANG)
    assert (500, "internal_error") == tuple(log_line(caplog)[name] for name in ("status", "error"))
