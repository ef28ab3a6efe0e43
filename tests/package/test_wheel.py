"""The wheel that `pip install .` makes: what it needs, what is in it, and that it works where nothing else is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.python_api import KEY, simulator_config

import gateway
from simulator.testing import serve

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: What a package index that cannot be reached looks like in pip's own words.
UNREACHABLE = re.compile(
    r"Could not fetch URL|ConnectionError|NewConnectionError|Temporary failure|Network is unreachable"
)

PROGRAM = """
import sys
from gateway import Router, completion
assert "site-packages" in sys.modules["gateway"].__file__
entry = {"model": "azure/chat-0", "api_base": sys.argv[1], "api_key": sys.argv[2]}
messages = [{"role": "user", "content": "Hello"}]
print(completion(messages=messages, **entry).choices[0].message.content)
router = Router([{"model_name": "gpt", "litellm_params": entry}])
print("".join(chunk.choices[0].delta.content or "" for chunk in router.completion("gpt", messages, stream=True)))
"""


def run(*command):
    """Run a command; what it printed. A package index that cannot be reached skips the test."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode and UNREACHABLE.search(done.stdout + done.stderr):
        pytest.skip("no package index can be reached from here")
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    # A copy: building leaves its traces beside the sources.
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "gateway", source / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", made, source)
    (found,) = made.glob("*.whl")
    return found


def test_the_wheel_holds_the_package_with_its_types_and_nothing_else(wheel):
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]

    assert "gateway/py.typed" in names
    assert [] == [name for name in names if not name.startswith("gateway/")]


def needed(names):
    """The packages of this environment, by name, that these and what they need are."""
    found, left = {}, list(names)
    while left:
        requirement = Requirement(left.pop())
        known = canonicalize_name(requirement.name) in found
        if known or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        package = distribution(requirement.name)
        found[canonicalize_name(requirement.name)] = package
        left += package.requires or ()
    return found


def test_the_wheel_calls_models_in_an_environment_without_the_servers_packages(wheel, tmp_path):
    empty = tmp_path / "empty"
    python = empty / "bin" / "python"
    run(sys.executable, "-m", "venv", "--without-pip", empty)
    (packages,) = empty.glob("lib/python*/site-packages")
    # What the wheel asks for, from this environment and compiled: no test should wait for a package index.
    for package in needed(PROJECT["dependencies"]).values():
        for file in package.files:
            if ".." not in file.parts and file.locate().exists():
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                (packages / file).symlink_to(file.locate())
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--quiet", "--no-compile", "--no-index", wheel)
    run(*pip, "check")
    installed = run(*pip, "list", "--format", "freeze").lower()
    with serve(simulator_config()) as simulator:
        printed = run(python, "-I", "-W", "error", "-c", PROGRAM, simulator.url, KEY)

    first, second = printed.splitlines()
    assert first == second != ""
    assert [] == [
        name
        for name in ("starlette", "uvicorn", "httpx", "azure-functions", "openai")
        if f"{name}=" in installed
    ]


def requirements():
    """What requirements.in pins: names and versions, with their markers."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.in").read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def test_what_is_pinned_for_deployment_is_what_the_package_asks_for_and_within_its_ranges():
    asked = [Requirement(each) for each in PROJECT["dependencies"]]
    asked += [Requirement(each) for each in PROJECT["optional-dependencies"]["server"]]
    pins = requirements()

    assert {each.name for each in pins} == {each.name for each in asked}
    for pin in pins:
        (version,) = (each.version for each in pin.specifier)
        assert any(each.name == pin.name and version in each.specifier for each in asked), pin


def test_the_versions_agree():
    assert gateway.__version__ == PROJECT["version"]
