"""One try of one deployment, on real sockets: an answer, or what the ledgers learn of its failure."""

import asyncio
import json
import time
from typing import NamedTuple

import pytest
from support.samples import call, config, deployment
from support.scripted import HANG, NO_END, RESET, Scripted, chunk, reply, stream, then

from gateway.config.deployment import ClientSecret, DefaultIdentity
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.limits.tokens.signals import RateLimits
from gateway.protocol import calls
from gateway.protocol.capabilities import capabilities_of
from gateway.protocol.json_body import parse
from gateway.protocol.operations import CHAT
from gateway.protocol.usage import Usage
from gateway.telemetry.record import Record
from gateway.upstream.answers import StreamedAnswer
from gateway.upstream.attempts import Attempts
from gateway.upstream.client import Upstream
from gateway.upstream.credentials import IdentityFailed
from gateway.upstream.time_limit import Deadline
from gateway.upstream.verdicts import AttemptFailed
from simulator.ports import closed_port

pytestmark = pytest.mark.system

NOW = 1_700_000_000.0
OK = reply(200, {"choices": [{}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
EVENTS = stream(b'data: {"choices":[{"delta":{}}]}\n\n', b"data: [DONE]\n\n")
IDENTITY = ClientSecret("t", "c", "s")


class Failed(NamedTuple):
    """What a try's AttemptFailed says."""

    outcome: Outcome
    status: int | None = None
    code: str | None = None


class Tokens:
    """Gives out the tokens of a list, the last one for ever, and notes those that are discarded."""

    def __init__(self, *values):
        self.values = list(values)
        self.discarded = []

    async def token(self, identity):
        if not self.values:
            raise IdentityFailed
        return self.values[0]

    def discard(self, identity, value):
        self.discarded.append(value)
        self.values = self.values[1:] or self.values


def tried(
    *script, one=None, tokens=None, url=None, seconds=5.0, silence=5.0, member=None, most_calls=6, **options
):
    """(what came of one try, its record, the upstream)."""

    async def work():
        async with Scripted(*(script or (OK,))) as server:
            target = deployment(base=url or server.url, **(member or {}))
            pool = Upstream()
            attempts = Attempts(config(target, **options), pool, tokens, clock=lambda: NOW, silence=silence)
            record = Record("r", "chat", 0.0)
            deadline = Deadline.within(seconds)
            try:
                made = await attempts.make(target, one or call(), record, deadline, most_calls)
                if isinstance(made, StreamedAnswer):
                    await made.close()
            except AttemptFailed as failure:
                made = Failed(failure.outcome, failure.status, failure.code)
            await pool.close()
            return made, record, server

    return asyncio.run(work())


def test_an_answer_comes_with_what_it_used():
    answer, record, _ = tried()

    assert Outcome(Result.SUCCESS, 3, 4) == answer.outcome()
    assert ("a", 1) == (record.deployment, record.attempts)


def test_an_answers_limits_are_read():
    limited = reply(
        200,
        {"choices": [{}]},
        x_ratelimit_limit_tokens="1000",
        x_ratelimit_remaining_tokens="900",
    )
    answer, _, _ = tried(limited)

    assert RateLimits(tokens=1000, tokens_left=900) == answer.outcome().limits


def test_a_refusal_of_the_callers_mistake_is_an_answer_that_counts_as_such():
    answer, _, _ = tried(reply(400, {"error": {"message": "no", "code": "content_filter"}}))

    assert (400, "content_filter", Result.CALLER) == (
        answer.status,
        answer.code,
        answer.outcome().result,
    )


def test_a_stream_that_was_not_relayed_to_its_end_was_aborted():
    answer, _, _ = tried(EVENTS, one=call(stream=True))

    assert Result.ABORTED is answer.outcome().result


TOKEN_LIMIT = (
    "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-02-01 have exceeded "
    "token rate limit of your current OpenAI S0 pricing tier. Please retry after 6 seconds."
)
TORN = Failed(Outcome(Result.TORN, error="torn"))
LONGER = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
FAILURES = {
    "429 of tokens": (
        reply(429, {"error": {"code": "429", "message": TOKEN_LIMIT}}, retry_after_ms="1500"),
        Failed(Outcome(Result.LIMITED, retry_after=1.5, kind="tokens", error="429"), 429, "429"),
    ),
    "429 of requests": (
        reply(429, b"{}", retry_after="7", x_ratelimit_type="Requests"),
        Failed(Outcome(Result.LIMITED, retry_after=7.0, kind="requests", error="429"), 429),
    ),
    "429 with limits": (
        reply(429, b"{}", x_ratelimit_limit_requests="60", x_ratelimit_remaining_requests="0"),
        Failed(
            Outcome(
                Result.LIMITED,
                limits=RateLimits(requests=60, requests_left=0),
                kind="requests",
                error="429",
            ),
            429,
        ),
    ),
    "500": (reply(500, b"{}"), Failed(Outcome(Result.FAILED, error="500"), 500)),
    "503 with a wait": (
        reply(503, b"{}", retry_after="3"),
        Failed(Outcome(Result.FAILED, retry_after=3.0, error="503"), 503),
    ),
    "404": (
        reply(404, {"error": {"code": "DeploymentNotFound"}}),
        Failed(Outcome(Result.OPERATOR, error="404"), 404, "DeploymentNotFound"),
    ),
    "a page under a 200": (
        reply(200, b"<html>", content_type="text/html"),
        Failed(Outcome(Result.FAILED, error="no answer"), 200, "no answer"),
    ),
    "504": (reply(504, b"{}"), Failed(Outcome(Result.FAILED, error="504"), 504)),
    "a redirect": (
        reply(307, b"", location="http://127.0.0.1:1/elsewhere"),
        Failed(Outcome(Result.FAILED, error="307"), 307),
    ),
    "nothing under a 200": (
        reply(200, b""),
        Failed(Outcome(Result.FAILED, error="no answer"), 200, "no answer"),
    ),
    "half an object": (
        reply(200, b'{"answer": "y'),
        Failed(Outcome(Result.FAILED, error="no answer"), 200, "no answer"),
    ),
    "reset": (RESET, TORN),
    "closed": (then(b"", "close"), TORN),
    "broken in the head": (then(b"HTTP/1.1 200 OK\r\ncontent-ty", "close"), TORN),
    "no http": (then(b"SSH-2.0-OpenSSH\r\n", "close"), TORN),
    "a body cut by closing": (then(LONGER + b'{"answer"', "close"), TORN),
    "a body cut by reset": (then(LONGER + b'{"answer"', "reset"), TORN),
    "chunks cut by closing": (then(CHUNKED + chunk(b'{"a":1}'), "close"), TORN),
    "chunks that are none": (then(CHUNKED + b"zz\r\n{}", "close"), TORN),
}


@pytest.mark.parametrize(("step", "failed"), FAILURES.values(), ids=FAILURES)
def test_a_failure_tells_the_ledgers_what_kind_it_is(step, failed):
    made, _, server = tried(step)

    assert (failed, 1) == (made, server.count)


PAGE = "text/html; charset=utf-8"
BEFORE_AN_EVENT = {
    "json": (reply(200, b'{"choices": [{}]}'), Result.FAILED),
    "a page": (reply(200, b"<html>\n\nsign in\n\n</html>", content_type=PAGE), Result.FAILED),
    "nothing": (stream(), Result.FAILED),
    "empty lines": (stream(b"\r\n"), Result.FAILED),
    "half an event": (stream(b'data: {"choi'), Result.FAILED),
    "reset": (then(NO_END + chunk(b'data: {"ch'), "reset"), Result.TORN),
    "closed": (then(NO_END, "close"), Result.TORN),
    "an error": (stream(b'data: {"error":{"type":"server_error","code":"y"}}\n\n'), Result.FAILED),
    "an error without details": (stream(b'data: {"error":"overloaded"}\n\n'), Result.FAILED),
}


@pytest.mark.parametrize(("step", "result"), BEFORE_AN_EVENT.values(), ids=BEFORE_AN_EVENT)
def test_a_stream_that_fails_before_its_first_event_is_a_failed_try(step, result):
    made, _, server = tried(step, one=call(stream=True))

    assert (result, 1) == (made.outcome.result, server.count)


def test_what_cannot_be_connected_to_is_unreachable():
    made, record, _ = tried(url=f"http://127.0.0.1:{closed_port()}")

    assert (Failed(Outcome(Result.UNREACHABLE, error="unreachable")), 1) == (made, record.attempts)


def test_a_fault_of_this_process_is_told_apart(monkeypatch):
    monkeypatch.setattr("gateway.upstream.names.MAX_LOOKUPS", 0)
    made, record, _ = tried(HANG)

    assert (Failed(Outcome(Result.LOCAL, error="local fault")), 1) == (made, record.attempts)


def test_a_timeout_of_which_the_loop_stood_still_says_nothing_of_upstream():
    async def stall(writer):
        time.sleep(0.6)
        await asyncio.sleep(60)

    made, _, _ = tried(stall, timeout=0.4)

    assert Failed(Outcome(Result.ABORTED, error="loop stood still")) == made


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0.1},
        {"member": {"timeout": 0.1}},
        {"seconds": 0.1},
        {"silence": 0.1},
        {"one": call(stream=True), "stream_timeout": 0.1},
        {"one": call(stream=True), "member": {"stream_timeout": 0.1}, "stream_timeout": 4.0},
        {"one": call(stream=True), "timeout": 0.1},
    ],
    ids=["of all", "own", "deadline", "silence", "streams", "own for streams", "of all for streams"],
)
def test_each_timeout_ends_a_try(options, monkeypatch):
    # However busy this machine is: a loop that stands still for so short a time is no matter here.
    monkeypatch.setattr("gateway.upstream.local.SHARE", float("inf"))

    made, record, _ = tried(HANG, **options)

    assert Failed(Outcome(Result.TIMEOUT, error="timeout")) == made
    # The next time-out would come after four seconds.
    assert record.waited < 4.0


