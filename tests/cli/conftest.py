from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import fixtures
from support.upstream import gateway_config

simulator, pool = fixtures.simulator, fixtures.pool


@pytest.fixture(scope="session")
def config_file(simulator, tmp_path_factory) -> Path:
    """A good configuration in front of the simulator."""
    path = tmp_path_factory.mktemp("config") / "config.json"
    path.write_text(json.dumps(gateway_config(simulator.url)))
    return path
