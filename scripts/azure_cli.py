"""Running `az` for deploy.py and teardown.py: each command is shown, long ones with the time they take."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

#: Older ones do not compile `.bicepparam` files with environment variables in them.
OLDEST_AZ = (2, 60, 0)
#: The templates were checked with 0.49; an older one than this lacks functions that they use.
OLDEST_BICEP = (0, 40, 0)

#: Exit code after Ctrl-C, as shells know it.
INTERRUPTED = 130


class Refused(Exception):
    """Something that the person at the terminal has to mend; the text says what."""


class Azure:
    """`az`, in one subscription. With `dry_run` commands are printed and none is run."""

    def __init__(self, *, subscription: str | None, dry_run: bool) -> None:
        self.dry_run = dry_run
        self._subscription = ["--subscription", subscription] if subscription else []

    def check(self) -> None:
        """See that `az` is there, new enough and logged in. Raises Refused."""
        if self.dry_run:
            show(["az", "version"])
            show(["az", "bicep", "version"])
            show(["az", "account", "show", *self._subscription])
            return
        if shutil.which("az") is None:
            raise Refused("az was not found. Install it: https://aka.ms/azure-cli")
        refuse_old("az", self._output(["version"]), OLDEST_AZ, "az upgrade")
        try:
            bicep = self._output(["bicep", "version"])
        except Refused:
            bicep = ""  # az fetches a compiler by itself where it has none.
        refuse_old("Bicep", bicep, OLDEST_BICEP, "az bicep upgrade")
        try:
            account = self._json(["account", "show", *self._subscription]) or {}
        except Refused as error:
            raise Refused(
                f"{error}\naz is not logged in, or not to that subscription: run `az login`"
            ) from None
        print(f"Subscription {account.get('name')} ({account.get('id')})")

    def read(self, *arguments: str, default: Any = None) -> Any:
        """What a command prints as JSON; `default` for what does not exist. Raises Refused."""
        command = [*arguments, *self._subscription]
        if self.dry_run:
            show(["az", *command])
            return default
        try:
            return self._json(command)
        except Refused as error:
            # Anything else, such as a missing permission, does not mean that it is not there.
            if not re.search(r"not ?found|could not be found", str(error), re.IGNORECASE):
                raise
            return default

    def run(self, *arguments: str, label: str = "", env: Mapping[str, str] | None = None) -> Any:
        """Run a command that changes something, and return the JSON it prints. Raises Refused.

        `label` names it in the line that shows the time; `env` is added to the environment.
        """
        command = ["az", *arguments, *self._subscription]
        show(command, env)
        if self.dry_run:
            return None
        process = subprocess.Popen(
            [*command, "--output", "json"],
            env=os.environ | dict(env or {}),
            # A question would not be seen.
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        output, errors = wait(process, label or arguments[0])
        if process.returncode:
            raise failure(arguments, errors)
        return parsed(output, arguments)

    def print(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """Run a command whose output is for the person at the terminal. Raises Refused."""
        command = ["az", *arguments, *self._subscription]
        show(command, env)
        if self.dry_run:
            return
        if subprocess.run(command, env=os.environ | dict(env or {}), check=False).returncode:
            raise failure(arguments)

    def _output(self, arguments: Sequence[str]) -> str:
        """What a command prints. Raises Refused."""
        done = subprocess.run(
            ["az", *arguments],  # noqa: S607 - the one on PATH
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise failure(arguments, done.stderr)
        return done.stdout

    def _json(self, arguments: Sequence[str]) -> Any:
        return parsed(self._output([*arguments, "--output", "json"]), arguments)


def failure(arguments: Sequence[str], errors: str = "") -> Refused:
    """That a command failed, with what it says about it; its own words may stand above already."""
    return Refused(f"`az {' '.join(arguments[:3])}` failed{':' * bool(errors)}\n{errors.strip()}".strip())


def parsed(output: str, arguments: Sequence[str]) -> Any:
    """The JSON that a command printed, None for nothing. Raises Refused."""
    try:
        return json.loads(output) if output.strip() else None
    except ValueError:
        raise Refused(f"`az {' '.join(arguments[:3])}` printed no JSON:\n{output.strip()[:300]}") from None


def refuse_old(what: str, version: str, oldest: tuple[int, ...], advice: str) -> None:
    """Raises Refused where a version is older than the oldest that will do; one that cannot be read will."""
    found = numbers(version)
    if found and found < oldest:
        raise Refused(f"{what} {'.'.join(map(str, found))} is too old: run `{advice}`")


def numbers(version: str) -> tuple[int, ...]:
    """The first three numbers of a version, wherever they stand in the text; () if there are none."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else ()


def show(command: list[str], env: Mapping[str, str] | None = None) -> None:
    """Print a command as a shell takes it."""
    variables = [f"{name}={shlex.quote(value)}" for name, value in (env or {}).items()]
    print("$ " + " ".join([*variables, shlex.join(command)]), flush=True)


def wait(process: subprocess.Popen[str], label: str) -> tuple[str, str]:
    """A process's output and errors, with a line that shows how long it takes."""
    with Progress(label) as progress:
        while True:
            try:
                return process.communicate(timeout=1)
            except subprocess.TimeoutExpired:
                progress.show()


def until(ready: Callable[[], bool], label: str, *, seconds: float, every: float = 2) -> bool:
    """Whether `ready` comes true within `seconds`; asks again and again, and shows the time."""
    with Progress(label, f" of at most {seconds:.0f}") as progress:
        while not ready():
            if progress.passed() > seconds:
                return False
            progress.show()
            time.sleep(every)
    return True


class Progress:
    """A line with the time that something takes, in place of the last one; in a log a new one every 15 s."""

    def __init__(self, label: str, suffix: str = "") -> None:
        self._label = label
        self._suffix = suffix
        self._began = time.monotonic()
        self._is_terminal = sys.stdout.isatty()
        #: Seconds at which the next line is due.
        self._due = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal:
            print("\r\x1b[K", end="", flush=True)

    def passed(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._began

    def show(self) -> None:
        """Show the time, if a line is due."""
        passed = self.passed()
        text = f"  {self._label}: {passed:.0f} s{self._suffix}"
        if self._is_terminal:
            print(f"\r\x1b[K{text}", end="", flush=True)
        elif passed >= self._due:
            print(text, flush=True)
            self._due = passed + 15


def confirm(question: str, expected: str) -> None:
    """Ask, and go on only after `expected` was typed. Raises Refused, also where nobody can type."""
    if not sys.stdin.isatty():
        raise Refused("nobody is there to confirm: pass --yes")
    try:
        answer = input(question)
    except EOFError:
        answer = ""
    if answer != expected:
        raise Refused("Nothing was changed.")


def run_script(main: Callable[[], None]) -> None:
    """Run a script's `main`; what has to be mended is one text, without a traceback."""
    try:
        main()
    except Refused as refused:
        sys.exit(str(refused))
    except KeyboardInterrupt:
        print(
            "\nInterrupted. What Azure was told to do may go on there; run this again to finish it.",
            file=sys.stderr,
        )
        sys.exit(INTERRUPTED)
