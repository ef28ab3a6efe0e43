"""What Azure and Core Tools read beside the code."""

from __future__ import annotations

import json

from support.processes import ROOT

from gateway.server.embedded import read_route_prefix


def read(name):
    return json.loads((ROOT / name).read_text())


def test_routes_have_no_prefix():
    assert "" == read_route_prefix(ROOT / "host.json")


def test_a_function_may_run_far_longer_than_any_request():
    """On functionTimeout the host restarts the worker and with it every request."""
    assert "01:00:00" == read("host.json")["functionTimeout"]


def test_the_host_logs_nothing_for_a_request_but_what_the_gateway_prints():
    levels = read("host.json")["logging"]["logLevel"]

    assert ("Warning", "Warning", "Information") == (
        levels["default"],
        levels["Function"],
        levels["Host.Function.Console"],
    )


def test_core_tools_find_what_they_need():
    values = read("local.settings.json.example")["Values"]

    assert "python" == values["FUNCTIONS_WORKER_RUNTIME"]
    # Python 3.12 and before do not stream without it.
    assert "1" == values["PYTHON_ENABLE_INIT_INDEXING"]


def test_local_settings_are_not_deployed():
    ignored = (ROOT / ".funcignore").read_text().splitlines()

    assert {"local.settings.json*", "tests", "simulator"} <= set(ignored)
