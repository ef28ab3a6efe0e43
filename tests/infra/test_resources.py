"""What Azure would be asked for, for each parameter file of the matrix."""

from __future__ import annotations

import pytest
from checks import CHECKS
from compiler import INFRA, PARAMETERS

MATRIX = sorted(path.stem for path in PARAMETERS.glob("*.bicepparam"))
SOURCES = [
    *sorted(INFRA.rglob("*.bicep")),
    *sorted(INFRA.glob("*.bicepparam")),
    *sorted(PARAMETERS.iterdir()),
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_compiler_and_its_linter_have_nothing_to_say(compiler, path):
    assert [] == compiler.diagnostics(path)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", MATRIX)
def test_it_holds(world, name, check):
    check(world(name))
