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
from collections.abc import Callable, Mapping
from typing import Any

#: Older ones do not compile `.bicepparam` files with environment variables in them.
OLDEST_AZ = (2, 60, 0)
#: The templates were checked with 0.49; an older one than this lacks functions that they use.
OLDEST_BICEP = (0, 40, 0)


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
        for what, command, oldest in (
            ("az", ["version"], OLDEST_AZ),
            ("Bicep", ["bicep", "version"], OLDEST_BICEP),
        ):
            # az fetches a Bicep compiler by itself where it has none.
            found = numbers(self._text(command))
            if found and found < oldest:
                version = ".".join(map(str, found))
                raise Refused(f"{what} {version} is too old: run `az {'bicep ' * (what == 'Bicep')}upgrade`")
        try:
            account = self._json(["account", "show", *self._subscription])
        except Refused:
            raise Refused("az is not logged in, or not to that subscription: run `az login`") from None
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
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        output, errors = wait(process, label or arguments[0])
        if process.returncode:
            raise Refused(f"`az {' '.join(arguments[:3])}` failed:\n{errors.strip()}")
        return json.loads(output) if output.strip() else None

    def print(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """Run a command whose output is for the person at the terminal. Raises Refused."""
        command = ["az", *arguments, *self._subscription]
        show(command, env)
        if (
            not self.dry_run
            and subprocess.run(command, env=os.environ | dict(env or {}), check=False).returncode
        ):
            raise Refused(f"`az {' '.join(arguments[:3])}` failed")

    def _text(self, arguments: list[str]) -> str:
        """What a command prints, on whichever stream; empty where it fails."""
        done = subprocess.run(
            ["az", *arguments],  # noqa: S607 - the one on PATH
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode else f"{done.stdout}{done.stderr}".strip()

    def _json(self, arguments: list[str]) -> Any:
        done = subprocess.run(
            ["az", *arguments, "--output", "json"],  # noqa: S607 - the one on PATH
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Refused(done.stderr.strip())
        return json.loads(done.stdout) if done.stdout.strip() else None


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
    began = time.monotonic()
    while True:
        try:
            output = process.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            passed = time.monotonic() - began
            progress(f"{label}: {passed:.0f} s", passed)
        else:
            end_progress()
            return output


def until(ready: Callable[[], bool], label: str, *, seconds: float, every: float = 2) -> bool:
    """Whether `ready` comes true within `seconds`; asks again and again, and shows the time."""
    began = time.monotonic()
    while not ready():
        passed = time.monotonic() - began
        if passed > seconds:
            end_progress()
            return False
        progress(f"{label}: {passed:.0f} s of at most {seconds:.0f}", passed)
        time.sleep(every)
    end_progress()
    return True


def progress(text: str, passed: float) -> None:
    """Show a line in place of the last one; in a log, which cannot, a line of its own every 15 s."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K  {text}", end="", flush=True)
    elif int(passed) % 15 == 0:
        print(f"  {text}", flush=True)


def end_progress() -> None:
    """Take the progress line away."""
    if sys.stdout.isatty():
        print("\r\x1b[K", end="", flush=True)


def confirm(question: str, expected: str) -> None:
    """Ask, and go on only after `expected` was typed. Raises Refused, also where nobody can type."""
    if not sys.stdin.isatty():
        raise Refused("nobody is there to confirm: pass --yes")
    if input(question) != expected:
        raise Refused("Nothing was changed.")
