"""For all tests: an environment without the settings of the developer's own shell."""

import os

import pytest

_OWN = ("GATEWAY_", "AZURE_", "OPENAI_", "IDENTITY_", "MSI_")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith(_OWN)]:
        monkeypatch.delenv(name)
