"""A store that is down, slow or refusing: every call is answered, at most one short time-out later."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.azurite import Azurite, connection_string, require_azurite
from support.calls import call, wait_for
from support.faults import FaultProxy
from support.fleet import WARM, entry, simulated, started

#: What a call may take longer: the two waits of 0.05 s each, and a busy machine. An operation may take two seconds.
PATIENT = 1.5
CAPPED = {"optional_pre_call_checks": ["enforce_model_rate_limits"]}

FAULTS = {
    "cut": {"cut": True},
    "slow": {"delay": 30.0},
    "busy": {"answer": (503, "ServerBusy")},
    "forbidden": {"answer": (403, "AuthorizationFailure")},
}


@pytest.fixture(scope="module")
def simulator():
    with simulated([{"name": "strict"}]) as running:
        yield running


def calls(fleet, count=12):
    """(statuses, the longest time) of calls over two seconds and more."""
    replies = []
    for _ in range(count):
        replies += fleet.one_by_one(0, WARM)
        time.sleep(0.2)
    return {reply.status for reply in replies}, max(reply.seconds for reply in replies)


def healed(fleet):
    def healthy():
        assert 200 == fleet.one_by_one(0, WARM)[0].status
        time.sleep(0.2)
        return fleet.storage(0)["healthy"]

    return wait_for(healthy)


def lives_through(simulator, azurite, fault):
    """What becomes of a gateway whose store fails for a while in one way."""
    with (
        FaultProxy(azurite.port) as proxy,
        started(simulator, 1, azurite.at(proxy.port), []) as fleet,
    ):
        fleet.warm_up()
        _, usual = calls(fleet)
        for name, value in fault.items():
            setattr(proxy, name, value)
        statuses, longest = calls(fleet)
        failing = fleet.storage(0)
        proxy.heal()
        return {
            "statuses": statuses,
            "longer": longest - usual,
            "failing": (failing["healthy"], failing["reason"], failing["failing_since"] is not None),
            "healed": healed(fleet),
            "warnings": fleet.gateways[0].log().count("the shared store is unavailable"),
        }


@pytest.fixture(scope="module")
def lived(simulator, azurite):
    """What became of a gateway for each fault, all at the same time."""
    with ThreadPoolExecutor(len(FAULTS)) as pool:
        found = pool.map(lambda fault: lives_through(simulator, azurite, fault), FAULTS.values())
        return dict(zip(FAULTS, found, strict=True))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_store_costs_no_call_more_than_a_short_wait(lived, fault):
    assert {200} == lived[fault]["statuses"]
    assert lived[fault]["longer"] < PATIENT


@pytest.mark.parametrize(
    ("fault", "reason"), [("cut", "down"), ("slow", "slow"), ("busy", "busy"), ("forbidden", "forbidden")]
)
def test_a_failing_store_is_told_to_the_master_key(lived, fault, reason):
    assert (False, reason, True) == lived[fault]["failing"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_is_back_is_used_again(lived, fault):
    assert lived[fault]["healed"]


@pytest.mark.parametrize("fault", ["cut", "busy", "forbidden"])
def test_a_failing_store_is_logged_once(lived, fault):
    assert 1 == lived[fault]["warnings"]


@pytest.fixture(scope="module")
def restarted(simulator):
    """A gateway whose Azurite is down at its start, then up, stopped, and started again with nothing in it."""
    require_azurite()
    azurite = Azurite()
    with contextlib.ExitStack() as stack:
        fleet = stack.enter_context(started(simulator, 1, azurite.connection_string, []))
        found = {"down at the start": (*calls(fleet), fleet.storage(0)["healthy"])}
        stack.callback(azurite.stop)
        azurite.start()
        found["started"] = (*calls(fleet, 1), healed(fleet))
        azurite.stop()
        found["stopped"] = (*calls(fleet), fleet.storage(0)["healthy"])
        azurite.start()
        found["started again"] = (*calls(fleet, 1), healed(fleet))
        return found


@pytest.mark.parametrize(
    ("stage", "healthy"),
    [("down at the start", False), ("started", True), ("stopped", False), ("started again", True)],
)
def test_a_store_may_come_and_go(restarted, stage, healthy):
    statuses, longest, found = restarted[stage]

    assert ({200}, healthy) == (statuses, found)
    # Loading the client of the store at the first call takes a while of its own.
    assert longest < (PATIENT if stage != "down at the start" else 10.0)


def test_without_a_key_nothing_is_told_of_the_store(simulator):
    with started(simulator, 1, connection_string(1), []) as fleet:
        fleet.one_by_one(0, WARM)
        assert {"status": "ok"} == call(fleet.gateways[0].port, "GET", "/readyz", key=None).json()


def test_a_strict_cap_that_cannot_be_asked_lets_calls_through_after_one_timeout(simulator, azurite):
    entries = [entry(simulator.url, "strict", rpm=2, strict=True)]
    with (
        FaultProxy(azurite.port) as proxy,
        started(simulator, 1, azurite.at(proxy.port), entries, router_settings=CAPPED) as fleet,
    ):
        fleet.warm_up()
        proxy.delay = 30.0
        (reply,) = fleet.one_by_one(0, "strict")
    assert 200 == reply.status
    # One time-out is a second, the store's answer would take thirty.
    assert 0.9 < reply.seconds < 15
