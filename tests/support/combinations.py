"""Which tests run on which host and event loop: RUNS says it for every test that takes one of FIXTURES.

Azure's worker installs uvloop, and the embedded host takes it where it is installed: both hosts on uvloop run everything.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import NamedTuple

import pytest


class Combination(NamedTuple):
    """A host and the event loop under it."""

    host: str
    loop: str = "uvloop"

    def __str__(self) -> str:
        return self.host if self.loop == "uvloop" else f"{self.host}_{self.loop}"


EMBEDDED, FUNCTIONS = Combination("embedded"), Combination("functions")
EMBEDDED_ASYNCIO, FUNCTIONS_ASYNCIO = Combination("embedded", "asyncio"), Combination("functions", "asyncio")

HOSTS = (EMBEDDED, FUNCTIONS)
ALL = (*HOSTS, EMBEDDED_ASYNCIO, FUNCTIONS_ASYNCIO)

#: For a folder or a file of tests/; a file's own line goes before its folder's.
RUNS = {
    "server/test_both_hosts.py": ALL,
    "server/test_http_connections.py": (EMBEDDED, EMBEDDED_ASYNCIO),
    "contract": HOSTS,
    "flows": HOSTS,
    "flows/test_flow_routes.py": (*HOSTS, EMBEDDED_ASYNCIO),
    "flows/test_flow_streams.py": (*HOSTS, EMBEDDED_ASYNCIO),
    "flows/test_flow_failover.py": (*HOSTS, EMBEDDED_ASYNCIO),
    # How a connection ends is where the loops differ most, and the Functions runtime has two of them for a request.
    "flows/test_flow_leaving.py": ALL,
}

#: What such a test takes: a running host, or the combination to start its own on.
FIXTURES = ("host", "gateway", "impatient", "narrow", "running", "hasty")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on the combinations of its file; the conftest of each folder of RUNS has this hook.

    `@pytest.mark.only_on(HOST, reason=...)` leaves the other host out, for what cannot be there.
    """
    path = PurePath(*metafunc.definition.path.parts[-2:])
    combinations = RUNS.get(path.as_posix()) or RUNS.get(path.parent.name, ())
    for marker in metafunc.definition.iter_markers("only_on"):
        combinations = tuple(each for each in combinations if each.host == marker.args[0])
    for name in FIXTURES:
        if combinations and name in metafunc.fixturenames:
            metafunc.parametrize(name, combinations, ids=str, indirect=True)
