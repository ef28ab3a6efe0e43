"""Each rule of the dispatcher's docstring, on real sockets; what is counted is upstream's requests.

One fault for each result of a try: which fault has which result is in tests/upstream/test_attempts.py and
test_verdicts.py, and all of them on both hosts in tests/flows/test_flow_failover.py.
"""

import asyncio
from contextlib import AsyncExitStack

import pytest
from support.bench import Sender
from support.calls import PATIENCE
from support.samples import TOKEN_LIMIT, call, config, deployment
from support.scripted import HANG, NO_END, RESET, Scripted, chunk, reply, stream, then

from gateway.errors import RateLimited, UpstreamFailed, UpstreamTimeout, UpstreamUnavailable
from gateway.routing import retries
from gateway.upstream.answers import WholeAnswer
from gateway.upstream.time_limit import Deadline
from simulator.ports import closed_port

pytestmark = pytest.mark.system

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
YES = b'{"choices": [{}], "answer": "yes"}'
OK = reply(200, YES)
EVENTS = stream(b'data: {"choices":[{"delta":{}}]}\n\n', b"data: [DONE]\n\n")


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch):
    monkeypatch.setattr(retries, "BACKOFF_FIRST", 0.01)


class Bench(Sender):
    """A dispatcher whose deployments a, b, ... stand for scripted upstreams and are tried in this order."""

    def __init__(self, upstreams, *, random=lambda: 0.5, silence=5.0, tokens=None, **options):
        per_member = {key: options.pop(key) for key in ("timeout", "stream_timeout") if key in options}
        if "own_retries" in options:
            per_member["num_retries"] = options.pop("own_retries")
        self.upstreams = upstreams
        self.group = [
            deployment(letter, base=getattr(upstream, "url", upstream), order=place, **per_member)
            for place, (letter, upstream) in enumerate(zip("abcdef", upstreams, strict=False))
        ]
        self.now = NOW
        one = config(*self.group, **{"num_retries": 0} | options)
        super().__init__(one, clock=lambda: self.now, tokens=tokens, random=random, silence=silence)
        self.dispatcher = self.parts.dispatcher

    async def send(self, one=None, seconds=5.0):
        """The answer, or the error that the client would get."""
        return await self.answer(lambda: one or call(), seconds)

    @property
    def counts(self):
        return [upstream.count for upstream in self.upstreams if not isinstance(upstream, str)]


def run(scripts, test, **options):
    """Run `test(bench)` with one upstream for each script (a tuple of steps, an upstream, or a URL)."""

    async def work():
        async with AsyncExitStack() as stack:
            upstreams = []
            for script in scripts:
                upstream = Scripted(*script) if isinstance(script, tuple) else script
                upstreams.append(
                    upstream if isinstance(upstream, str) else await stack.enter_async_context(upstream)
                )
            return await Bench(upstreams, **options).tested(test)

    return asyncio.run(work())


def outcome(*scripts, one=None, seconds=5.0, **options):
    """(answer or error, requests per upstream, attempts)."""

    async def test(bench):
        result = await bench.send(one, seconds)
        return result, bench.counts, bench.record.attempts

    return run(scripts, test, **options)


FAULTS = {
    "torn": RESET,
    "408": reply(408, {"error": {"code": "Timeout"}}),
    "429": reply(429, {"error": {"code": "429"}}),
    "500": reply(500, {"error": {"code": "InternalServerError"}}),
    "503": reply(503, b""),
    "404": reply(404, {"error": {"code": "DeploymentNotFound"}}),
}


@pytest.mark.parametrize("step", FAULTS.values(), ids=FAULTS)
def test_a_fault_moves_on_to_the_next_deployment(step):
    answer, counts, attempts = outcome((step,), (OK,))
    assert (YES, [1, 1], 2) == (answer.body, counts, attempts)


def test_a_reset_before_the_request_was_read_moves_on():
    answer, counts, _ = outcome(Scripted(reset_at_once=True), (OK,))
    assert (200, [0, 1]) == (answer.status, counts)


def test_a_host_that_does_not_exist_moves_on():
    answer, counts, _ = outcome("http://no-such-host.invalid", (OK,))
    assert (200, [1]) == (answer.status, counts)


def test_a_host_that_no_host_can_have_moves_on():
    answer, counts, _ = outcome(f"http://{'a' * 70}.invalid", (OK,))
    assert (200, [1]) == (answer.status, counts)


