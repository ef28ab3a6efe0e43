"""Configurations as LiteLLM's users write them: what loads, what does not, and what is said of it.

The first lines of a sample say what is expected: whether it loads, words that the warnings or problems hold, and
the environment.
"""

from pathlib import Path

import pytest

from gateway.config.load import check
from gateway.config.problems import SCREEN

SAMPLES = sorted((Path(__file__).parents[1] / "data" / "litellm").glob("*.yaml"))


def expectation(text):
    verdict, names, environment = (line.removeprefix("# ") for line in text.splitlines()[:3])
    assert names.startswith("names:")
    pairs = environment.removeprefix("environment:").split()
    return verdict, names.removeprefix("names:").split(), dict(pair.split("=", 1) for pair in pairs)


def test_there_are_enough_samples():
    assert len(SAMPLES) >= 30


def test_readme_tells_what_is_measured():
    accepted = [path for path in SAMPLES if expectation(path.read_text())[0] == "accepted"]
    readme = " ".join((Path(__file__).parents[2] / "README.md").read_text().split())

    assert f"{len(SAMPLES)} samples" in readme
    assert f"{len(accepted)} load, {len(SAMPLES) - len(accepted)} are refused" in readme


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_taken_as_it_says(path):
    verdict, names, environ = expectation(text := path.read_text())

    problems, warnings = check(text, environ)

    assert verdict == ("refused" if problems else "accepted"), problems
    said = "\n".join(problems or warnings)
    assert [] == [name for name in names if name not in said]
    if not names:
        assert [] == warnings


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_what_is_said_of_many_entries_fits_on_a_screen(path):
    text = path.read_text()
    _, _, environ = expectation(text)
    start, end = text.index("model_list:\n") + len("model_list:\n"), len(text)
    entries = "".join(line for line in text[start:end].splitlines(keepends=True))
    body = entries[
        : next(
            (entries.index(line) for line in entries.splitlines() if line and line[0] not in " #"),
            len(entries),
        )
    ]
    many = text[:start] + body * 43 + entries[len(body) :]

    problems, warnings = check(many, environ)

    assert len(problems) <= SCREEN
    assert len(warnings) <= SCREEN
