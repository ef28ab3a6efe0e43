"""Whose fault failures are, as one request and those after it meet them; real sockets."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from contextlib import AsyncExitStack

import pytest
from support.bench import Sender
from support.samples import call, deployment
from support.scripted import HANG, RESET, Scripted, reply, stream

from gateway.config.deployment import ClientSecret, Config, Fallbacks, RetryPolicies
from gateway.errors import GatewayError
from gateway.routing import retries

pytestmark = pytest.mark.system

OK = reply(200, {"choices": [{}]})
FAILED = reply(500, b"{}")


def said(status, code, message, **headers):
    return reply(
        status, {"error": {"code": code, "message": message, "type": None, "param": None}}, **headers
    )


FLEX = said(429, "resource_unavailable", "The flex tier has no capacity for dep-{}.")
PARAMETER = said(403, "403", "The parameter 'logprobs' is not allowed for request 6f{}9.")
FILE = said(404, "not_found", "No such file: file-1")
KEY = said(401, "401", "Access denied due to invalid subscription key or wrong API endpoint.")
VERSION = said(400, "BadRequest", "API version not supported")
NO_PATH = said(404, "404", "Resource not found")
NETWORK = said(403, "403", "Access denied due to Virtual Network/Firewall rules.")
PAGE = reply(403, b"<html>blocked</html>", content_type="text/html")
INVALID = reply(
    500,
    {
        "error": {
            "message": "The model produced invalid content. Consider modifying your prompt.",
            "type": "model_error",
            "param": None,
            "code": None,
        }
    },
)
NOT_THERE = said(404, "DeploymentNotFound", "The API deployment for this resource does not exist.")
V1 = said(400, None, "Could not find an existing deployment to match the model in the request. Check it.")
RETIRED = said(410, "ModelDeprecated", "The model is deprecated.")
DOUBTFUL = {"flex": FLEX, "parameter": PARAMETER, "file": FILE, "key": KEY, "version": VERSION, "page": PAGE}


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch):
    monkeypatch.setattr(retries, "BACKOFF_FIRST", 0.01)


class Bench(Sender):
    """One instance; the deployments of model `gpt` are asked in their order, each has a script."""

    def __init__(self, models, *, member=None, tokens=None, **options):
        self.now = 1_700_000_000.0
        groups = {
            name: tuple(
                deployment(f"{name}-{place}", base=each.url, model_name=name, order=place, **(member or {}))
                for place, each in enumerate(upstreams)
            )
            for name, upstreams in models.items()
        }
        self.models = models
        config = Config(groups, allow_anonymous=True, **{"num_retries": 0} | options)
        super().__init__(config, clock=lambda: self.now, tokens=tokens)

    async def send(self, **body):
        """The answer, or the client's error."""
        return await self.answer(lambda: call(**body))

    @property
    def counts(self):
        return [upstream.count for upstreams in self.models.values() for upstream in upstreams]

    @property
    def resting(self):
        states = self.parts.balancer.state(self.now)
        return [each.id for each in states if each.resting_until is not None or each.resting_operations]


def run(test, *scripts, fallback=(), **options):
    """Run `test(bench)`; each script is the steps of one deployment."""

    async def work():
        async with AsyncExitStack() as stack:
            models = {"gpt": [await stack.enter_async_context(Scripted(*each)) for each in scripts]}
            if fallback:
                models["big"] = [await stack.enter_async_context(Scripted(*each)) for each in fallback]
            return await Bench(models, **options).tested(test)

    return asyncio.run(work())


def named(step, place):
    """A refusal as the deployment with that number words it, with ids of its own."""
    head, _, body = step.partition(b"\r\n\r\n")
    if b"html" in body:
        return step
    body = body.replace(b"{}", str(place).encode())
    error = json.loads(body)
    return reply(int(head[9:12]), error)


@pytest.mark.parametrize("step", DOUBTFUL.values(), ids=DOUBTFUL)
@pytest.mark.parametrize("fallback", [False, True])
def test_a_refusal_that_two_deployments_give_alike_is_the_requests_own(step, fallback):
    async def test(bench):
        for _ in range(5):
            await bench.send(user="different", seed=bench.counts[0])
        return bench.counts, bench.resting

    scripts = [(named(step, place),) for place in range(2)]
    more = {"fallback": [(OK,)], "fallbacks": Fallbacks(general={"gpt": ("big",)})} if fallback else {}

    assert ([5, 5, 0] + [0] * fallback, []) == run(test, *scripts, (OK,), **more)