STREAM_FAULTS = {
    "500": FAULTS["500"],
    "no stream": OK,
    "torn": then(NO_END + chunk(b'data: {"ch'), "reset"),
    "an error event": stream(b'data: {"error":{"type":"server_error","message":"x","code":"y"}}\n\n'),
}


@pytest.mark.parametrize("step", STREAM_FAULTS.values(), ids=STREAM_FAULTS)
def test_a_fault_before_a_streams_first_event_moves_on(step):
    answer, counts, _ = outcome((step,), (EVENTS,), one=call(stream=True))
    assert ([1, 1], "b") == (counts, answer.deployment.id)
    assert answer.events[0] == b'data: {"choices":[{"delta":{}}]}\n\n'


@pytest.mark.parametrize("streamed", [False, True])
def test_the_callers_own_mistake_is_answered_at_once_and_byte_for_byte(streamed):
    step = reply(422, {"error": {"message": "odd", "code": 5}})
    answer, counts, _ = outcome((step,), (OK,), one=call(stream=streamed), num_retries=3)
    assert ([1, 0], step.partition(b"\r\n\r\n")[2], 422) == (counts, answer.body, answer.status)


@pytest.mark.parametrize("body", [b"<html>no</html>", b"", b"no"])
def test_a_refusal_that_is_no_json_is_answered_in_openais_shape(body):
    answer, counts, _ = outcome((reply(400, body, content_type="text/html"),))
    expected = b'{"error":{"message":"The model\'s upstream service refused the request.","type":"invalid_request_error","param":null,"code":null}}'
    assert (expected, "application/json", [1]) == (answer.body, answer.content_type, counts)


def test_a_stream_that_begins_with_the_callers_mistake_is_an_http_error():
    event = b'data: {"error":{"type":"invalid_request_error","message":"dep-a says no","code":"bad"}}\n\n'
    answer, counts, _ = outcome((stream(event),), (EVENTS,), one=call(stream=True))
    assert (400, "bad", [1, 0], WholeAnswer) == (answer.status, answer.code, counts, type(answer))
    assert (
        b'{"error": {"type": "invalid_request_error", "message": "gpt says no", "code": "bad"}}'
        == answer.body
    )


@pytest.mark.parametrize("own", [0, 1, 3])
def test_a_lone_deployments_own_retries_go_before_those_of_the_configuration(own):
    _, counts, _ = outcome((FAULTS["500"],), num_retries=2, own_retries=own)
    assert [own + 1] == counts


def test_two_deployments_are_each_tried_once_whatever_the_retries():
    _, counts, _ = outcome((FAULTS["500"],), (FAULTS["500"],), num_retries=5)
    assert [1, 1] == counts


def test_a_second_timeout_ends_it():
    error, counts, _ = outcome((HANG,), (HANG,), (OK,), timeout=0.5)
    assert ([1, 1, 0], UpstreamTimeout) == (counts, type(error))


def test_after_a_timeout_other_faults_still_move_on():
    answer, counts, _ = outcome((HANG,), (FAULTS["500"],), (OK,), timeout=0.5)
    assert (200, [1, 1, 1]) == (answer.status, counts)


def test_a_stream_that_is_silent_before_its_first_event_moves_on():
    silent = then(NO_END + chunk(b": x"), "hang")
    answer, counts, _ = outcome((silent,), (EVENTS,), one=call(stream=True), stream_timeout=0.5)
    assert ("b", [1, 1]) == (answer.deployment.id, counts)


