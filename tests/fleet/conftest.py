from __future__ import annotations

import pytest
from support.azurite import Azurite, require_azurite


@pytest.fixture(scope="session")
def azurite():
    """Azurite's Table service, for the fleets that nothing befalls."""
    require_azurite()
    with Azurite() as running:
        yield running