@pytest.mark.parametrize(
    ("step", "status", "text"),
    [
        (FLEX, 429, "The flex tier has no capacity for "),
        (PARAMETER, 403, "The parameter 'logprobs' is not allowed for request"),
        (FILE, 404, "No such file: file-1"),
        (PAGE, 403, "refused the request"),
        (KEY, 502, "failed to answer"),
        (VERSION, 502, "failed to answer"),
        (NO_PATH, 502, "failed to answer"),
        (NETWORK, 502, "failed to answer"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_client_gets_upstreams_refusal_where_that_tells_it_the_truth(step, status, text, stream):
    async def test(bench):
        return await bench.send(stream=stream)

    answer = run(test, (named(step, 0),), (named(step, 1),), (OK,))

    assert status == answer.status
    assert text in (
        answer.message if isinstance(answer, GatewayError) else json.loads(answer.body)["error"]["message"]
    )


def test_refusals_that_differ_are_no_requests_own():
    async def test(bench):
        return (await bench.send()).status, bench.counts

    assert (200, [1, 1, 1]) == run(test, (KEY,), (PARAMETER,), (OK,))


@pytest.mark.parametrize("step", [FLEX, PARAMETER, FILE, KEY])
def test_one_deployments_refusal_rests_it_when_a_different_request_meets_it(step):
    async def test(bench):
        found = []
        for content in ("one", "one", "two", "three"):
            answer = await bench.send(user=content)
            found.append((answer.status, bench.counts, bench.resting))
        return found

    assert [
        (200, [1, 1], []),
        (200, [2, 2], []),
        (200, [3, 3], ["gpt-0"]),
        (200, [3, 4], ["gpt-0"]),
    ] == run(test, (step,), (OK,))


@pytest.mark.parametrize("step", [NOT_THERE, V1, RETIRED])
def test_a_word_beyond_doubt_rests_a_deployment_at_once(step):
    async def test(bench):
        return [(await bench.send()).status for _ in range(2)], bench.counts, bench.resting

    assert ([200, 200], [1, 2], ["gpt-0"]) == run(test, (step,), (OK,))
    assert ([502, 503], [1], ["gpt-0"]) == run(test, (step,))


@pytest.mark.parametrize("step", [FAILED, RESET, INVALID, PARAMETER, KEY, FILE])
def test_a_lone_deployment_is_called_whatever_failed(step):
    async def test(bench):
        for number in range(12):
            await bench.send(seed=number)
        return (await bench.send()).status, bench.counts, bench.resting

    assert (200, [13], []) == run(test, (*[step] * 12, OK))


def test_a_request_counts_once_against_a_lone_deployment_however_often_it_is_retried():
    """Six tries of two requests would be one more than rests a deployment that is not the last."""

    async def test(bench):
        for _ in range(4):
            await bench.send()
        health = bench.parts.balancer._members["gpt-0"].health
        return bench.counts, health._calls

    assert ([12], 4) == run(test, (FAILED,), num_retries=2)


@pytest.mark.parametrize("steps", [(FAILED, FAILED), (FAILED, RESET), (HANG, FAILED)])
def test_a_request_that_fails_on_two_deployments_is_held_against_neither(steps):
    async def test(bench):
        answers = [(await bench.send()).status for _ in range(6)]
        return answers, bench.resting

    first, second = steps
    assert ([200] * 6, []) == run(test, (first,), (second,), (OK,), timeout=0.5)


def test_a_deployment_that_fails_alone_rests():
    async def test(bench):
        for _ in range(6):
            await bench.send()
        return bench.counts, bench.resting

    assert ([5, 6], ["gpt-0"]) == run(test, (FAILED,), (OK,))


def test_a_failure_at_what_another_deployment_refuses_is_held_against_nobody():
    refusal = said(400, "content_filter", "No.")

    async def test(bench):
        for _ in range(6):
            await bench.send()
        return bench.counts, bench.resting

    assert ([6, 6], []) == run(test, (FAILED,), (refusal,))


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_makes_the_model_fail_is_answered_with_that(stream):
    async def test(bench):
        for _ in range(9):
            answer = await bench.send(stream=stream)
        return answer.status, answer.body, bench.counts, bench.resting

    assert (500, INVALID.partition(b"\r\n\r\n")[2], [9, 0], []) == run(test, (INVALID,), (OK,))


@pytest.mark.parametrize(
    "step",
    [
        said(400, "unknown_parameter", "Unknown parameter: 'API version not supported'."),
        said(
            400, "invalid_value", "Invalid role: 'Could not find an existing deployment to match the model'"
        ),
        said(422, None, "DeploymentNotFound"),
        said(400, "x", "have exceeded token rate limit. Please retry after 60 seconds"),
    ],
)
def test_no_text_of_a_clients_is_taken_for_upstreams(step):
    async def test(bench):
        answers = [(await bench.send()).status for _ in range(3)]
        return set(answers), bench.counts, bench.resting

    assert ({int(step[9:12])}, [3, 0], []) == run(test, (step,), (OK,))


@pytest.mark.parametrize("step", [NOT_THERE, V1], ids=["azure", "v1"])
def test_a_deployment_that_the_clients_data_sources_name_is_the_clients(step):
    async def test(bench):
        answer = await bench.send(data_sources=[{"type": "azure_search"}])
        return answer.status, bench.counts, bench.resting

    status = 404 if step is NOT_THERE else 502
    assert (status, [1, 1, 0], []) == run(test, (step,), (step,), (OK,))


def test_a_request_makes_no_more_calls_than_it_may():
    async def test(bench):
        await bench.send()
        return sum(bench.counts), bench.record.attempts

    fallbacks = Fallbacks(general={"gpt": ("big",)})
    scripts = [(FAILED,)] * 5

    assert (6, 6) == run(test, *scripts, fallback=scripts, fallbacks=fallbacks)
    assert (3, 3) == run(test, *scripts, fallback=scripts, fallbacks=fallbacks, max_upstream_calls=3)
    assert (6, 6) == run(test, (FAILED,), num_retries=50)


def test_special_fallbacks_count_among_the_calls_of_a_request():
    async def test(bench):
        await bench.send()
        return bench.counts

    long = said(400, "context_length_exceeded", "Too long.")
    fallbacks = Fallbacks(context_window={"gpt": ("big",)})

    assert [1, 1, 1, 0] == run(
        test, (FAILED,), (long,), fallback=[(FAILED,)] * 2, fallbacks=fallbacks, max_upstream_calls=3
    )


class FreshTokens:
    """Another token each time."""

    def __init__(self):
        self._numbers = itertools.count()

    async def token(self, _identity):
        return f"token-{next(self._numbers)}"

    def discard(self, _identity, _value):
        """Nothing is kept."""


#: What makes a request cost another call, each in its own way; and the two ends that do not.
COSTLY = [
    FAILED,
    KEY,
    FILE,
    FLEX,
    V1,
    said(400, None, "Unrecognized request argument supplied: stream_options"),
    said(400, "context_length_exceeded", "Too long."),
    said(400, "content_filter", "Blocked."),
    said(429, "RateLimitReached", "Slow down.", retry_after="1"),
    reply(200, b"{}"),
    said(400, "invalid_value", "No."),
    stream(b'data: {"choices":[{"delta":{}}]}\n\n'),
]


@pytest.mark.parametrize("most", [1, 2, 3, 6])
def test_no_mixture_of_retries_fallbacks_and_repetitions_costs_more(most):
    chance = random.Random(most)

    async def test(bench):
        for _ in range(2):
            before = sum(bench.counts)
            await bench.send(stream=True)
            assert (bench.record.attempts, True) == (
                sum(bench.counts) - before,
                bench.record.attempts <= most,
            )
        return bench.record.attempts

    others = {"gpt": ("big", "gpt")}
    costs = [
        run(
            test,
            *[chance.choices(COSTLY, k=9) for _ in range(3)],
            fallback=[chance.choices(COSTLY, k=9) for _ in range(2)],
            fallbacks=Fallbacks(general=others, context_window=others, content_policy=others),
            member={"credential": ClientSecret("t", "c", "s")},
            tokens=FreshTokens(),
            num_retries=5,
            retry_policies=RetryPolicies(general={"BadRequestError": 2, "InternalServerError": 3}),
            max_upstream_calls=most,
        )
        for _ in range(12)
    ]
    assert most in costs


def test_a_refused_call_is_charged_nowhere():
    refusal = said(400, "invalid_value", "max_tokens is too large")

    async def test(bench):
        for _ in range(7):
            await bench.send(max_tokens=100_000_000)
        (state,) = bench.parts.balancer.state(bench.now)
        return state.charged_tokens, state.charged_requests, (await bench.send()).status

    assert (0, 0, 400) == run(test, (refusal,))


def test_a_client_that_leaves_takes_no_failure_with_it():
    async def test(bench):
        for number in range(5):
            sending = asyncio.ensure_future(bench.send())
            while bench.counts[1] <= number:
                await asyncio.sleep(0.01)
            sending.cancel()
            await asyncio.wait({sending})
        return bench.resting

    assert ["gpt-0"] == run(test, (FAILED,), (HANG,))
