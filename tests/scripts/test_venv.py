"""The script that makes environments, where there is no such interpreter."""

from __future__ import annotations

import subprocess

import pytest
from support.processes import ROOT


@pytest.mark.parametrize(("options", "status"), [(["--optional"], 0), ([], 1)])
def test_a_missing_interpreter_is_reported_and_a_failure_unless_it_is_optional(tmp_path, options, status):
    command = ["sh", "scripts/venv.sh", *options, str(tmp_path / "made"), "requirements.txt", "3.99"]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    assert status == ended.returncode
    assert "No Python 3.99 found" in ended.stderr
    assert not (tmp_path / "made").exists()
