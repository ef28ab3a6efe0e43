from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from compiler import HOW_TO_GET_ONE, INFRA, PARAMETERS, find, running
from world import World


@pytest.fixture(scope="session")
def compiler():
    """The real Bicep compiler. Without one the tests are skipped, and fail in CI."""
    path = find()
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(HOW_TO_GET_ONE)
    with running(path) as started:
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
