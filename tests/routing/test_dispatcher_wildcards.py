"""Calls of names that wildcards serve, on real sockets: what is called, and whom a failure is held against."""

import asyncio
import json
import time

import pytest
from support.bench import run
from support.samples import call
from support.scripted import reply

from gateway.auth.principal import ModelFilter, Principal
from gateway.errors import ModelNotFound, RateLimited, UpstreamUnavailable
from gateway.limits.balancing import members

pytestmark = pytest.mark.system

OK = reply()
ABSENT = reply(404, {"error": {"code": "DeploymentNotFound", "message": "x"}})
LIMITED = reply(429, b"{}", retry_after="20")


def wildcard(*steps, **params):
    return steps, {"model": "azure/*"} | params, {"name": "azure/*"}


def test_the_deployment_that_the_caller_names_is_called_and_recorded():
    async def test(bench):
        answer = await bench.send("azure/gpt-4o")
        return answer.status, bench.called(), bench.record.deployment

    expected = (200, ["/openai/deployments/gpt-4o/chat/completions"], "azure/*#1:gpt-4o")

    assert expected == run([wildcard(OK)], test)


def test_a_deployment_that_is_not_there_is_the_callers_mistake_and_rests_nobody():
    async def test(bench):
        errors = [await bench.send("azure/gone") for _ in range(3)]
        answer = await bench.send("azure/there")
        states = bench.parts.balancer.state(time.time())
        return [type(error) for error in errors], answer.status, [state.id for state in states], bench.counts

    expected = ([ModelNotFound] * 3, 200, ["azure/*#1", "azure/*#1:there"], [4])

    assert expected == run([wildcard(ABSENT, ABSENT, ABSENT, OK)], test)


def test_names_that_callers_make_up_leave_nothing_behind():
    async def test(bench):
        balancer = bench.parts.balancer
        await asyncio.gather(*(bench.send(f"azure/made-up-{number % 5}") for number in range(20)))
        rows = balancer.rows(time.time())
        return [state.id for state in balancer.state(time.time())], "made-up" in "".join(
            row.text for row in rows
        )

    assert (["azure/*#1"], False) == run([wildcard(ABSENT)], test)


def test_another_resource_of_the_group_may_have_it():
    async def test(bench):
        return [(await bench.send("azure/a")).status for _ in range(2)], bench.counts

    assert ([200, 200], [2, 2]) == run([wildcard(ABSENT), wildcard(OK)], test)


def test_a_limit_of_one_name_is_none_of_another():
    async def test(bench):
        limited, again = await bench.send("azure/a"), await bench.send("azure/a")
        other = await bench.send("azure/b")
        return type(limited), type(again), other.status, bench.counts

    assert (RateLimited, RateLimited, 200, [2]) == run([wildcard(LIMITED, OK)], test)


def test_each_call_of_a_name_teaches_what_it_brings():
    async def test(bench):
        first = await bench.send("azure/a")
        bench.parts.models._served._found.clear()
        await bench.send("azure/a")
        return first.status, type(await bench.send("azure/a")), bench.counts

    assert (200, RateLimited, [2]) == run([wildcard(OK, LIMITED)], test)


def test_a_fixed_deployment_that_is_not_there_is_the_operators_mistake():
    async def test(bench):
        return type(await bench.send("gpt-5")), type(await bench.send("gpt-6"))

    fixed = ((ABSENT,), {"model": "azure/fixed"}, {"name": "gpt-*"})
    first, second = run([fixed], test)

    assert ModelNotFound not in (first, second)
    assert UpstreamUnavailable is second


def test_places_and_caps_are_each_names_own():
    started = []

    async def slow(writer):
        started.append(1)
        await asyncio.sleep(0.1)
        writer.write(OK)

    async def test(bench):
        answers = await asyncio.gather(bench.send("azure/a"), bench.send("azure/b"), bench.send("azure/b"))
        return [answer.status for answer in answers]

    member = wildcard(slow, max_parallel_requests=1)

    assert [200] * 3 == run([member], test)


def test_no_more_names_are_remembered_than_may_be(monkeypatch):
    monkeypatch.setattr(members, "MOST_FILLED", 2)

    async def test(bench):
        for name in ("a", "b", "a", "c"):
            await bench.send(f"azure/{name}")
        return [state.id for state in bench.parts.balancer.state(time.time())][1:]

    assert {"azure/*#1:a", "azure/*#1:c"} == set(run([wildcard(OK)], test))


def test_what_a_name_has_learnt_outlives_another_configuration():
    async def test(bench):
        await bench.send("azure/a")
        bench.parts.balancer.configure(bench.parts.config)
        return type(await bench.send("azure/a")), bench.counts

    assert (RateLimited, [1]) == run([wildcard(LIMITED)], test)


def test_a_wildcards_fallbacks_and_policy_hold_for_what_it_serves():
    backup = ((OK,), {}, {"name": "backup"})
    settings = {
        "num_retries": 0,
        "fallbacks": [{"azure/*": ["backup"]}],
        "model_group_retry_policy": {"azure/*": {"InternalServerErrorRetries": 0}},
    }

    async def test(bench):
        return (await bench.send("azure/a")).status, bench.counts

    assert (200, [1, 1]) == run([wildcard(reply(500, b"{}")), backup], test, router_settings=settings)


def test_a_client_is_judged_by_the_name_that_it_asks_for():
    async def test(bench):
        models = bench.parts.models
        client = Principal("team", models=ModelFilter(["azure/gpt-*", "azure/o3"]))
        allowed = {}
        for name in ("azure/gpt-4o", "azure/o3", "azure/secret", "azure/*"):
            try:
                models.check(call(path_model=name), client)
                allowed[name] = True
            except ModelNotFound:
                allowed[name] = False
        return allowed, models.names(client), json.loads(models.listing(bench.parts.master))["data"]

    allowed, names, listed = run([wildcard(OK)], test)

    assert {"azure/gpt-4o": True, "azure/o3": True, "azure/secret": False, "azure/*": False} == allowed
    assert (["azure/o3"], []) == (names, listed)


def test_a_name_that_a_wildcard_serves_is_a_model():
    async def test(bench):
        return json.loads(bench.parts.models.entry("azure/gpt-4o", bench.parts.master))["id"]

    assert "azure/gpt-4o" == run([wildcard(OK)], test)
