from __future__ import annotations

import pytest
from doubles.cloud import running_cloud
from support import combinations, fixtures
from support.calls import call, wait_for
from support.combinations import Combination
from support.gateways import Gateway, start_gateway
from support.keyless import equip, simulated
from support.upstream import gateway_config

from simulator.testing import serve

simulator, pool = fixtures.simulator, fixtures.pool
pytest_generate_tests = combinations.pytest_generate_tests

#: Low limits on bodies.
LIMITS = {
    "GATEWAY_MAX_BODY_BYTES": "1000000",
    "GATEWAY_MAX_HELD_BYTES": "1500000",
}
#: Those, and time-outs that tests can wait for; a busy machine may take seconds for what should be in time.
IMPATIENT = LIMITS | {
    "GATEWAY_REPLY_TIMEOUT": "5",
    "GATEWAY_STREAM_TIMEOUT": "8",
    "GATEWAY_STREAM_HOLD": "0.5",
    "GATEWAY_KEEP_ALIVE": "0.2",
    "GATEWAY_UPLOAD_TIMEOUT": "3",
    "GATEWAY_ARRIVAL_TIMEOUT": "3",
}


@pytest.fixture(scope="session")
def gateway(request, simulator) -> Gateway:
    """The gateway with its default settings."""
    with start_gateway(request.param, gateway_config(simulator.url)) as running:
        yield running


@pytest.fixture(scope="session")
def impatient(request, simulator) -> Gateway:
    """The gateway with short time-outs and low limits."""
    with start_gateway(request.param, gateway_config(simulator.url), **IMPATIENT) as running:
        # On Functions the first request loads the configuration; these time-outs are not for that.
        assert wait_for(lambda: 200 == call(running.port, "GET", "/readyz", key=None).status)
        yield running


@pytest.fixture
def host(request) -> Combination:
    """Where a test starts its own gateway."""
    return request.param


@pytest.fixture(scope="session")
def narrow(request, simulator) -> Gateway:
    """The gateway with low limits and its own time-outs, for bodies that take a busy machine a while."""
    with start_gateway(request.param, gateway_config(simulator.url), **LIMITS) as running:
        yield running


@pytest.fixture(scope="session")
def azure():
    """A simulator for gateways without keys."""
    with serve(simulated()) as running:
        yield running


@pytest.fixture
def cloud(tmp_path, azure):
    """Doubles with a configuration of three parts in the vault."""
    azure.reset()
    with running_cloud(tmp_path) as running:
        equip(running, azure.url)
        yield running
