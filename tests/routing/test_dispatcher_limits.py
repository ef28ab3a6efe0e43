"""Fallbacks, waiting, last resorts and caps, as the dispatcher's docstring has them, on real sockets."""

import asyncio
import json
import time
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from support.bench import Sender
from support.samples import TOKEN_LIMIT, call, deployment
from support.scripted import HANG, RESET, Scripted, reply, stream

from gateway.config.access import ClientLimits, Limit
from gateway.config.deployment import Config, Fallbacks
from gateway.config.load import load
from gateway.errors import RateLimited, TokenRateLimited, UpstreamFailed, UpstreamTimeout
from gateway.limits.balancing import learning
from gateway.protocol.operations import EMBEDDINGS
from gateway.routing import retries

pytestmark = pytest.mark.system

NOW = 1_700_000_000.0
OK = reply(200, {"choices": [{}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
EVENTS = stream(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n', b"data: [DONE]\n\n")
FAILED = reply(500, b"{}")
LIMITED = reply(429, b"{}", retry_after="20")
TOKENS = reply(429, {"error": {"message": TOKEN_LIMIT.format(20)}}, retry_after="20")
CALLS = reply(429, {"error": {"message": TOKEN_LIMIT.replace("token", "call").format(20)}}, retry_after="20")
NOT_THERE = reply(404, {"error": {"code": "DeploymentNotFound"}})


def refused(code):
    return reply(400, {"error": {"message": f"no: {code}", "code": code}})


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch):
    monkeypatch.setattr(retries, "BACKOFF_FIRST", 0.01)


class Bench(Sender):
    """A dispatcher in front of scripted upstreams; `models` maps a model to its (script, deployment fields)."""

    def __init__(self, models, servers, *, clock=None, random=lambda: 0.5, **options):
        self.models = models
        self.servers = servers
        self.now = NOW
        groups = {
            name: tuple(
                deployment(
                    f"{name}-{place}",
                    **{"base": servers[name][place].url, "model_name": name, "order": place} | fields,
                )
                for place, (_, fields) in enumerate(members)
            )
            for name, members in models.items()
        }
        config = Config(models=groups, **{"num_retries": 0} | options)
        super().__init__(config, clock=clock or (lambda: self.now), random=random)

    async def send(self, one=None, seconds=5.0):
        """The answer, or the error that the client would get."""
        return await self.answer(lambda: one or call(), seconds)

    @property
    def counts(self):
        """Requests by model and deployment."""
        return {name: [each.count for each in servers] for name, servers in self.servers.items()}


def run(models, test, **options):
    """Run `test(bench)`; a member is a script (tuple of steps), or a script and a mapping of its fields."""
    models = {
        name: [member if isinstance(member[-1], dict) else (member, {}) for member in members]
        for name, members in models.items()
    }

    async def work():
        async with AsyncExitStack() as stack:
            servers = {
                name: [await stack.enter_async_context(Scripted(*script)) for script, _ in members]
                for name, members in models.items()
            }
            return await Bench(models, servers, **options).tested(test)

    return asyncio.run(work())


def outcome(models, one=None, **options):
    """(answer or error, requests by model)."""

    async def test(bench):
        return await bench.send(one), bench.counts

    return run(models, test, **options)


# Fallbacks

TO_BIG = Fallbacks(general={"gpt": ("big",)})


@pytest.mark.parametrize("step", [LIMITED, FAILED, NOT_THERE, reply(200, b"<html>")])
def test_a_fallback_answers_where_no_deployment_of_the_model_can(step):
    answer, counts = outcome({"gpt": [(step,), (step,)], "big": [(OK,)]}, fallbacks=TO_BIG)

    assert (200, "big-0") == (answer.status, answer.deployment.id)
    assert {"gpt": [1, 1], "big": [1]} == counts


@pytest.mark.parametrize("step", [LIMITED, FAILED])
@pytest.mark.parametrize("fallback", [False, True])
def test_a_sibling_or_fallback_answers_without_any_waiting(step, fallback, pauses):
    models = {"gpt": [(step,)], "big": [(OK,)]} if fallback else {"gpt": [(step,), (OK,)]}
    answer, _ = outcome(models, fallbacks=TO_BIG, num_retries=3, max_wait=5.0)
    assert (200, []) == (answer.status, pauses)


def test_fallbacks_are_tried_in_their_order_and_no_more_than_are_allowed():
    models = {name: [(FAILED,)] for name in ("gpt", "one", "two", "three")}
    fallbacks = Fallbacks(general={"gpt": ("two", "one", "three")}, most=2)
    error, counts = outcome(models, fallbacks=fallbacks)

    assert (UpstreamFailed, {"gpt": [1], "one": [1], "two": [1], "three": [0]}) == (type(error), counts)


def test_default_fallbacks_are_for_models_without_their_own():
    models = {"gpt": [(FAILED,)], "big": [(FAILED,)], "other": [(OK,)]}
    fallbacks = Fallbacks(general={"big": ("gpt",)}, default=("other",))

    async def test(bench):
        first = await bench.send()
        second = await bench.send(call(path_model="big"))
        return first.status, second.status, bench.counts

    assert (200, 502, {"gpt": [2], "big": [1], "other": [1]}) == run(models, test, fallbacks=fallbacks)


def test_a_default_that_is_the_model_itself_is_not_tried_twice():
    error, counts = outcome({"gpt": [(FAILED,)]}, fallbacks=Fallbacks(default=("gpt",)))

    assert (502, {"gpt": [1]}) == (error.status, counts)


@pytest.mark.parametrize(
    ("models", "fallbacks"),
    [
        ({"gpt": [(FAILED, OK)]}, Fallbacks(default=("gpt",))),
        ({"gpt": [(FAILED, OK)], "big": [((OK,), {"operations": ("embeddings",)})]}, TO_BIG),
    ],
    ids=["itself", "another operation"],
)
def test_a_fallback_that_is_none_leaves_a_lone_deployment_its_retries(models, fallbacks):
    answer, counts = outcome(models, fallbacks=fallbacks, num_retries=1)

    assert (200, [2]) == (answer.status, counts["gpt"])


def test_an_operation_falls_back_to_models_that_serve_it():
    serves = {"operations": ("embeddings",)}
    models = {"gpt": [((FAILED,), serves)], "chat": [(OK,)], "embed": [((OK,), serves)]}
    _, counts = outcome(models, call(EMBEDDINGS), fallbacks=Fallbacks(default=("chat", "embed")))

    assert {"gpt": [1], "chat": [0], "embed": [1]} == counts


def test_a_lone_deployment_is_tried_again_while_its_fallback_rests():
    async def test(bench):
        await bench.send(call(path_model="big"))
        return (await bench.send()).status, bench.counts

    models = {"gpt": [(FAILED, OK)], "big": [(LIMITED,)]}
    assert (200, {"gpt": [2], "big": [1]}) == run(models, test, fallbacks=TO_BIG, num_retries=1)


def test_a_deployment_whose_fallback_failed_too_is_not_tried_again():
    error, counts = outcome({"gpt": [(FAILED,)], "big": [(FAILED,)]}, fallbacks=TO_BIG, num_retries=3)

    assert (502, {"gpt": [1], "big": [1]}) == (error.status, counts)


def test_four_deployments_of_a_model_are_tried_before_its_fallback():
    _, counts = outcome({"gpt": [(FAILED,)] * 6, "big": [(OK,)]}, fallbacks=TO_BIG)

    assert {"gpt": [1, 1, 1, 1, 0, 0], "big": [1]} == counts


def test_the_shortest_wait_of_the_model_and_its_fallbacks_is_told():
    models = {"gpt": [(LIMITED,)], "big": [(reply(429, b"{}", retry_after="5"),)]}
    error, _ = outcome(models, fallbacks=TO_BIG)

    assert (RateLimited, 5) == (type(error), error.retry_after)


def test_the_callers_own_mistake_is_no_reason_to_fall_back():
    answer, counts = outcome({"gpt": [(refused("invalid"),)], "big": [(OK,)]}, fallbacks=TO_BIG)

    assert (400, {"gpt": [1], "big": [0]}) == (answer.status, counts)


SPECIAL = {"context_length_exceeded": "context_window", "content_filter": "content_policy"}


@pytest.mark.parametrize("code", SPECIAL)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_prompt_that_is_too_long_or_blocked_goes_to_the_fallbacks_for_that(code, streamed):
    fallbacks = Fallbacks(**{SPECIAL[code]: {"gpt": ("big",)}})
    models = {"gpt": [(refused(code),), (OK,)], "big": [(EVENTS if streamed else OK,)]}
    answer, counts = outcome(models, call(stream=streamed), fallbacks=fallbacks)

    assert (200, "big-0", {"gpt": [1, 0], "big": [1]}) == (answer.status, answer.deployment.id, counts)


@pytest.mark.parametrize("code", SPECIAL)
def test_the_fallbacks_for_every_model_take_a_prompt_that_one_refuses_but_not_back_to_itself(code):
    entries = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_key": "k"}}
        for name in ("gpt", "big")
    ]
    router = {f"{SPECIAL[code]}_fallbacks": [{"*": ["big"]}]}
    document = json.dumps({"model_list": entries, "router_settings": router})
    fallbacks = load(document, {}, allow_anonymous=True).fallbacks
    models = {"gpt": [(refused(code),)], "big": [(OK, refused(code)), (OK,)]}

    async def test(bench):
        return [(await bench.send(call(path_model=name))).status for name in ("gpt", "big")], bench.counts

    assert ([200, 400], {"gpt": [1], "big": [2, 0]}) == run(models, test, fallbacks=fallbacks)


@pytest.mark.parametrize("code", SPECIAL)
def test_the_fallbacks_for_the_one_are_not_for_the_other(code):
    (other,) = set(SPECIAL.values()) - {SPECIAL[code]}
    fallbacks = Fallbacks(**{other: {"gpt": ("big",)}})
    answer, counts = outcome({"gpt": [(refused(code),)], "big": [(OK,)]}, fallbacks=fallbacks)

    assert (400, code, {"gpt": [1], "big": [0]}) == (answer.status, answer.code, counts)


@pytest.mark.parametrize("step", [FAILED, LIMITED, refused("other"), reply(422, b"{}"), HANG])
def test_where_no_fallback_answers_the_models_own_refusal_does(step):
    fallbacks = Fallbacks(context_window={"gpt": ("big", "bigger")})
    models = {"gpt": [(refused("context_length_exceeded"),)], "big": [(step,)], "bigger": [(step,)]}
    answer, counts = outcome(models, fallbacks=fallbacks, timeout=0.5)

    assert (400, b"no: context_length_exceeded") == (answer.status, answer.body[23:50])
    assert {"gpt": [1], "big": [1], "bigger": [1]} == counts


def test_limits_that_a_refusing_fallback_names_are_its_own():
    own = refused("context_length_exceeded")
    more = reply(
        400, {"error": {"message": "no"}}, x_ratelimit_limit_tokens="777", x_ratelimit_remaining_tokens="1"
    )

    async def test(bench):
        await bench.send()
        return {state.id: state.tpm for state in bench.parts.balancer.state(NOW)}

    models = {"gpt": [(own,)], "big": [(more,)]}
    limits = run(models, test, fallbacks=Fallbacks(context_window={"gpt": ("big",)}))
    assert {"gpt-0": None, "big-0": 777} == limits


# Waiting for room

SOON = reply(429, b"{}", retry_after_ms="600")


@pytest.mark.parametrize("fallback", [False, True])
def test_a_call_may_wait_for_room(fallback, pauses):
    models = {"gpt": [(SOON, OK)]} | ({"big": [(LIMITED,)]} if fallback else {})

    async def test(bench):
        started = time.perf_counter()
        answer = await bench.send()
        return answer.status, bench.counts["gpt"], time.perf_counter() - started

    status, count, seconds = run(models, test, fallbacks=TO_BIG, max_wait=1.0, clock=pauses.clock)
    assert (200, [2]) == (status, count)
    assert [0.6] == pytest.approx(pauses, abs=0.02)
    assert seconds > 0.58


@pytest.mark.parametrize("options", [{}, {"max_wait": 0.5}])
def test_a_call_does_not_wait_longer_than_it_may(options):
    error, counts = outcome({"gpt": [(SOON, OK)]}, **options)

    assert (429, 1, {"gpt": [1]}) == (error.status, error.retry_after, counts)


def test_all_waiting_of_one_call_counts(pauses):
    error, counts = outcome({"gpt": [(SOON, SOON, OK)]}, max_wait=1.0, clock=pauses.clock)
    assert (429, {"gpt": [2]}) == (error.status, counts)
    assert [0.6] == pytest.approx(pauses, abs=0.02)


def test_the_wait_that_is_told_is_that_after_the_waiting():
    error, counts = outcome({"gpt": [(SOON, LIMITED)]}, max_wait=1.0, clock=time.time)

    assert (20, {"gpt": [2]}) == (error.retry_after, counts)


def test_no_waiting_goes_beyond_the_deadline():
    async def test(bench):
        return await bench.send(seconds=0.4), bench.counts

    error, counts = run({"gpt": [(SOON, OK)]}, test, max_wait=5.0, clock=time.time)
    assert (429, {"gpt": [1]}) == (error.status, counts)


# What rests, and what is told of it


def test_a_small_call_is_a_last_resort_where_a_large_one_was_refused():
    async def test(bench):
        large = await bench.send(call(max_tokens=1000))
        return [large.status, (await bench.send(call(max_tokens=10))).status], bench.counts

    assert ([429, 200], {"gpt": [2]}) == run({"gpt": [(TOKENS, OK)]}, test)


def test_a_call_of_the_same_size_is_none():
    async def test(bench):
        return [(await bench.send(call(max_tokens=1000))).status for _ in range(2)], bench.counts

    assert ([429, 429], {"gpt": [1]}) == run({"gpt": [(TOKENS, OK)]}, test)


def test_two_last_resorts_are_tried_for_one_call():
    models = {"gpt": [(TOKENS,)] * 4}

    async def test(bench):
        await bench.send(call(max_tokens=1000))
        before = bench.counts["gpt"]
        await bench.send(call(max_tokens=10))
        return before, sum(bench.counts["gpt"])

    assert ([1, 1, 1, 1], 6) == run(models, test)


def test_provisioned_throughput_spills_to_the_next_tier_while_it_is_full():
    full = reply(429, b"{}", retry_after_ms="2500")
    models = {"gpt": [((full, OK), {"ptu": True}), (OK,)]}

    async def test(bench):
        used = [(await bench.send()).deployment.id for _ in range(2)]
        bench.now += 2.6
        return [*used, (await bench.send()).deployment.id], bench.counts

    assert (["gpt-1", "gpt-1", "gpt-0"], {"gpt": [2, 2]}) == run(models, test)


def test_without_cooldowns_upstreams_wait_is_told_all_the_same():
    async def test(bench):
        return [(await bench.send()).retry_after for _ in range(2)], bench.counts

    assert ([20, 20], {"gpt": [2]}) == run({"gpt": [(LIMITED,)]}, test, disable_cooldowns=True)


TOO_LARGE = reply(429, b"{}", retry_after="86400")


def test_a_call_that_is_too_large_for_all_is_told_not_to_come_back():
    error, _ = outcome({"gpt": [(TOO_LARGE,), (TOO_LARGE,)]})

    assert ("x-should-retry", "false") in error.headers()


@pytest.mark.parametrize("other", [LIMITED, FAILED])
def test_a_call_that_is_too_large_for_one_may_come_back_for_another(other):
    error, _ = outcome({"gpt": [(TOO_LARGE,), (other,)]})

    assert (429, True) == (error.status, error.retryable)


def test_a_call_that_is_too_large_for_one_may_come_back_for_another_that_rests():
    async def test(bench):
        await bench.send()
        bench.now += 19
        return await bench.send(), bench.counts

    models = {"gpt": [((OK, TOO_LARGE), {}), ((LIMITED,), {})]}
    models["gpt"][0][1]["order"] = 2

    error, counts = run(models, test)
    assert ({"gpt": [2, 1]}, 1, True) == (counts, error.retry_after, error.retryable)


SPENT = reply(429, {"error": {"code": "insufficient_quota", "message": "no money"}})


@pytest.mark.parametrize("step", [SPENT, reply(429, b"{}", retry_after="86400")])
def test_a_quota_that_is_spent_is_told_with_every_answer(step):
    async def test(bench):
        return [await bench.send() for _ in range(2)], bench.counts

    errors, counts = run({"gpt": [(step,)]}, test)
    assert ([(429, 60, False)] * 2, {"gpt": [1]}) == (
        [(error.status, error.retry_after, error.retryable) for error in errors],
        counts,
    )


def test_calls_whose_lone_deployment_rests_by_now_are_tried_again_when_it_is_back(monkeypatch):
    monkeypatch.setattr(learning, "FIRST_COOLDOWN", 0.6)

    async def test(bench):
        answers = await asyncio.gather(*(bench.send() for _ in range(12)))
        return Counter(answer.status for answer in answers)

    script = (*[FAILED] * 12, OK)
    assert {200: 12} == run({"gpt": [script]}, test, num_retries=3, clock=time.time)


@pytest.mark.parametrize(("step", "charged"), [(RESET, 1), (None, 0)])
def test_a_call_that_was_on_its_way_stays_charged_and_one_that_was_not_does_not(step, charged):
    base = {} if step else {"base": "http://127.0.0.1:9"}

    async def test(bench):
        error = await bench.send()
        return error.status, bench.parts.balancer.state(NOW)[0].charged_requests

    assert (503, charged) == run({"gpt": [((step or OK,), base)]}, test)


# Caps


def test_a_deployments_cap_sends_a_call_elsewhere_and_then_back():
    models = {"gpt": [((OK,), {"rpm": 1}), ((OK,), {"rpm": 1})]}

    async def test(bench):
        answers = [await bench.send() for _ in range(3)]
        bench.now += 60
        return [*answers, await bench.send()], bench.counts

    answers, counts = run(models, test, capped=True)
    assert [200, 200, 429, 200] == [answer.status for answer in answers]
    assert (60, {"gpt": [2, 1]}) == (answers[2].retry_after, counts)


def test_a_deployments_own_max_tokens_counts_in_its_cap():
    async def test(bench):
        return [(await bench.send()).status for _ in range(2)]

    members = {"gpt": [((reply(200, {"choices": [{}]}),), {"tpm": 5000, "defaults": {"max_tokens": 4000}})]}
    assert [200, 429] == run(members, test, capped=True)


def test_without_caps_only_upstream_refuses():
    async def test(bench):
        return [(await bench.send()).status for _ in range(4)], bench.counts

    assert ([200] * 4, {"gpt": [4]}) == run({"gpt": [((OK,), {"rpm": 1})]}, test)


@pytest.mark.parametrize(
    ("limit", "kind", "type_"),
    [(Limit(rpm=1), RateLimited, "requests"), (Limit(tpm=100), TokenRateLimited, "tokens")],
)
@pytest.mark.parametrize("scope", ["all", "model"])
def test_a_clients_cap_refuses_before_anything_is_sent(limit, kind, type_, scope):
    limits = ClientLimits(limit) if scope == "all" else ClientLimits(models={"gpt": limit})

    async def test(bench):
        first = await bench.send(call(max_tokens=90))
        bench.now += 20
        return first, await bench.send(call(max_tokens=98)), bench.counts

    first, second, counts = run({"gpt": [(OK,)]}, test, client_limits=limits)
    assert (200, {"gpt": [1]}) == (first.status, counts)
    assert (kind, type_, 40) == (type(second), second.type, second.retry_after)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("limit", "kind"), [({"rpm": 1}, RateLimited), ({"tpm": 100}, TokenRateLimited)], ids=["rpm", "tpm"]
)
def test_a_deployments_cap_says_which_of_its_limits_is_full(limit, kind, strict):
    async def test(bench):
        await bench.send(call(max_tokens=90))
        return await bench.send(call(max_tokens=98)), bench.counts

    second, counts = run({"gpt": [((OK,), {**limit, "strict": strict})]}, test, capped=True)
    assert (kind, {"gpt": [1]}) == (type(second), counts)


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [(TOKENS, TokenRateLimited), (CALLS, RateLimited)],
    ids=["tokens", "calls"],
)
def test_whoever_comes_while_a_deployment_rests_is_told_which_limit_upstream_named(refusal, kind):
    async def test(bench):
        return type(await bench.send()), type(await bench.send()), bench.counts

    assert (kind, kind, {"gpt": [1]}) == run({"gpt": [((refusal,), {})]}, test)


