"""Running the repository's commands as a user does in a terminal: output, Ctrl-C, and what they leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support import forks
from support.calls import PATIENCE, wait_for
from support.processes import ROOT, environment, start

#: Marks a process and all its descendants, in whatever session they are.
MARK = "GATEWAY_TEST_MARK"


@dataclass(frozen=True)
class Program:
    """A command in a session of its own, like one in a terminal."""

    process: subprocess.Popen[bytes]
    output_path: Path
    mark: str

    def output(self) -> str:
        """Standard output and standard error so far."""
        return self.output_path.read_text()

    def interrupt(self) -> None:
        """Ctrl-C: SIGINT to every process of the terminal's foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self, seconds: float = PATIENCE) -> int:
        """The exit code. Raises subprocess.TimeoutExpired."""
        return self.process.wait(seconds)

    def left_behind(self) -> list[str]:
        """Command lines of the processes that this command has started and that still run."""
        wait_for(lambda: not marked(self.mark))
        return [commands for _, commands in marked(self.mark)]


def marked(mark: str) -> list[tuple[int, str]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append((int(folder.name), command))
    return found


@contextlib.contextmanager
def running(*command: str, **settings: str) -> Iterator[Program]:
    """Start a command; whatever is left of it is killed at the end. Keyword arguments go into its environment."""
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "output"
        with path.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment({MARK: mark} | settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield Program(process, path, mark)
        finally:
            for number, _ in marked(mark):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            process.wait()


def finished(*command: str, seconds: float = PATIENCE, **settings: str) -> tuple[int, str]:
    """Run a command to its end: exit code and all output."""
    with running(*command, **settings) as program:
        code = program.wait(seconds)
        return code, program.output()


def gateway_command(*arguments: str, seconds: float = PATIENCE, **settings: str) -> tuple[int, str]:
    """Run `python -m gateway ARGUMENTS...` to its end, forked (support/forks.py): exit code and all output."""
    with tempfile.TemporaryFile() as output:
        command = [sys.executable, "-m", "gateway", *arguments]
        process = start(command, environment(settings), output, output, forks.EMBEDDED)
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        return code, output.read().decode()


def seconds_until_end(program: Program) -> float:
    """How long a program still takes to end."""
    began = time.monotonic()
    program.wait()
    return time.monotonic() - began
