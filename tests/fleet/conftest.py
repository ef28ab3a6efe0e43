from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.azurite import Azurite, require_azurite


@pytest.fixture(scope="session")
def azurite():
    """Azurite's Table service, for the fleets that nothing befalls."""
    require_azurite()
    with Azurite() as running:
        yield running