def test_the_timeout_of_streams_is_none_for_whole_replies():
    answer, _, _ = tried(then(b"", 0.15, OK), stream_timeout=0.05)

    assert 200 == answer.status


def test_a_model_that_cannot_stream_has_the_time_of_a_whole_reply_and_its_usage_is_known_at_once():
    member = {"capabilities": capabilities_of("o1")}
    answer, _, _ = tried(then(b"", 0.15, OK), one=call(stream=True), member=member, stream_timeout=0.05)

    assert isinstance(answer, StreamedAnswer)
    assert (200, Usage(3, 4)) == (answer.status, answer.usage)


def test_without_a_token_nothing_is_sent_and_nobody_else_hears_of_it():
    made, _, server = tried(tokens=Tokens(), member={"credential": IDENTITY})

    assert (Failed(Outcome(Result.LOCAL, error="no token"), code="no token"), 0) == (made, server.count)


@pytest.mark.parametrize("identity", [IDENTITY, DefaultIdentity()])
def test_a_token_that_is_refused_is_replaced_once(identity):
    tokens = Tokens("old", "new")
    answer, record, server = tried(reply(401, b"{}"), OK, tokens=tokens, member={"credential": identity})

    assert (200, 2, ["old"]) == (answer.status, record.attempts, tokens.discarded)
    sent = [
        b"authorization: bearer " + value in head.lower()
        for value, (head, _) in zip([b"old", b"new"], server.requests, strict=True)
    ]
    assert [True, True] == sent


