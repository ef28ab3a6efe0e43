"""The long form: 2, 5 and 10 gateways under traffic that fills their deployments, and what may befall them.

    make soak

prints the table of docs/performance.md.
"""

from __future__ import annotations

import os
import signal

import pytest
from support.azurite import Azurite, require_azurite
from support.crowd import CAPACITIES, HEAD, MODEL, UPSTREAM, Befalls, Crowd
from support.fleet import entry, simulated, started

from benchmarks.tables import table

SECONDS = 90
FROZEN = 90


@pytest.fixture(scope="module")
def rows():
    """The table's rows, printed when all is over."""
    found = []
    yield found
    print("\n\n" + table(["scenario", "gateways", "load", "calls", *HEAD], found))


def deployments():
    for number, (name, capacity) in enumerate(CAPACITIES.items()):
        limits = {
            "tpm": capacity,
            "rpm": 6 * capacity // 1000,
            "rpm_window_s": 10,
            "phase_s": 13 + 17 * number,
        }
        first = 1000 * UPSTREAM
        yield {"name": name, "limits": limits, "latency": {"first_ms": [first, first]}, "answer_tokens": 60}


class Soak:
    """One run: a fleet, its storage, its clients, and what came of them."""

    def __init__(self, rows):
        self.rows = rows

    def __call__(
        self, name, gateways, load, *events, burst=False, returns=False, seconds=SECONDS, storage=None
    ):
        require_azurite()
        with storage or Azurite() as azurite, simulated(list(deployments())) as simulator:
            entries = [entry(simulator.url, MODEL, each, tpm=tpm) for each, tpm in CAPACITIES.items()]
            with started(simulator, gateways, azurite.connection_string, entries) as fleet:
                fleet.warm_up()
                crowd = Crowd(fleet, load=load, burst=burst, returns=returns, seconds=seconds)
                outcome = crowd.run(*events)
                row = outcome.row(fleet)
                healthy = [fleet.storage(number)["healthy"] for number in sorted(crowd.alive)]
        self.rows.append([name, gateways, load, *row])
        print("\n" + table(["scenario", "gateways", "load", "calls", *HEAD], self.rows[-1:]))
        assert [True] * len(healthy) == healthy
        return outcome


@pytest.fixture
def soak(rows):
    return Soak(rows)


def send(number, which):
    """Send a signal to a gateway's process; the clients turn to the others, or come back."""

    def act(crowd):
        if which == signal.SIGCONT:
            crowd.alive.add(number)
        else:
            crowd.alive.discard(number)
        os.kill(crowd.fleet.gateways[number].pid, which)

    return act


def avoidable_share(outcome):
    return outcome.avoidable / len(outcome.replies)


@pytest.mark.soak
@pytest.mark.parametrize("gateways", [2, 5, 10])
@pytest.mark.parametrize("burst", [False, True], ids=["paced", "burst"])
def test_a_fleet_below_its_limits_refuses_next_to_nothing(soak, gateways, burst):
    outcome = soak("bursts of 12" if burst else "paced", gateways, 0.8, burst=burst)

    assert 0 == outcome.errors
    assert avoidable_share(outcome) <= 0.01


@pytest.mark.soak
def test_a_fleet_near_its_limits_refuses_little_that_would_have_fitted(soak):
    outcome = soak("paced", 5, 0.95)

    assert 0 == outcome.errors
    assert avoidable_share(outcome) <= 0.03


@pytest.mark.soak
def test_a_fleet_above_its_limits_uses_them_and_tells_clients_a_true_wait(soak):
    outcome = soak("Retry-After storm", 5, 1.5, returns=True)

    assert 0 == outcome.errors
    # Deployments rest that refused a large call and would have taken this smaller one. No more are refused for
    # that: what one call leaves another takes ("three small" in benchmarks.limits; the oracle refuses as many).
    assert avoidable_share(outcome) <= 0.15


@pytest.mark.soak
def test_a_killed_gateway_takes_only_its_own_calls_with_it(soak):
    outcome = soak("SIGKILL of one", 5, 0.8, Befalls(30, send(1, signal.SIGKILL)))

    assert 0 == outcome.errors
    assert avoidable_share(outcome) <= 0.01


@pytest.mark.soak
def test_a_frozen_gateway_comes_back_without_harm(soak):
    freeze, thaw = Befalls(10, send(1, signal.SIGSTOP)), Befalls(10 + FROZEN, send(1, signal.SIGCONT))
    outcome = soak("SIGSTOP of one for 90 s", 5, 0.8, freeze, thaw, seconds=10 + FROZEN + 20)

    assert 0 == outcome.errors
    assert avoidable_share(outcome) <= 0.01


@pytest.mark.soak
def test_a_storage_that_stops_and_starts_again_is_no_error(soak):
    storage = Azurite()
    stop, start = Befalls(30, lambda _: storage.stop()), Befalls(50, lambda _: storage.start())
    outcome = soak("Azurite away for 20 s", 5, 0.8, stop, start, storage=storage)

    assert 0 == outcome.errors


@pytest.mark.soak
def test_a_failing_deployment_is_left_alone_and_comes_back(soak):
    def fault(crowd):
        crowd.fleet.simulator.fault("unequal-c", {"status": 503, "body": {}, "times": 0})

    def mend(crowd):
        crowd.fleet.simulator.fault("unequal-c")

    outcome = soak("the largest fails for 30 s", 5, 0.3, Befalls(20, fault), Befalls(50, mend))

    assert (0, 0) == (outcome.errors, outcome.avoidable)
