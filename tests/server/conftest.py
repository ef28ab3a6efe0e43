from __future__ import annotations

import pytest
from support.hosts import start_embedded_host, start_functions_host
from support.processes import Server
from support.sample_app import SAMPLE_APP


@pytest.fixture(scope="session")
def embedded_host():
    with start_embedded_host(SAMPLE_APP) as host:
        yield host


@pytest.fixture(scope="session")
def functions_host():
    with start_functions_host(SAMPLE_APP) as host:
        yield host


@pytest.fixture(scope="session")
def embedded_asyncio_host():
    with start_embedded_host(SAMPLE_APP, loop="asyncio") as host:
        yield host


@pytest.fixture(scope="session")
def functions_asyncio_host():
    with start_functions_host(SAMPLE_APP, loop="asyncio") as host:
        yield host


@pytest.fixture(params=["embedded", "functions", "embedded_asyncio", "functions_asyncio"])
def host(request) -> Server:
    """The sample app on each host and each event loop in turn; on uvloop where none is named."""
    return request.getfixturevalue(f"{request.param}_host")
