"""For all tests: an environment without the settings of the developer's own shell, and what `make unit` leaves out."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
#: Fixtures that start a process or listen on a socket.
_RUNNING = {"azurite", "simulator", "proxy", "host", "embedded_host", "functions_host"}
#: What only a test marked `system` may do.
_OUTSIDE = {"socket.bind", "socket.connect", "subprocess.Popen", "os.posix_spawn", "os.fork"}

_inside = False

# How fast the machine is says nothing about a property.
settings.register_profile("whole", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("whole"), max_examples=10)
settings.load_profile("whole")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith(_OWN)]:
        monkeypatch.delenv(name)


def pytest_ignore_collect(collection_path, config):
    """Without tests marked `system`, spare the import of folders that have no others."""
    if "not system" in config.option.markexpr and collection_path.parent == Path(__file__).parent:
        return collection_path.name in _SYSTEM or None
    return None


def pytest_collection_modifyitems(items):
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in _SYSTEM or _RUNNING.intersection(item.fixturenames):
            item.add_marker("system")


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
