"""Groups of different models: who gets a call that some of them refuse, and what each of them gets."""

import json

import pytest
from support.bench import run
from support.scripted import reply

from gateway.errors import BadRequest

pytestmark = pytest.mark.system

OK = reply()
DOWN = reply(503, b"{}")
REASONING = {"base_model": "o3-mini"}
MESSAGES = [{"role": "user", "content": "hi"}]


def bodies(bench):
    return [[json.loads(body) for _, body in upstream.requests] for upstream in bench.upstreams]


def test_a_refused_parameter_costs_no_call_and_no_place_in_a_cap():
    async def test(bench):
        refused = await bench.send(messages=MESSAGES, top_p=0.5)
        answer = await bench.send(messages=MESSAGES)
        return refused.status, refused.param, type(refused), answer.status, bench.counts

    limits = {"general_settings": {"master_key": "sk-1234", "client_limits": {"rpm": 1}}}

    assert (400, "top_p", BadRequest, 200, [1]) == run([((OK,), REASONING, {})], test, **limits)


def test_a_call_goes_past_members_that_refuse_it_and_each_gets_its_own_body():
    async def test(bench):
        for given in ({}, {"temperature": 0.5}):
            assert 200 == (await bench.send(messages=MESSAGES, max_tokens=9, **given)).status
        return bench.counts, bodies(bench)

    counts, ((first,), (second, third)) = run([((DOWN,), REASONING, {}), ((OK,), {}, {})], test)

    assert [1, 2] == counts
    assert (9, False) == (first["max_completion_tokens"], "max_tokens" in first)
    assert (9, 9, 0.5) == (second["max_tokens"], third["max_tokens"], third["temperature"])


def test_a_fallback_gets_the_clients_own_body_and_one_that_refuses_is_not_called():
    async def test(bench):
        answers = [
            await bench.send("a", messages=MESSAGES, max_tokens=9),
            await bench.send("b", messages=MESSAGES, max_tokens=9, top_p=0.5),
        ]
        return [answer.status for answer in answers], bench.counts, bodies(bench)[1][0]

    scripts = [
        ((DOWN,), REASONING | {"num_retries": 0}, {"name": "a"}),
        ((OK, DOWN), {"num_retries": 0}, {"name": "b"}),
    ]
    fallbacks = {"router_settings": {"fallbacks": [{"a": ["b"]}, {"b": ["a"]}]}}

    statuses, counts, body = run(scripts, test, **fallbacks)

    assert ([200, 503], [1, 2], 9) == (statuses, counts, body["max_tokens"])