def test_silence_within_a_reply_is_a_timeout():
    error, counts, _ = outcome(
        (then(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", "hang"),), silence=0.5, num_retries=3
    )
    assert ([1], UpstreamTimeout) == (counts, type(error))


def test_a_lone_deployment_is_not_tried_again_after_a_timeout():
    error, counts, _ = outcome((HANG,), timeout=0.5, num_retries=3)
    assert ([1], UpstreamTimeout, 504) == (counts, type(error), error.status)


def test_a_dripping_reply_ends_at_the_deployments_timeout():
    drip = then(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n", *[b"{", 0.05] * 20)
    error, _, _ = outcome((drip,), timeout=0.3)
    assert isinstance(error, UpstreamTimeout)


def test_the_deadline_ends_everything():
    error, counts, _ = outcome((HANG,), (OK,), seconds=0.15)
    assert ([1, 0], UpstreamTimeout) == (counts, type(error))


@pytest.mark.parametrize(
    ("streamed", "options", "limit"),
    [
        (False, {"timeout": 1.0}, 1.0),
        (True, {"timeout": 1.0}, 1.0),
        (True, {"timeout": 9.0, "stream_timeout": 2.0}, 2.0),
        (False, {"timeout": 1.0, "stream_timeout": 9.0}, 1.0),
        (False, {"timeout": 100.0}, 50.0),
        (False, {}, 50.0),
    ],
)
def test_the_closest_timeout_counts(streamed, options, limit):
    async def test(bench):
        deadline = Deadline.within(50)
        now = deadline.at - 50
        return bench.dispatcher._attempts._limit(bench.group[0], call(stream=streamed), deadline) - now

    assert limit == pytest.approx(run(["http://127.0.0.1:1"], test, **options), abs=0.1)


@pytest.mark.parametrize("name", ["408", "500", "503", "torn"])
def test_a_lone_deployment_is_tried_again_up_to_the_retries(name):
    _, counts, attempts = outcome((FAULTS[name],), num_retries=2)
    assert ([3], 3) == (counts, attempts)


def test_a_lone_deployment_that_recovers_answers():
    answer, counts, _ = outcome((FAULTS["500"], RESET, OK), num_retries=2)
    assert (200, [3]) == (answer.status, counts)


def test_a_lone_deployment_that_cannot_be_reached_is_tried_again():
    error, _, attempts = outcome(f"http://127.0.0.1:{closed_port()}", num_retries=2)
    assert (UpstreamUnavailable, 503, 3) == (type(error), error.status, attempts)


@pytest.mark.parametrize("name", ["404", "429"])
def test_a_lone_deployment_is_not_tried_again_where_that_cannot_help(name):
    _, counts, _ = outcome((FAULTS[name],), num_retries=3)
    assert [1] == counts


def elapsed(work):
    async def timed():
        loop = asyncio.get_running_loop()
        started = loop.time()
        result = await work
        return result, loop.time() - started

    return timed()


def test_backoff_doubles(monkeypatch, pauses):
    monkeypatch.setattr(retries, "BACKOFF_FIRST", 0.1)

    async def test(bench):
        return (await elapsed(bench.send()))[1]

    seconds = run([(FAULTS["500"],)], test, num_retries=2, random=lambda: 0.0)
    assert [0.1, 0.2] == pytest.approx(pauses)
    assert seconds > 0.29


def test_upstreams_wait_is_kept_before_a_lone_deployment_is_tried_again(pauses):
    async def test(bench):
        return await elapsed(bench.send())

    answer, seconds = run([(reply(503, b"{}", retry_after_ms="250"), OK)], test, num_retries=1)
    assert 200 == answer.status
    assert [0.25] == pytest.approx(pauses)
    assert seconds > 0.24


def test_no_retry_begins_that_would_end_after_the_deadline():
    error, counts, _ = outcome((reply(503, b"{}", retry_after="2"), OK), num_retries=1, seconds=0.5)
    assert ([1], UpstreamUnavailable) == (counts, type(error))


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({}, {}, 10),
        ({"retry_after": "7"}, {}, 7),
        ({"retry_after_ms": "2500"}, {}, 3),
        ({"x_ms_retry_after_ms": "3000"}, {}, 3),
        ({"retry_after_ms": "0", "retry_after": "1"}, {}, 1),
        ({"retry_after": "Tue, 14 Nov 2023 22:13:50 GMT"}, {}, 30),
        ({}, {"error": {"message": TOKEN_LIMIT.format(26)}}, 26),
    ],
)
def test_each_form_of_a_limit_reaches_the_client_as_the_same_wait(headers, body, wait):
    error, counts, _ = outcome((reply(429, body, **headers),))
    assert ([1], 429, "rate_limit_exceeded") == (counts, error.status, error.code)
    assert [("retry-after", str(wait)), ("retry-after-ms", str(wait * 1000))] == error.headers()
    plural = "" if wait == 1 else "s"
    assert (
        f"Rate limit reached for the model `gpt`. Please try again in {wait} second{plural}." == error.message
    )


def test_a_limited_deployment_rests_until_its_time():
    async def test(bench):
        first = await bench.send()
        resting = await bench.send()
        bench.now += 7
        return [first, resting, await bench.send()], bench.counts

    (first, resting, later), counts = run([(reply(429, b"{}", retry_after="7"), OK)], test)
    assert ([429, 429, 200], [2]) == ([first.status, resting.status, later.status], counts)
    assert first.headers() == resting.headers()


def test_where_one_of_two_rests_the_other_counts_as_alone():
    async def test(bench):
        await bench.send()
        return (await bench.send()).status, bench.counts

    status, counts = run(
        [(reply(429, b"{}", retry_after="7"),), (OK, FAULTS["500"], OK)], test, num_retries=1
    )
    assert (200, [1, 3]) == (status, counts)


def test_a_call_that_is_too_large_by_itself_is_told_not_to_come_back():
    error, _, _ = outcome((reply(429, b"{}", retry_after="86400"),))
    assert [
        ("retry-after", "60"),
        ("retry-after-ms", "60000"),
        ("x-should-retry", "false"),
    ] == error.headers()


def test_a_limit_is_told_even_if_the_last_failure_was_another():
    error, _, _ = outcome((FAULTS["429"],), (FAULTS["500"],))
    assert (RateLimited, ("retry-after", "10")) == (type(error), error.headers()[0])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("404", UpstreamFailed),
        ("500", UpstreamFailed),
        ("408", UpstreamTimeout),
        ("503", UpstreamUnavailable),
        ("torn", UpstreamUnavailable),
    ],
)
def test_each_failure_has_a_neutral_error(name, kind):
    error, _, _ = outcome((FAULTS[name],))
    assert kind is type(error)
    assert kind.default_message == error.message


