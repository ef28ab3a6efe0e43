"""The programs under measurement: subprocesses on a core of their own, with their CPU time and memory."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.traffic import CLIENT_KEY, DEPLOYMENT, MODEL, UPSTREAM_KEY
from simulator.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
#: Seconds in which a program must accept connections, and in which it must end.
START_SECONDS = 30.0
STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Program:
    """A running program that listens on `port`."""

    port: int
    pid: int

    def cpu(self) -> float:
        """CPU time of the process so far, user and system, all threads, in seconds (to the nanosecond)."""
        # The CPU clock of another process; the kernel's encoding of its id (clock_getcpuclockid(3)).
        return time.clock_gettime((~self.pid << 3) | 2)

    def rss(self) -> float:
        """Resident memory now, in MB of 1,000,000 bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cores() -> tuple[int | None, int | None]:
    """The core of the measured program, and that of the load generator and the upstream."""
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[-1]) if len(available) > 1 else (None, None)


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Run what is in this context, and what it starts, on one core; None leaves it to the system."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(
    command: Sequence[str], core: int | None = None, environ: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Run a program that prints its port on the first line of its standard output.

    A file takes the output: a worker writes its log lines there, and would stop at a pipe that nobody reads.
    """
    with (
        tempfile.TemporaryFile("w+b") as output,
        started(command, core, environ, stdout=output.fileno()) as process,
    ):
        deadline = time.monotonic() + START_SECONDS
        line = b""
        while not line.endswith(b"\n") and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
            # Read in place: the file's position is the program's, too.
            line = b"".join(os.pread(output.fileno(), 16, 0).partition(b"\n")[:2])
        if not line.strip().isdigit():
            raise RuntimeError(f"{' '.join(command)} did not start")
        yield Program(int(line), process.pid)


@contextlib.contextmanager
def gateway(upstream: Program, core: int | None) -> Iterator[Program]:
    """Run the gateway as a user does (`python -m gateway serve`), in front of `upstream`.

    Everything is on: a master key, two deployments to choose from, and the log line, which goes to a file.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(gateway_config(upstream), encoding="utf-8")
        port = free_port()
        command = [*serve_command(config), "--port", str(port)]
        with (
            (Path(folder) / "log").open("wb") as log,
            started(command, core, stdout=log.fileno()) as process,
        ):
            wait_for(port, process)
            yield Program(port, process.pid)


def serve_command(config: Path | None) -> list[str]:
    """The command that serves the gateway, without its port; without `config` by its settings alone."""
    given = [] if config is None else ["--config", str(config)]
    return [sys.executable, "-m", "gateway", "serve", *given]


def gateway_config(upstream: Program) -> str:
    """The gateway's configuration (JSON, which is YAML too)."""
    members = [
        {
            "model_name": MODEL,
            "litellm_params": {
                "model": f"azure/{DEPLOYMENT}",
                "api_base": f"http://127.0.0.1:{upstream.port}",
                "api_key": UPSTREAM_KEY,
                "rpm": rpm,
            },
        }
        for rpm in (1000, 2000)
    ]
    return json.dumps({"model_list": members, "general_settings": {"master_key": CLIENT_KEY}})


@contextlib.contextmanager
def started(
    command: Sequence[str],
    core: int | None,
    environ: Mapping[str, str] | None = None,
    *,
    stdout: int,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on `core`, ended on leaving. It inherits standard error and next to no environment."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    with on_core(core):
        process = subprocess.Popen(  # noqa: S603  our own programs
            command, cwd=ROOT, env=kept | dict(environ or {}), stdout=stdout
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until something accepts connections on `port`. Raises RuntimeError when it does not."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.002)
        else:
            return
    raise RuntimeError(f"nothing listens on port {port}")
