"""Starts the repository's gateway in either host, as users do, with a configuration of the test's."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.calls import call, wait_for
from support.hosts import start_functions_host

ROOT = Path(__file__).parents[2]
START_SECONDS = 30


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    #: "embedded" or "functions".
    host: str
    port: int
    pid: int
    log_path: Path

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """All that the process has written so far."""
        return self.log_path.read_text()

    def lines(self, request_id: str) -> list[dict[str, Any]]:
        """The log lines of one request, once there is one."""

        def find() -> list[dict[str, Any]]:
            lines = [line for line in self.log().splitlines() if f'"{request_id}"' in line]
            return [json.loads(line) for line in lines]

        return wait_for(find)

    def state(self) -> dict[str, int]:
        """What the Functions worker holds; on that host only."""
        return call(self.port, "GET", "/__host").json()

    def memory(self) -> int:
        """Resident bytes of the process."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def connections(self) -> int:
        """Established TCP connections of the process, both ends of its own counted."""
        inodes = set()
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(descriptor.readlink().name)
        rows = [line.split() for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]]
        return sum(row[3] == "01" and f"socket:[{row[9]}]" in inodes for row in rows)


def environment(config: Any, settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a gateway: nothing of the developer's own but what processes need."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "TMPDIR"}}
    document = (
        {}
        if config is None
        else {"GATEWAY_CONFIG": config if isinstance(config, str) else json.dumps(config)}
    )
    return kept | document | dict(settings)


@contextlib.contextmanager
def start_gateway(host: str, config: Any, **settings: str) -> Iterator[Gateway]:
    """Run the gateway on "embedded" or "functions". `config` is a document, or None for no configuration."""
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(config, dict):
            # A document of this size does not fit into an environment variable.
            path = Path(folder) / "config.json"
            path.write_text(json.dumps(config))
            config = str(path)
        if host == "embedded":
            with start_embedded(environment(config, settings), Path(folder) / "log") as gateway:
                yield gateway
        else:
            with start_functions_host(ROOT, environment(config, settings)) as running:
                yield Gateway(host, running.port, running.process.pid, running.log_path)


@contextlib.contextmanager
def start_embedded(env: Mapping[str, str], log: Path) -> Iterator[Gateway]:
    """`python -m gateway serve`, until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output)
    try:
        wait_until_listening(port, process, log)
        yield Gateway("embedded", port, process.pid, log)
    finally:
        stop(process)


def stop(process: subprocess.Popen[Any]) -> None:
    """End a process of ours: politely, then not."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_listening(port: int, process: subprocess.Popen[Any], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError(f"the gateway did not start:\n{log.read_text()}")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
