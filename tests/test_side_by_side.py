"""Tests that run side by side have the outcomes that they have one after the other."""

from __future__ import annotations

import os
import re
import signal
import sys

import pytest
from support.calls import wait_for
from support.processes import ROOT
from support.programs import finished, running

pytestmark = pytest.mark.system

CONFTEST = "from support.side_by_side import pytest_addoption, pytest_configure"
KINDS = """
import pytest

@pytest.fixture(scope="session")
def torn():
    yield
    raise RuntimeError("at the session's end")

def test_fails(torn): print("printed"); assert 1 == 2
@pytest.mark.skip(reason="a reason")
def test_is_skipped(): pass
@pytest.mark.xfail
def test_may_fail(): assert 1 == 2
def test_passes(): pass
"""
DIES = "import os\ndef test_passes(): pass\ndef test_dies(): os._exit(0)\ndef test_is_left(): pass"
WAITS = """
import pathlib, pytest, time

FOLDER = pathlib.Path(__file__).parent

@pytest.fixture(scope="session")
def torn():
    yield
    (FOLDER / "torn").touch()

def test_waits(torn):
    (FOLDER / "waits").touch()
    time.sleep(600)
"""


@pytest.fixture
def files(tmp_path):
    """Write test files into a folder of their own."""

    def write(**texts):
        (tmp_path / "conftest.py").write_text(CONFTEST)
        for name, text in texts.items():
            (tmp_path / f"test_{name}.py").write_text(text)
        return tmp_path

    return write


def command(folder, *options):
    # Tests that wait for nothing, for which no Azurite starts.
    plainly = ("-m", "not system")
    return (sys.executable, "-m", "pytest", "-rA", *plainly, "--rootdir", str(folder), str(folder), *options)


def environment():
    return {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}


def outcomes(output):
    """What the summary says of each test, and of all together."""
    counts = re.search(r"=+ (.*) in [0-9.]+s =+$", output.strip())
    return sorted(re.findall(r"^(?:PASSED|FAILED|ERROR|XFAIL|SKIPPED) .*$", output, re.MULTILINE)), counts[1]


def test_outcomes_and_output_are_those_of_one_process(files):
    folder = files(kinds=KINDS, before="def test_passes(): pass")

    code, output = finished(*command(folder), **environment())
    code_beside, beside = finished(*command(folder, "--side-by-side", "3"), **environment())

    assert (1, 1) == (code, code_beside)
    found, counts = outcomes(output)
    assert "1 failed, 2 passed, 1 skipped, 1 xfailed, 1 error" == counts
    assert (found, counts) == outcomes(beside)
    assert 1 == beside.count("\nprinted\n")


def test_a_run_fails_whose_process_dies(files):
    code, output = finished(*command(files(dies=DIES), "--side-by-side", "2"), **environment())

    assert 1 == code
    assert "a process that ran test_dies.py has died" in output


@pytest.mark.parametrize("whom", ["the terminal", "one process"])
def test_what_is_set_up_is_torn_down_on_ctrl_c(files, whom):
    folder = files(waits=WAITS, passes="def test_passes(): pass")

    with running(*command(folder, "--side-by-side", "2"), **environment()) as program:
        assert wait_for((folder / "waits").exists)
        if whom == "the terminal":
            program.interrupt()
        else:
            os.kill(program.process.pid, signal.SIGINT)

        assert pytest.ExitCode.INTERRUPTED == program.wait()
        assert (folder / "torn").exists()
        assert [] == program.left_behind()
