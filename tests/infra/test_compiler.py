"""Where the Bicep compiler is looked for, and what its absence means."""

from __future__ import annotations

import pytest
from compiler import find, require


def put(path):
    """An executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o755)
    return str(path)


def test_it_is_looked_for_in_four_places_in_this_order(tmp_path):
    environ = {"PATH": str(tmp_path / "bin")}
    found = [find(environ, tmp_path, tmp_path)]
    expected = [None]
    for path in (".azure/bin/bicep", "shared/tools/bicep/bicep", "bin/bicep"):
        expected.append(put(tmp_path / path))
        found.append(find(environ, tmp_path, tmp_path))
    found.append(find(environ | {"BICEP": "/some/bicep"}, tmp_path, tmp_path))

    assert [*expected, "/some/bicep"] == found


def test_a_file_that_cannot_be_run_is_no_compiler(tmp_path):
    (tmp_path / ".azure/bin").mkdir(parents=True)
    (tmp_path / ".azure/bin/bicep").touch(0o644)

    assert None is find({"PATH": ""}, tmp_path, tmp_path)


def test_without_one_the_checks_are_skipped_with_advice():
    with pytest.raises(pytest.skip.Exception, match="az bicep install"):
        require(None, in_ci=False)


def test_without_one_ci_fails():
    with pytest.raises(pytest.fail.Exception, match="az bicep install"):
        require(None, in_ci=True)
