"""`make run-keyless`: the demo without any key in a file or setting."""

from __future__ import annotations

import re

import pytest
from support.calls import call, wait_for
from support.programs import running

from simulator.ports import free_port

MAKE = ("make", "--no-print-directory", "-o", ".venv/ready", "run-keyless")
MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def demo():
    """The running demo: its port, and the credentials that it prints: client's key, token, master key."""
    port = free_port()
    pattern = re.compile(r'Bearer ([^"]+)"')
    with running(*MAKE, PORT=str(port)) as program:
        assert wait_for(lambda: len(pattern.findall(program.output())) == 3), program.output()
        yield port, pattern.findall(program.output())


@pytest.mark.parametrize("model", ["gpt-5.4-mini", "gpt-4o-mini"])
def test_the_client_is_answered_by_its_key_and_by_its_token(demo, model):
    port, (key, token, _) = demo
    for credential in (key, token):
        body = {"model": model, "messages": MESSAGES}
        assert 200 == call(port, "POST", "/v1/chat/completions", body, key=credential).status
        assert "team-a" == call(port, "GET", "/gateway/me", key=credential).json()["name"]


def test_the_operator_reloads_and_the_client_may_not(demo):
    port, (key, _, master) = demo
    statuses = [call(port, "POST", "/gateway/reload", key=each).status for each in (master, key)]
    assert [200, 403] == statuses
