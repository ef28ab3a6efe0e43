"""A worker that the platform freezes, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

TESTS = Path(__file__).parents[1]
#: Above the five seconds after which Azurite closes an idle connection.
FROZEN_SECONDS = 7.0

PROGRAM = """
import asyncio, json, sys, time
from gateway.adapters.tables import TableStore
from support.instances import Instance

async def main():
    one = Instance(TableStore(time.time, connection_string=sys.argv[1]), sys.argv[2])
    while line := await asyncio.to_thread(sys.stdin.readline):
        added = await one.call(float(line))
        state = one.sharing.storage.state()
        print(json.dumps([added, one.requests(), state.healthy]), flush=True)
    await one.sharing.close()

asyncio.run(main())
"""


class _Process:
    def __init__(self, azurite, pool: str) -> None:
        environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, azurite.connection_string, pool],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def begin(self, seconds: float) -> None:
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def end(self):
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.mark.soak
@pytest.mark.parametrize("in_flight", [False, True])
def test_an_instance_that_was_frozen_finds_the_store_again_at_once(azurite, pool, in_flight):
    frozen, other = _Process(azurite, pool), _Process(azurite, pool)
    for each in (frozen, other):
        each.begin(0.4)
        each.end()
    if in_flight:
        frozen.begin(0.2)
        time.sleep(0.1)
    frozen.process.send_signal(signal.SIGSTOP)
    other.begin(0.01)
    other.end()
    time.sleep(FROZEN_SECONDS)
    other.begin(0.01)
    other.end()
    frozen.process.send_signal(signal.SIGCONT)
    if in_flight:
        frozen.end()
    frozen.begin(0.1)
    added, count, available = frozen.end()
    frozen.close()
    other.close()
    assert added < 0.15
    assert available
    assert count == 5 + in_flight
