from __future__ import annotations

import pytest
from support import combinations
from support.hosts import start_embedded_host, start_functions_host
from support.processes import Server
from support.sample_app import SAMPLE_APP

pytest_generate_tests = combinations.pytest_generate_tests


@pytest.fixture(scope="session")
def host(request) -> Server:
    """The sample app."""
    name, loop = request.param
    start = start_functions_host if name == "functions" else start_embedded_host
    with start(SAMPLE_APP, loop=loop) as running:
        yield running


@pytest.fixture(scope="session")
def embedded_host():
    with start_embedded_host(SAMPLE_APP) as running:
        yield running