def test_a_models_cap_is_not_anothers():
    limits = ClientLimits(models={"gpt": Limit(rpm=1)})

    async def test(bench):
        return [(await bench.send(call(path_model=name))).status for name in ("gpt", "gpt", "big")]

    assert [200, 429, 200] == run({"gpt": [(OK,)], "big": [(OK,)]}, test, client_limits=limits)


def test_a_call_that_is_refused_while_all_rest_takes_nothing_of_its_clients_cap():
    async def test(bench):
        for _ in range(5):
            await bench.send()
        return bench.parts.dispatcher.limit_headers(call(), bench.parts.master)

    headers = run({"gpt": [(LIMITED,)]}, test, client_limits=ClientLimits(Limit(rpm=3)))
    assert ("x-ratelimit-remaining-requests", "2") in headers


@pytest.mark.parametrize(("step", "left"), [(HANG, "100"), (FAILED, "400"), (refused("x"), "400")])
def test_a_call_that_upstream_may_have_worked_for_keeps_its_tokens(step, left):
    async def test(bench):
        outcome = await bench.send(call(max_tokens=300))
        return type(outcome), bench.parts.dispatcher.limit_headers(call(), bench.parts.master)

    kind, headers = run({"gpt": [(step,)]}, test, client_limits=ClientLimits(Limit(tpm=400)), timeout=0.5)
    assert ("x-ratelimit-remaining-tokens", left) in headers
    assert (kind is UpstreamTimeout) == (step is HANG)


