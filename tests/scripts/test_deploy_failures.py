"""scripts/deploy where `az` fails, is old, silent, slow or absent, and where somebody presses Ctrl-C."""

from __future__ import annotations

import sys

import pytest

DEPLOY = (
    "scripts/deploy",
    "--resource-group",
    "rg-ai",
    "--location",
    "swedencentral",
    "--yes",
    "--no-smoke-test",
)


@pytest.mark.parametrize(
    ("words", "output", "code", "advice"),
    [
        ("version", {"azure-cli": "2.40.0"}, 0, "az upgrade"),
        ("bicep version", "Bicep CLI version 0.30.23", 0, "az bicep upgrade"),
        ("account show", None, 1, "az login"),
    ],
)
def test_az_is_checked_first(az, words, output, code, advice):
    az.answer(words, output, code=code, error="")

    code, output = az.run(*DEPLOY)

    assert 1 == code
    assert advice in output
    assert not [line for line in az.asked() if line.startswith("group")]


def test_a_bicep_compiler_that_is_not_there_yet_is_left_to_az(deployable):
    deployable.answer("bicep version", code=1, error="ERROR: Bicep CLI not found.")

    code, output = deployable.run(*DEPLOY)

    assert 0 == code, output


def test_a_template_of_others_is_no_traceback(deployable):
    deployable.answer("deployment group create", {"properties": {"outputs": {}}})

    code, output = deployable.run(*DEPLOY)

    assert 1 == code
    assert "does it use infra/main.bicep?" in output
    assert "Traceback" not in output


def test_a_machine_without_az_is_told_where_to_get_it(az):
    (az.folder / "az").unlink()

    code, output = az.run(*DEPLOY)

    assert (1, "az was not found. Install it: https://aka.ms/azure-cli\n") == (code, output)


def test_the_packages_of_no_environment_are_needed(az, tmp_path):
    """The scripts run with a Python that has nothing but its own library."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)

    for script in ("deploy", "teardown"):
        command = (f"scripts/{script}", "--resource-group", "rg-ai", "--dry-run")
        code, output = az.run(*command, PYTHON=str(python))
        assert 0 == code, output


@pytest.mark.parametrize("step", ["version", "group create", "keyvault list", "group what-if"])
def test_whatever_step_fails_az_is_quoted_and_nothing_follows(deployable, step):
    deployable.answer(step, code=1, error="ERROR: (SomethingElse) It is like that.")

    code, output = deployable.run(*DEPLOY)

    assert 1 == code
    assert "ERROR: (SomethingElse) It is like that." in output
    assert "Traceback" not in output
    assert step in deployable.asked()[-1]


@pytest.mark.parametrize("text", ["", "Welcome to Azure!"])
def test_an_az_that_answers_something_else_is_no_traceback(deployable, text):
    deployable.answer("", text=text)

    code, output = deployable.run(*DEPLOY)

    assert 1 == code
    assert ("leads to no gateways" if not text else "printed no JSON") in output
    assert "Traceback" not in output


def test_warnings_are_no_answers(deployable):
    for answer in deployable.answers:
        answer[3] = answer[3] or "WARNING: a release 1.2.3 is available; the old one was not found wanting."

    code, output = deployable.run(*DEPLOY)

    assert 0 == code, output


def test_ctrl_c_says_that_azure_may_go_on(deployable):
    deployable.answer("deployment group create", seconds=600)

    code, output = deployable.interrupted(*DEPLOY, at="group create --resource", told="  infrastructure: ")

    assert 130 == code, output
    assert "run this again to finish it" in output
    assert "Traceback" not in output


def test_a_role_that_is_not_known_everywhere_yet_is_waited_for(deployable):
    deployable.answer("config-zip", code=1, error="ERROR: 403 from storage")

    code, output = deployable.run(*DEPLOY, DEPLOY_RETRY_SECONDS="0")

    assert 1 == code
    assert 3 == sum("config-zip" in line for line in deployable.asked())
    assert "403 from storage" in output


def test_what_azure_refuses_is_shown_and_nothing_follows(deployable):
    deployable.answer("deployment group create", code=1, error="ERROR: InsufficientQuota")

    code, output = deployable.run(*DEPLOY)

    assert 1 == code
    assert "InsufficientQuota" in output
    assert "Traceback" not in output
    assert not [line for line in deployable.asked() if line.startswith("functionapp")]