def test_a_new_token_that_is_refused_too_is_the_operators_fault():
    made, _, server = tried(reply(401, b"{}"), tokens=Tokens("old", "new"), member={"credential": IDENTITY})

    assert (Failed(Outcome(Result.OPERATOR, error="401"), 401), 2) == (made, server.count)


def test_a_key_that_is_refused_is_not_tried_again():
    made, _, server = tried(reply(401, b"{}"))

    assert (Result.OPERATOR, 1) == (made.outcome.result, server.count)


def test_a_token_is_renewed_though_the_request_may_make_no_other_call():
    tokens = Tokens("old", "new")

    made, _, server = tried(
        reply(401, b"{}"), OK, tokens=tokens, member={"credential": IDENTITY}, most_calls=1
    )

    assert (401, 1, ["new"]) == (made.status, server.count, tokens.values)


def test_a_stream_is_not_asked_again_without_usage_where_the_request_may_make_no_other_call():
    refusal = reply(400, {"error": {"message": "Unrecognized request argument supplied: stream_options"}})

    answer, _, server = tried(refusal, EVENTS, one=call(stream=True), most_calls=1)

    assert (400, 1) == (answer.status, server.count)


REFUSALS = {
    "azure": (400, {"error": {"message": "Unrecognized request argument supplied: stream_options"}}),
    "fastapi": (
        422,
        {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]},
    ),
}


