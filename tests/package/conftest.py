from __future__ import annotations

import sys

import pytest
from support import fixtures
from support.programs import finished

simulator = fixtures.simulator


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """What `make package` makes."""
    directory = tmp_path_factory.mktemp("dist")
    code, output = finished(sys.executable, "scripts/package.py", str(directory), seconds=120)
    assert 0 == code, output
    return directory
