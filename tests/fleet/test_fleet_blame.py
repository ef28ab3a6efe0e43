"""Three gateways over three deployments: one caller of the worst kind, and deployments that are really down."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest
from support.choosy import HOSTILE, choosy
from support.fleet import ask, entry, simulated, started

pytestmark = pytest.mark.system

MODEL = "shared"
DEPLOYMENTS = ("shared-a", "shared-b", "shared-c")
GATEWAYS = 3
#: Calls a second.
HOSTILE_RATE = 5
HONEST_RATE = 10


@pytest.fixture(scope="module")
def upstream():
    with choosy() as running:
        yield running


@pytest.fixture(scope="module")
def fleet(upstream, azurite):
    entries = [entry(upstream.url, MODEL, name) for name in DEPLOYMENTS]
    with (
        simulated([]) as simulator,
        started(simulator, GATEWAYS, azurite.connection_string, entries) as running,
    ):
        running.warm_up()
        yield running


async def paced(rate, seconds, send):
    """`rate` calls of `send(number)` a second, without waiting for their replies; their replies."""
    loop = asyncio.get_running_loop()
    began, calls = loop.time(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(began + number / rate - loop.time())
        calls.append(asyncio.ensure_future(send(number)))
    return await asyncio.gather(*calls)


def resting(fleet):
    """Deployments of the model that rest in the eyes of any gateway."""
    found = (each for number in range(GATEWAYS) for each in fleet.state(number)["data"])
    return {each["id"] for each in found if each["id"] in DEPLOYMENTS and each["resting_until"] is not None}


def attacked(fleet, seconds):
    """Statuses of honest calls beside one hostile caller, and of its own calls by kind."""
    kinds = itertools.cycle(HOSTILE)

    async def hostile(number):
        kind = next(kinds)
        extra = {"max_tokens": 100_000_000} if kind == "tokens" else {}
        reply = await ask(fleet, number % GATEWAYS, MODEL, user=kind, seed=number, **extra)
        return kind, reply.status

    async def honest(number):
        return (await ask(fleet, number % GATEWAYS, MODEL)).status

    async def work():
        return await asyncio.gather(
            paced(HOSTILE_RATE, seconds, hostile), paced(HONEST_RATE, seconds, honest)
        )

    bad, good = asyncio.run(work())
    return Counter(good), bad


def check_attack(fleet, seconds):
    good, bad = attacked(fleet, seconds)

    assert {200: int(HONEST_RATE * seconds)} == good
    assert set() == resting(fleet)
    # The caller learns what is wrong with its own calls.
    told = dict(bad)
    assert (429, 429, 403, 404) == tuple(told[kind] for kind in ("flex", "bare-429", "parameter", "file"))
    assert (400, 400, 400, 500) == tuple(told[kind] for kind in ("version", "limit", "tokens", "content"))
    assert {502} == {told["key"], told["server"], told["page"]}


def check_outage(fleet, upstream, seconds):
    async def work():
        return await paced(HONEST_RATE, seconds, lambda number: ask(fleet, number % GATEWAYS, MODEL))

    upstream.down = set(DEPLOYMENTS[:2])
    upstream.counts.clear()
    try:
        replies = asyncio.run(work())
    finally:
        upstream.down = set()

    calls = int(HONEST_RATE * seconds)
    assert {200: calls} == Counter(reply.status for reply in replies)
    assert calls == upstream.counts["shared-c", ""]


def test_no_honest_call_fails_beside_one_hostile_caller(fleet):
    check_attack(fleet, 6)


def test_the_third_deployment_answers_every_call_while_two_are_down(fleet, upstream):
    check_outage(fleet, upstream, 6)


@pytest.mark.soak
def test_no_honest_call_fails_beside_one_hostile_caller_for_minutes(fleet):
    check_attack(fleet, 120)


@pytest.mark.soak
def test_the_third_deployment_answers_every_call_while_two_are_down_for_minutes(fleet, upstream):
    check_outage(fleet, upstream, 120)