@pytest.mark.parametrize("written", ["stream_options", "include_usage", "stream\\u005foptions"])
@pytest.mark.parametrize(("param", "asked"), [("stop", True), (None, True), ("stream_options", False)])
def test_a_refusal_that_may_repeat_a_clients_words_is_not_remembered(written, param, asked):
    body = f'{{"model":"gpt","stream":true,"stop":"{written}"}}'.encode()
    one = calls.read(CHAT, parse(body), None)
    refusal = reply(400, {"error": {"message": "Invalid: 'stream_options', 'include_usage'", "param": param}})

    bodies, answer, _ = attempts_of(refusal, EVENTS, one=one, times=2)

    assert (200, [True, False, asked]) == (answer.status, ["stream_options" in each for each in bodies])


def attempts_of(*script, one, times):
    """(the bodies that upstream got of `times` tries, what came of the last, its record)."""

    async def work():
        async with Scripted(*script) as server:
            target = deployment(base=server.url)
            pool = Upstream()
            attempts = Attempts(config(target), pool, Tokens("x"), clock=lambda: NOW, silence=5.0)
            for _ in range(times):
                record = Record("r", "chat", 0.0)
                deadline = Deadline.within(5)
                answer = await attempts.make(target, one, record, deadline, 6)
                if isinstance(answer, StreamedAnswer):
                    await answer.close()
            await pool.close()
            return [json.loads(body) for _, body in server.requests], answer, record

    return asyncio.run(work())


@pytest.mark.parametrize("name", REFUSALS)
def test_a_server_that_refuses_stream_options_is_asked_again_without_and_remembered(name):
    one = call(stream=True)
    bodies, answer, record = attempts_of(reply(*REFUSALS[name]), EVENTS, one=one, times=2)
    assert [True, False, False] == ["stream_options" in body for body in bodies]
    assert isinstance(answer, StreamedAnswer)
    assert 1 == record.attempts


@pytest.mark.parametrize("options", [{"include_usage": True}, {"x": 1}])
def test_the_clients_own_options_are_the_clients_mistake(options):
    one = call(stream=True, stream_options=options)
    bodies, answer, _ = attempts_of(reply(*REFUSALS["azure"]), one=one, times=1)
    assert (400, options) == (answer.status, bodies[-1]["stream_options"])


def test_what_a_client_wrote_cannot_make_a_member_forget_usage():
    one = call(stream=True, user="stream_options")
    echo = reply(400, {"error": {"message": "Invalid 'user': stream_options"}})
    bodies, answer, _ = attempts_of(echo, one=one, times=2)
    assert 400 == answer.status
    assert [True, False, True, False] == ["stream_options" in body for body in bodies]


def test_a_streams_time_out_is_met_when_it_has_begun():
    results = b'data: {"choices":[],"prompt_filter_results":[{}]}\n\n'
    step = then(NO_END + chunk(results), 0.4, chunk(b'data: {"choices":[{"delta":{}}]}\n\n'), "hang")
    answer, _, _ = tried(step, one=call(stream=True), member={"stream_timeout": 0.2})
    assert isinstance(answer, StreamedAnswer)


def test_a_deployments_headers_are_sent_beside_its_credential_also_with_a_renewed_token():
    member = {"headers": {"x-team": "search one"}, "credential": IDENTITY}
    _, _, server = tried(reply(401, {}), OK, tokens=Tokens("old", "new"), member=member)

    sent = [head.lower().split(b"\r\n") for head, _ in server.requests]

    assert [2, 1, 1] == [
        sum(line in head for head in sent)
        for line in (b"x-team: search one", b"authorization: bearer old", b"authorization: bearer new")
    ]
