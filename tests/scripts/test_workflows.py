"""The GitHub workflow, as far as it can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_commit(path):
    used = re.findall(r"uses: (.*)", path.read_text())

    assert used
    assert [] == [
        action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    ]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_may_read_and_no_more_but_for_the_token_that_azure_exchanges(path):
    workflow = yaml.safe_load(path.read_text())

    assert {"contents": "read"} == workflow["permissions"]
    given = {name: job.get("permissions", {}) for name, job in workflow["jobs"].items()}
    assert {"check": {}, "deploy": {"contents": "read", "id-token": "write"}} == given


def test_azure_is_entered_without_a_stored_secret():
    deploy = yaml.safe_load((ROOT / ".github/workflows/azure-dev.yml").read_text())["jobs"]["deploy"]

    (login,) = (step["with"] for step in deploy["steps"] if step.get("uses", "").startswith("azure/login@"))
    assert {"client-id", "tenant-id", "subscription-id"} == login.keys()
    assert not [value for value in login.values() if "secrets." in value]


def test_what_is_deployed_was_checked_and_comes_from_main():
    jobs = yaml.safe_load((ROOT / ".github/workflows/azure-dev.yml").read_text())["jobs"]

    assert "bash .ci/run" in [step.get("run") for step in jobs["check"]["steps"]]
    assert "az bicep install --version v0.49.2" in [step.get("run") for step in jobs["check"]["steps"]]
    assert "check" == jobs["deploy"]["needs"]
    assert "github.ref == 'refs/heads/main'" in jobs["deploy"]["if"]
    assert "github.event_name != 'pull_request'" in jobs["deploy"]["if"]


def test_no_expression_is_put_into_a_command():
    """What others can name, such as a branch, must not become shell."""
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            assert not [step["run"] for step in job["steps"] if "${{" in step.get("run", "")]


def test_azd_finds_template_and_service():
    project = yaml.safe_load((ROOT / "azure.yaml").read_text())

    assert (ROOT / project["infra"]["path"] / f"{project['infra']['module']}.bicep").exists()
    assert {"gateway": {"project": ".", "language": "python", "host": "function"}} == project["services"]
