from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import fixtures
from support.upstream import gateway_config

simulator, pool = fixtures.simulator, fixtures.pool


@pytest.fixture(scope="session")
def config_file(simulator, tmp_path_factory) -> Path:
    """A good configuration in front of the simulator, of which there is nothing to tell."""
    path = tmp_path_factory.mktemp("config") / "config.json"
    config = gateway_config(simulator.url)
    # These tests take a few models of their own; reading hundreds would be most of a start.
    names = {"gpt-4o", "slow", "retried", *(f"solo-{number}" for number in range(20))}
    config["model_list"] = [entry for entry in config["model_list"] if entry["model_name"] in names]
    path.write_text(json.dumps(config))
    return path
