"""Starting a program of ours and ending it: its environment, its port, its log."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from support import forks

ROOT = Path(__file__).parents[2]

#: Seconds in which a program must be ready, and in which it must end; both only bound a hang.
START_SECONDS = 60
STOP_SECONDS = 10

Process = subprocess.Popen[bytes] | forks.Fork


@dataclass(frozen=True)
class Server:
    """A running server on 127.0.0.1."""

    #: Which host serves: "embedded" or "functions".
    host: str
    port: int
    process: Process
    log_path: Path

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def log(self) -> str:
        """All that the process has written to its log so far."""
        return self.log_path.read_text()


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a program: nothing of the developer's own but what processes need, and `settings`."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "TMPDIR"}}
    return kept | dict(settings or {})


@contextlib.contextmanager
def started(
    host: str,
    command: list[str],
    settings: Mapping[str, str] | None,
    *,
    port: int | None = None,
    imports: Sequence[str] = (),
) -> Iterator[Server]:
    """Run a server until the block ends.

    It listens on `port`, and all its output is the log; without `port` it prints the port on the first line of
    standard output, and standard error is the log. `imports` are modules that it imports: with them it is forked
    from a process that has.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        with path.open("wb") as log:
            process = start(command, environment(settings), log if port else None, log, imports)
        try:
            ready = listens_on(process, port) if port else printed_port(process)
            assert ready, f"the {host} host did not start:\n{path.read_text()}"
            yield Server(host, ready, process, path)
        finally:
            stop(process)


def start(
    command: Sequence[str],
    settings: Mapping[str, str],
    output: IO[bytes] | None,
    errors: IO[bytes],
    imports: Sequence[str],
) -> Process:
    """Start a program; without `output` its output can be read. `imports` are as for `started`."""
    if imports and forks.POSSIBLE:
        return forks.start(command, settings, imports, folder=ROOT, stdout=output, stderr=errors)
    stdout = subprocess.PIPE if output is None else output
    return subprocess.Popen(command, cwd=ROOT, env=settings, stdout=stdout, stderr=errors)


def stop(process: Process) -> None:
    """End a process of ours: politely, then not."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def listens_on(process: Process | None, port: int) -> int:
    """The port, once connections to it are accepted; 0 where the process ends before or it takes too long.

    Without a process it is one that another process has started.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return port
        time.sleep(0.02)
    return 0


def printed_port(process: Process) -> int:
    """The port that a process prints on its first line once it accepts connections; 0 where it does not."""
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline().strip() if ready else b""
    return int(line) if line.isdigit() else 0
