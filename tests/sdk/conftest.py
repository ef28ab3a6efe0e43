from __future__ import annotations

import itertools

import pytest
from support.python_api import Chat, simulator_config

import gateway
from simulator.testing import serve

_numbers = itertools.count()


@pytest.fixture(scope="session")
def simulator():
    with serve(simulator_config()) as running:
        yield running


@pytest.fixture
def chat(simulator) -> Chat:
    """A deployment of its own."""
    return Chat(simulator, f"chat-{next(_numbers)}")


@pytest.fixture
def chats(simulator):
    """Takes further deployments."""
    return lambda: Chat(simulator, f"chat-{next(_numbers)}")


@pytest.fixture(autouse=True)
def _nothing_assigned(monkeypatch):
    """What a test assigns on the module holds for that test alone."""
    for name in ("api_key", "api_base", "api_version"):
        monkeypatch.setattr(gateway, name, None)
    for name in ("drop_params", "enable_preview_features", "set_verbose"):
        monkeypatch.setattr(gateway, name, False)