def test_a_redirect_is_not_followed():
    async def work():
        async with Scripted(OK) as elsewhere, Scripted(reply(307, b"", location=elsewhere.url)) as upstream:
            await Bench([upstream]).tested(lambda bench: bench.send())
            return upstream.count, elsewhere.count

    assert (1, 0) == asyncio.run(work())


def test_upstream_sees_one_credential_and_no_more_headers_than_it_needs():
    async def test(bench):
        await bench.send()
        return bench.upstreams[0].requests

    ((head, body),) = run([(OK,)], test)
    line, *headers = head.decode().split("\r\n")[:-2]
    named = dict(header.lower().split(": ", 1) for header in headers)
    assert "POST /openai/deployments/dep-a/x HTTP/1.1" == line
    assert {
        "host",
        "accept",
        "accept-encoding",
        "content-type",
        "user-agent",
        "api-key",
        "content-length",
    } == set(named)
    assert ("upstream-key", "application/json") == (named["api-key"], named["content-type"])
    assert call().body.raw == body


@pytest.mark.parametrize("streamed", [False, True])
def test_a_caller_that_leaves_closes_upstream_at_once(streamed):
    async def test(bench):
        sending = asyncio.create_task(bench.send(call(stream=streamed)))
        while not bench.counts[0]:
            await asyncio.sleep(0.005)
        sending.cancel()
        await asyncio.wait({sending})
        async with asyncio.timeout(PATIENCE):
            while not bench.upstreams[0].left:
                await asyncio.sleep(0.005)
        return sending.cancelled()

    assert run([(HANG,)], test)


PARTIAL = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n"


@pytest.mark.parametrize(
    ("step", "one"),
    [
        (then(PARTIAL + b"\r\n{", "hang"), call()),
        (then(PARTIAL + b"content-type: text/html\r\n\r\n<", "hang"), call(stream=True)),
        (then(NO_END + chunk(b"data: "), "hang"), call(stream=True)),
    ],
    ids=["late body", "no stream", "late event"],
)
def test_a_try_that_failed_before_its_reply_ended_closes_its_connection(step, one):
    async def test(bench):
        await bench.send(one)
        async with asyncio.timeout(PATIENCE):
            while not bench.upstreams[0].left:
                await asyncio.sleep(0.005)

    run([(step,)], test, timeout=0.5)


def test_failures_leave_no_connection_behind():
    async def test(bench):
        # One fewer than what opens the circuit.
        for _ in range(4):
            await bench.send()
        return bench.upstreams[0].connections, bench.counts

    failing = reply(500, b"x" * 100_000)
    assert (1, [4, 4]) == run([(failing,), (OK,)], test)


def test_a_log_line_names_the_deployment_by_its_id_only(caplog):
    outcome((FAULTS["404"],))
    (line,) = [record.getMessage() for record in caplog.records if record.name == "gateway.upstream"]
    assert "deployment a failed: operator, status 404, code DeploymentNotFound" == line


def test_time_at_upstream_is_recorded():
    async def test(bench):
        await bench.send()
        return bench.record.waited

    # A call has five seconds.
    assert 0.1 <= run([(then(b"", 0.1, OK),)], test) < 5
