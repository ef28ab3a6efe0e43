from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest
from compiler import INFRA, PARAMETERS, ROOT, find, require, running
from world import World


@pytest.fixture(scope="session")
def compiler():
    """The real Bicep compiler."""
    path = require(find(os.environ, ROOT.parent, Path.home()), in_ci=bool(os.environ.get("CI")))
    callers = '{"clients": [{"name": "a", "admin": true}]}'
    with running(path, GATEWAY_CALLERS="", GATEWAY_TEST_CALLERS=callers) as started:
        yield started


@pytest.fixture(scope="session")
def world(compiler):
    """The World of a parameter file, evaluated once."""
    template = functools.cache(lambda: compiler.template(INFRA / "main.bicep"))
    made = {}

    def evaluate(name: str) -> World:
        if name not in made:
            made[name] = World(name, compiler.snapshot(PARAMETERS / f"{name}.bicepparam"), template)
        return made[name]

    return evaluate
