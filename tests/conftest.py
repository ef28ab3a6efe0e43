"""For all tests: an environment without the settings of the developer's own shell, and what `make unit` leaves out."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support import azurite, forks, side_by_side

_OWN = ("GATEWAY_", "AZURE_", "OPENAI_", "IDENTITY_", "MSI_")

#: Folders whose tests run whole programs: they are marked `system` without saying so.
_SYSTEM = {
    "benchmarks",
    "cli",
    "clients",
    "contract",
    "fleet",
    "flows",
    "infra",
    "package",
    "scripts",
    "simulator",
}
#: The line that marks all tests of a file.
_ALL_SYSTEM = "\npytestmark = pytest.mark.system\n"
#: What takes longest, in files of tests/: they begin first, so that none of them is left to run alone at the end.
_LONGEST = (
    "flows/test_flow_load.py",
    "flows/test_flow_vault.py",
    "flows/test_flow_not_ready.py",
    "flows/test_flow_failover.py",
    "flows/test_flow_reload.py",
    "server/test_both_hosts.py",
    "sharing/test_store_cost.py",
    "flows/test_flow_streams.py",
    "flows/test_flow_keyless.py",
    "fleet/test_fleet_store.py",
    "server/test_http_connections.py",
    "package/test_wheel.py",
    "benchmarks/test_smoke.py",
    "flows/test_flow_leaving.py",
    "clients/test_clients.py",
    "server/test_functions_runtime.py",
    "flows/test_flow_errors.py",
    "fleet/test_fleet_limits.py",
    "sharing/test_store_faults.py",
    "contract/test_wire_input.py",
    "flows/test_flow_attacks.py",
    "cli/test_cli_serve.py",
    "cli/test_cli_run.py",
    "package/test_package.py",
    "cli/test_cli_config.py",
    "contract/test_openai_client.py",
    "flows/test_flow_readiness.py",
    "server/test_http_server.py",
    "scripts/test_deploy.py",
)
#: Fixtures that start a process or listen on a socket.
_RUNNING = {"azurite", "simulator", "proxy", "host", "embedded_host", "functions_host"}
#: What only a test marked `system` may do.
_OUTSIDE = {"socket.bind", "socket.connect", "subprocess.Popen", "os.posix_spawn", "os.fork"}

_CODED = re.compile(rb"[^ -~\r\n\t]")

_inside = False

pytest_addoption, pytest_configure = side_by_side.pytest_addoption, side_by_side.pytest_configure

# What is collected lives to the end: looking for garbage in it would be a third of collecting.
gc.disable()

# A shell lets what it starts in the background ignore Ctrl-C, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast the machine is says nothing about a property. The examples of a run are those of every run, so that a
# red one tells of a change; `make soak` looks for new ones.
settings.register_profile(
    "whole", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile("quick", settings.get_profile("whole"), max_examples=10)
settings.register_profile("search", settings.get_profile("whole"), max_examples=1000, derandomize=False)
settings.load_profile("whole")

for _name in [name for name in os.environ if name.startswith(_OWN)]:
    del os.environ[_name]


def pytest_make_parametrize_id(val, argname):
    """Leave coded bytes out of a test's name: what holds a time or a random part names it differently in each process."""
    return argname if isinstance(val, bytes) and _CODED.search(val) else None


def pytest_ignore_collect(collection_path, config):
    """Without tests marked `system`, spare the import of folders and files that have no others."""
    if "not system" not in config.option.markexpr:
        return None
    if collection_path.suffix == ".py":
        return _ALL_SYSTEM in collection_path.read_text() or None
    return (collection_path.parent == Path(__file__).parent and collection_path.name in _SYSTEM) or None


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config, items):
    """Mark what is `system`; where files run side by side, let the longest begin first and short ones fill the gaps."""
    places = {path: path.relative_to(Path(__file__).parent) for path in {item.path for item in items}}
    for item in items:
        if places[item.path].parts[0] in _SYSTEM or _RUNNING.intersection(item.fixturenames):
            item.add_marker("system")
    try:
        return (yield)
    finally:
        if config.option.side_by_side:
            waiting = {item.path for item in items if item.get_closest_marker("system")}
            turns = {path: _turn(place.as_posix(), waits=path in waiting) for path, place in places.items()}
            items.sort(key=lambda item: turns[item.path])


def pytest_collection_finish():
    """Look for garbage in what tests make only."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure():
    """After all fixtures: what the tests of this process share."""
    azurite.close()
    forks.close()


def _turn(place, *, waits):
    first = _LONGEST.index(place) if place in _LONGEST else len(_LONGEST)
    return first, not waits


def _stay_inside(event, _details):
    if _inside and event in _OUTSIDE:
        raise RuntimeError(f"{event} in a unit test: mark it `system` (pytestmark = pytest.mark.system)")


sys.addaudithook(_stay_inside)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Keep a unit test from processes and sockets."""
    global _inside  # noqa: PLW0603 - an audit hook cannot be taken away
    _inside = item.get_closest_marker("system") is None
    try:
        return (yield)
    finally:
        _inside = False