# What is left


def headers_after(models, *, count=1, **options):
    async def test(bench):
        for _ in range(count):
            await bench.send(call(max_tokens=50))
        return dict(bench.parts.dispatcher.limit_headers(call(), bench.parts.master))

    return run(models, test, **options)


def test_what_is_left_is_told_of_all_deployments_of_the_model():
    models = {"gpt": [((OK,), {"tpm": 1000, "rpm": 60}), ((OK,), {"tpm": 500, "rpm": 40})]}

    assert {
        "x-ratelimit-limit-tokens": "1500",
        "x-ratelimit-remaining-tokens": "1400",
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "98",
    } == headers_after(models, count=2)


def test_what_is_left_of_a_clients_own_limits_comes_first():
    models = {"gpt": [((OK,), {"tpm": 1000, "rpm": 60})]}
    limits = ClientLimits(Limit(rpm=20), {"gpt": Limit(rpm=5, tpm=300)})

    assert {
        "x-ratelimit-limit-tokens": "300",
        "x-ratelimit-remaining-tokens": "293",
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "4",
    } == headers_after(models, client_limits=limits)


@pytest.mark.parametrize("fields", [{}, {"rpm": 60}])
def test_nothing_is_told_of_limits_that_are_not_known(fields):
    assert {} == headers_after({"gpt": [((OK,), {}), ((OK,), fields)]})
