"""Programs in Python that start without importing what they share: each is a fork of a process that has done so.

Importing is most of what starting a gateway costs, and the tests start hundreds. What a fork shares with the process it
is a fork of is only what the modules do when they are imported; its environment, folder, arguments and output are its
own. tests/cli starts the gateway as its users do.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
SERVER = Path(__file__).parent / "fork_server.py"


def _watches_processes() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


#: Whether this system has what it takes (Linux has).
POSSIBLE = _watches_processes()

#: What the gateway imports on either host, without what reads the environment when it is imported.
_GATEWAY = ("azure.functions", "gateway.app", "gateway.server.functions", "gateway.server.embedded")
EMBEDDED = (*_GATEWAY, "gateway.cli.serve")
FUNCTIONS = (*_GATEWAY, "azure_functions_runtime", "uvicorn.protocols.http.httptools_impl", "uvloop")
#: Reads SSL_CERT_FILE when it is imported.
_SERVER = ("aiohttp.web_server",)
#: What a gateway imports that has the doubles' identity and vault, whose certificates that variable names.
_KEYLESS = ("azure.identity.aio", "azure.keyvault.secrets.aio", "jwt")


class Fork:
    """A running program, with what tests use of subprocess.Popen."""

    def __init__(self, told: int, stdout: IO[bytes] | None) -> None:
        self._told = os.fdopen(told, "rb", buffering=0)
        self.stdout = stdout
        self.returncode: int | None = None
        self.pid = self._read()

    def poll(self) -> int | None:
        """The exit code, if it has ended; negative: the signal that ended it."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self.returncode = self._read()
            self._told.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises subprocess.TimeoutExpired."""
        if self.poll() is None:
            select.select([self._told], [], [], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            # It may end meanwhile.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read(self) -> int:
        line = self._told.readline()
        if not line.endswith(b"\n"):
            raise RuntimeError("the process that forks has ended")
        return int(line)


class _Server:
    """The process that forks."""

    def __init__(self, python: str, modules: Sequence[str]) -> None:
        self.starter = os.getpid()
        self._lock = threading.Lock()
        self._control, other = socket.socketpair()
        command = [python, str(SERVER), str(other.fileno()), str(ROOT), *modules]
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        with other:
            self._process = subprocess.Popen(
                command,
                env=kept,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
            )

    def begin(self) -> None:
        """Let it import the modules; otherwise it does when a program is asked for."""
        self._control.send(b"0")

    def fork(self, request: Mapping[str, object], output: int, errors: int) -> int:
        """Ask for a program; the pipe that is told its process id and its end."""
        told, telling = os.pipe()
        try:
            with tempfile.TemporaryFile("w+") as asked:
                json.dump(request, asked)
                asked.seek(0)
                with self._lock:
                    socket.send_fds(self._control, [b"1"], [asked.fileno(), output, errors, telling])
        finally:
            os.close(telling)
        return told

    def close(self) -> None:
        self._control.close()
        self._process.wait()


def begin(python: str, modules: Sequence[str]) -> None:
    """Have what forks programs with these modules before this process is itself forked: all share it then."""
    if POSSIBLE:
        for more in (_SERVER, _KEYLESS):
            _server(python, (*modules, *more)).begin()


def close() -> None:
    """End the processes that fork, but not those that this process shares with the one it is a fork of."""
    for key, server in list(_servers.items()):
        if server.starter == os.getpid():
            del _servers[key]
            server.close()


_servers: dict[tuple[str, Sequence[str]], _Server] = {}
_starting = threading.Lock()


def start(
    command: Sequence[str],
    environment: Mapping[str, str],
    modules: Sequence[str],
    *,
    folder: Path,
    stdout: IO[bytes] | None,
    stderr: IO[bytes],
) -> Fork:
    """Start `command`, a Python, `-m` and a module or a file, and arguments; `modules` is what it imports.

    Without `stdout` its output can be read. Raises RuntimeError where the modules cannot be imported.
    """
    python, *arguments = command
    server = _server(python, (*modules, *(_KEYLESS if "SSL_CERT_FILE" in environment else _SERVER)))
    request = {"arguments": arguments, "environment": dict(environment), "folder": str(folder)}
    if stdout is not None:
        return Fork(server.fork(request, stdout.fileno(), stderr.fileno()), None)
    reading, writing = os.pipe()
    try:
        told = server.fork(request, writing, stderr.fileno())
    finally:
        os.close(writing)
    return Fork(told, os.fdopen(reading, "rb"))


def _server(python: str, modules: Sequence[str]) -> _Server:
    with _starting:
        server = _servers.get((python, modules))
        if server is None:
            server = _servers[python, modules] = _Server(python, modules)
        return server
