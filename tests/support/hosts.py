"""Starts a function app in either host, as a subprocess, for tests.

`start_embedded_host(app_dir)` and `start_functions_host(app_dir)` are context managers that yield a `Host`.
The second needs a Python 3.13 with requirements.txt installed: its path in FUNCTIONS_PYTHON, else
.venv-functions/bin/python. Where there is none its tests are skipped, or fail when CI=true.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "server"

#: Seconds in which a host must be ready, and in which it must end.
START_SECONDS = 20
STOP_SECONDS = 10


@dataclass(frozen=True)
class Host:
    """A running host."""

    #: "embedded" or "functions".
    name: str
    port: int
    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """What the host has written to standard error so far."""
        return self.log_path.read_text()


def find_functions_python() -> str:
    """The interpreter of the Functions worker; skips (CI: fails) the test where there is none."""
    python = Path(os.environ.get("FUNCTIONS_PYTHON") or ROOT / ".venv-functions" / "bin" / "python")
    if not python.is_absolute():
        python = ROOT / python
    if python.exists():
        return str(python)
    reason = f"NOT TESTED ON THE FUNCTIONS RUNTIME: {python} does not exist (it needs Python 3.13, see FUNCTIONS_PYTHON)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextlib.contextmanager
def start_embedded_host(
    app_dir: Path,
    env: Mapping[str, str] | None = None,
    *,
    port: int = 0,
    grace_seconds: float = 5,
    python: str = sys.executable,
) -> Iterator[Host]:
    """Serve `app_dir`/function_app.py in the embedded host; `env` is its environment."""
    command = [
        python,
        str(PROGRAMS / "embedded_host.py"),
        str(app_dir),
        str(port),
        str(grace_seconds),
    ]
    with start("embedded", command, env) as host:
        yield host


@contextlib.contextmanager
def start_functions_host(
    app_dir: Path, env: Mapping[str, str] | None = None, *, loop: str = "uvloop"
) -> Iterator[Host]:
    """Serve `app_dir`/function_app.py in the real Functions runtime; `env` is its environment."""
    command = [find_functions_python(), str(PROGRAMS / "functions_host.py"), str(app_dir), loop]
    with start("functions", command, env) as host:
        yield host


@contextlib.contextmanager
def start(name: str, command: list[str], env: Mapping[str, str] | None) -> Iterator[Host]:
    """Run a host's program until the caller is done with it."""
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "TMPDIR"} or k.startswith("COV")}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "stderr"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                command, env=kept | dict(env or {}), stdout=subprocess.PIPE, stderr=stderr, cwd=ROOT
            )
        try:
            yield Host(name, read_port(process, log), process, log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def read_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port, which a host prints on its first line once it accepts connections."""
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if ready else b""
    if not line.strip().isdigit():
        raise AssertionError(f"the host did not start:\n{log.read_text()}")
    return int(line)
