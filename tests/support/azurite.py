"""Azurite, Microsoft's emulator of Azure Storage: its Table service, in memory, as a process of its own."""

import os
import signal
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Self

import pytest

COMMAND = Path(__file__).parents[2] / ".azurite" / "azurite-table"
ACCOUNT = "devstoreaccount1"
#: Azurite's well-known key; Microsoft documents it.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
START_SECONDS = 30.0


def connection_string(port: int) -> str:
    return (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
        f"TableEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
    )


def require_azurite() -> None:
    """Skip where Azurite is not installed; where CI runs, that is a failure."""
    if COMMAND.exists():
        return
    message = "Azurite is not installed: run `make test`, or scripts/azurite.sh. NOT TESTED: Table Storage."
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message)
    pytest.skip(message)


class Azurite:
    """One Table service on a port that stays the same when it is started again, with nothing in it."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def connection_string(self) -> str:
        return connection_string(self.port)

    def start(self) -> "Azurite":
        self._process = subprocess.Popen(
            [
                COMMAND,
                *("--tableHost", "127.0.0.1", "--tablePort", str(self.port)),
                *("--inMemoryPersistence", "--silent", "--disableTelemetry"),
                *self._options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while not _listens(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail("Azurite does not start")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        if self._process is not None:
            # It ends at once on SIGINT only; nothing in memory is worth waiting for.
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error) -> None:
        self.stop()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
