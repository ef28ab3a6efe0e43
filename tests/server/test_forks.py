"""What tests start as forks behaves as what is started anew."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import forks
from support.calls import wait_for

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not forks.POSSIBLE, reason="no pidfd_open: every program is started anew"),
]

REPORT = """
import json, os, sys
print(json.dumps([sys.argv, sys.path[:2], os.getcwd(), dict(os.environ), __name__, "gateway.app" in sys.modules]))
sys.exit(int(sys.argv[1]))
"""
WAIT = "import time\nprint('ready', flush=True)\ntime.sleep(600)"


@pytest.fixture
def program(tmp_path):
    """A program of the test's text."""

    def write(text):
        path = tmp_path / "program.py"
        path.write_text(text)
        return path

    return write


@contextlib.contextmanager
def forked(path, *arguments, imports=forks.EMBEDDED, **environment):
    with (path.parent / "errors").open("wb") as errors:
        command = [sys.executable, str(path), *arguments]
        found = forks.start(command, environment, imports, folder=path.parent, stdout=None, stderr=errors)
        try:
            yield found
        finally:
            found.kill()
            found.wait()
            found.stdout.close()


def test_a_fork_has_its_own_arguments_path_folder_and_environment(program):
    path = program(REPORT)

    with forked(path, "7", NAME="value", PYTHONPATH="/added") as found:
        argv, paths, folder, environment, name, imported = json.load(found.stdout)

        assert ([str(path), "7"], [str(path.parent), "/added"]) == (argv, paths)
        assert (path.parent, "__main__", True) == (Path(folder), name, imported)
        assert {"NAME": "value", "PYTHONPATH": "/added"} == environment
        assert 7 == found.wait(60)


def test_what_one_fork_changes_no_other_sees(program):
    for _ in range(2):
        with forked(
            program("import gateway, os\nprint(hasattr(gateway, 'mark'))\ngateway.mark = 1")
        ) as found:
            assert b"False\n" == found.stdout.read()


def test_a_signal_that_ends_a_fork_is_its_exit_code(program):
    with forked(program(WAIT)) as found:
        assert b"ready\n" == found.stdout.readline()
        assert found.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            found.wait(0.01)
        found.terminate()
        assert -signal.SIGTERM == found.wait(60) == found.poll()


def test_a_fork_that_fails_says_why(program):
    path = program("1 / 0")
    with forked(path) as found:
        assert 1 == found.wait(60)
    assert "ZeroDivisionError" in (path.parent / "errors").read_text()


def test_forks_hold_nothing_of_each_other_open(program):
    text = "import os\nprint(sorted(int(name) for name in os.listdir('/proc/self/fd')))"
    with forked(program(WAIT)) as first, forked(program(text)) as second:
        assert first.poll() is None
        # The last one is that of the listing.
        assert b"[0, 1, 2, 3]\n" == second.stdout.read()
        assert wait_for(lambda: second.poll() == 0)


def test_threads_that_start_at_once_are_forked_from_one_process(program):
    path = program("import os\nprint(os.getppid())")

    def parent(_):
        with forked(path, imports=("colorsys",)) as found:
            return found.stdout.read(), found.wait(60)

    with ThreadPoolExecutor(8) as pool:
        (_, code), *others = set(pool.map(parent, range(8)))
    assert (0, []) == (code, others)
