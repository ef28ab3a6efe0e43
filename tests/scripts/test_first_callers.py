"""The first callers that scripts/deploy gives the template, against a stand-in for `az`."""

from __future__ import annotations

import hashlib
import json
import re

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
CALLERS = {"clients": [{"name": "team-a", "keys": [{"hash": "sha256:" + "0" * 64}]}]}


def test_the_first_deployment_makes_a_client_with_a_key_that_is_shown_once(deployable):
    code, output = deployable.run(*DEPLOY)

    assert 0 == code, output
    (key,) = set(re.findall(r"gwk_\w{40,}", output))
    assert 1 == output.count(key)
    (client,) = deployable.callers("deployment group create")["clients"]
    assert [{"hash": f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"}] == client["keys"]
    # Azure never gets the key itself.
    assert not [line for line in deployable.asked() if key in line]


def test_no_key_is_made_where_a_log_would_keep_it(deployable):
    code, output = deployable.run(*DEPLOY, CI="true")

    assert 1 == code
    assert "In CI no first key is made" in output
    assert not re.search(r"gwk_\w{40,}", output)
    assert not [line for line in deployable.asked() if line.startswith("deployment group create")]


def test_callers_come_from_the_file_where_there_is_one(deployable, tmp_path):
    (tmp_path / "callers.json").write_text(json.dumps(CALLERS))

    code, output = deployable.run(*DEPLOY, "--callers", str(tmp_path / "callers.json"))

    assert 0 == code, output
    assert CALLERS == deployable.callers("deployment group create") == deployable.callers("what-if")
    assert "The first key" not in output


def test_callers_that_are_there_are_left_alone(deployable, tmp_path):
    (tmp_path / "callers.json").write_text(json.dumps(CALLERS))
    deployable.vault_with("gateway-deployments", "gateway-clients")

    code, output = deployable.run(*DEPLOY, "--callers", str(tmp_path / "callers.json"))

    assert 0 == code, output
    assert None is deployable.callers("deployment group create") is deployable.callers("what-if")
    assert "The first key" not in output


def test_callers_of_one_region_are_not_written_over_those_of_another(deployable):
    deployable.vault_with("gateway-deployments", "gateway-clients")
    deployable.answer("keyvault list", [{"name": "kv-new"}, {"name": "kv-abc"}, {"name": "somebody-elses"}])
    deployable.answer("resource show & vaults/kv-new & gateway-deployments", {"name": "gateway-deployments"})

    code, output = deployable.run(*DEPLOY)

    assert 0 == code, output
    assert None is deployable.callers("deployment group create")


def test_what_the_shell_has_exported_is_not_written_over_callers_that_are_there(deployable):
    deployable.vault_with("gateway-deployments", "gateway-clients")

    code, output = deployable.run(*DEPLOY, GATEWAY_CALLERS=json.dumps(CALLERS))

    assert 0 == code, output
    assert None is deployable.callers("deployment group create") is deployable.callers("what-if")


def test_not_being_told_does_not_count_as_absent(deployable):
    """Whoever may not look must not write over what is there."""
    deployable.answer("keyvault list", [{"name": "kv-abc"}])
    deployable.answer(
        "resource show", code=1, error="ERROR: (AuthorizationFailed) The client does not have authorization."
    )

    code, output = deployable.run(*DEPLOY)

    assert 1 == code
    assert "AuthorizationFailed" in output
    assert not [line for line in deployable.asked() if line.startswith("deployment group create")]


def test_callers_are_written_as_the_types_of_the_template_have_them(deployable, tmp_path):
    """The gateway also takes what is short: a key that is a hash alone, as `keys new` prints it, and one audience."""
    digest = "sha256:" + "0" * 64
    short = {"clients": [{"name": "a", "keys": [digest]}, {"name": "b"}], "entra": {"audience": "api://a"}}
    (tmp_path / "callers.json").write_text(json.dumps(short))

    code, output = deployable.run(*DEPLOY, "--callers", str(tmp_path / "callers.json"))

    assert 0 == code, output
    assert deployable.callers("deployment group create") == {
        "clients": [{"name": "a", "keys": [{"hash": digest}]}, {"name": "b"}],
        "entra": {"audience": ["api://a"]},
    }


@pytest.mark.parametrize(
    ("option", "text"), [("--callers", None), ("--callers", "{"), ("--callers", "[]"), ("--parameters", None)]
)
def test_a_file_that_is_named_must_be_one(deployable, tmp_path, option, text):
    path = tmp_path / "named"
    if text:
        path.write_text(text)

    code, output = deployable.run(*DEPLOY, option, str(path))

    assert 1 == code
    assert str(path) in output
    assert "Traceback" not in output
    assert not [line for line in deployable.asked() if line.startswith("deployment")]
