"""Fixtures of several folders; each conftest imports those it offers."""

from __future__ import annotations

import pytest

from simulator.testing import serve
from support.upstream import Pool, simulator_config


@pytest.fixture(scope="session")
def simulator():
    """The simulator behind the gateways of one folder's tests."""
    with serve(simulator_config()) as running:
        yield running


@pytest.fixture(scope="session")
def pool(simulator) -> Pool:
    """Models that no other test has used."""
    return Pool(simulator)
