"""Starts a function app in either host, as a subprocess, for tests.

`start_embedded_host(app_dir)` and `start_functions_host(app_dir)` are context managers that yield a `Server`.
The second needs a Python 3.13 with requirements.txt installed: its path in FUNCTIONS_PYTHON, else
.venv-functions/bin/python. Where there is none its tests are skipped, or fail when CI=true.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support import forks
from support.processes import ROOT, Server, started

WITHOUT_UVLOOP = Path(__file__).parent / "without_uvloop"
PROGRAMS = ROOT / "tests" / "server"


def _functions_python() -> Path:
    # An absolute path stays what it is.
    return ROOT / (os.environ.get("FUNCTIONS_PYTHON") or Path(".venv-functions", "bin", "python"))


def begin() -> None:
    """Have what forks the hosts before this process is itself forked: all of these share it then."""
    forks.begin(sys.executable, forks.EMBEDDED)
    if _functions_python().exists():
        forks.begin(str(_functions_python()), forks.FUNCTIONS)


def find_functions_python() -> str:
    """The interpreter of the Functions worker; skips (CI: fails) the test where there is none."""
    python = _functions_python()
    if python.exists():
        return str(python)
    reason = f"NOT TESTED ON THE FUNCTIONS RUNTIME: {python} does not exist (it needs Python 3.13, see FUNCTIONS_PYTHON)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def on_loop(loop: str) -> dict[str, str]:
    """The environment in which the embedded host runs on that loop: it takes uvloop where it finds it."""
    return {"PYTHONPATH": str(WITHOUT_UVLOOP)} if loop == "asyncio" else {}


@contextlib.contextmanager
def start_embedded_host(
    app_dir: Path,
    env: Mapping[str, str] | None = None,
    *,
    port: int = 0,
    grace_seconds: float = 5,
    python: str = sys.executable,
    loop: str = "uvloop",
) -> Iterator[Server]:
    """Serve `app_dir`/function_app.py in the embedded host; `env` is its environment."""
    command = [
        python,
        str(PROGRAMS / "embedded_host.py"),
        str(app_dir),
        str(port),
        str(grace_seconds),
    ]
    imports = forks.EMBEDDED if python == sys.executable else ()
    with started("embedded", command, on_loop(loop) | dict(env or {}), imports=imports) as host:
        yield host


@contextlib.contextmanager
def start_functions_host(
    app_dir: Path, env: Mapping[str, str] | None = None, *, loop: str = "uvloop"
) -> Iterator[Server]:
    """Serve `app_dir`/function_app.py in the real Functions runtime; `env` is its environment."""
    command = [find_functions_python(), str(PROGRAMS / "functions_host.py"), str(app_dir), loop]
    # A packaged app brings a gateway of its own.
    imports = forks.FUNCTIONS if ROOT in (app_dir, *app_dir.parents) else ()
    with started("functions", command, env, imports=imports) as host:
        yield host
