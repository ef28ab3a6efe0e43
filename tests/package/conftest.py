from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import fixtures

simulator = fixtures.simulator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """What `make package` makes."""
    from support.programs import finished

    directory = tmp_path_factory.mktemp("dist")
    code, output = finished(sys.executable, "scripts/package.py", str(directory), seconds=120)
    assert 0 == code, output
    return directory
