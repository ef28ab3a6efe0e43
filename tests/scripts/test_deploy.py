"""scripts/deploy, against a stand-in for `az`; what it calls afterwards is a real gateway before the simulator."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sys

import pytest
from support.gateways import start_gateway
from support.upstream import gateway_config

DEPLOY = (
    "scripts/deploy",
    "--resource-group",
    "rg-ai",
    "--location",
    "swedencentral",
    "--yes",
    "--model",
    "gpt-4o",
)
CALLERS_OF_VAULT = (
    "--namespace Microsoft.KeyVault --parent vaults/kv-abc --resource-type secrets --name gateway-clients "
    "--api-version 2024-11-01"
)
CALLERS = {"clients": [{"name": "team-a", "keys": [{"hash": "sha256:" + "0" * 64}]}]}


@pytest.fixture(scope="module")
def gateway(simulator):
    """What the app would be once it is deployed; any key opens it."""
    configuration = gateway_config(simulator.url)
    configuration["general_settings"] = {"allow_anonymous": True}
    with start_gateway("embedded", configuration) as running:
        yield running


@pytest.fixture
def deployable(az, gateway):
    """An `az` whose deployment leads to that gateway."""
    made = {
        "location": "swedencentral",
        "functionAppName": "gateway-abc",
        "endpoint": gateway.url,
        "keyVaultName": "kv-abc",
        "identityPrincipalId": "00000000-0000-0000-0000-00000000000d",
    }
    az.answer("deployment group create", {"properties": {"outputs": {"gateways": {"value": [made]}}}})
    az.answer("deployment group show", [made])
    # What the deployment has written; nobody asks before, since there is no vault.
    az.answer("resource show & vaults/kv-abc & gateway-clients", {"name": "gateway-clients"})
    return az


def vault_with(az, *secrets: str) -> None:
    """Let the resource group hold a vault with these secrets."""
    az.answer("keyvault list", [{"name": "kv-abc"}])
    for name in secrets:
        az.answer(f"resource show & vaults/kv-abc & {name}", {"name": name})


def test_two_commands_come_down_to_these(deployable):
    code, output = deployable.run(*DEPLOY)

    assert 0 == code, output
    asked = [re.sub(r"\S+/(infra|dist)/", r"\1/", line) for line in deployable.asked()]
    assert asked == [
        "version",
        "bicep version",
        "account show",
        "group exists --name rg-ai",
        "group create --name rg-ai --location swedencentral",
        "keyvault list --resource-group rg-ai",
        "deployment group what-if --resource-group rg-ai --name gateway --parameters infra/main.bicepparam",
        "deployment group create --resource-group rg-ai --name gateway --parameters infra/main.bicepparam",
        "functionapp deployment source config-zip --resource-group rg-ai --name gateway-abc --src dist/gateway.zip",
        f"resource show --resource-group rg-ai {CALLERS_OF_VAULT}",
    ]


def test_it_tries_health_models_a_chat_and_a_stream_and_says_what_is_next(deployable, gateway):
    code, output = deployable.run(*DEPLOY)

    assert 0 == code, output
    assert ["models", "a model to chat with", "chat with gpt-4o", "stream from gpt-4o"] == re.findall(
        "ok: (.*)", output
    )
    assert f"The gateway: {gateway.url}/v1" in output
    assert '"model": "gpt-4o"' in output.partition("curl ")[2]
    assert "kv-abc" in output


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

    code, output = deployable.run(*DEPLOY, "--callers", str(tmp_path / "callers.json"), GATEWAY_KEY="sk-any")

    assert 0 == code, output
    assert CALLERS == deployable.callers("deployment group create") == deployable.callers("what-if")
    assert "The first key" not in output


def test_callers_that_are_there_are_left_alone(deployable, tmp_path):
    (tmp_path / "callers.json").write_text(json.dumps(CALLERS))
    vault_with(deployable, "gateway-deployments", "gateway-clients")

    code, output = deployable.run(*DEPLOY, "--callers", str(tmp_path / "callers.json"), GATEWAY_KEY="sk-any")

    assert 0 == code, output
    assert None is deployable.callers("deployment group create") is deployable.callers("what-if")
    assert "The first key" not in output


def test_callers_of_one_region_are_not_written_over_those_of_another(deployable):
    vault_with(deployable, "gateway-deployments", "gateway-clients")
    deployable.answer("keyvault list", [{"name": "kv-new"}, {"name": "kv-abc"}, {"name": "somebody-elses"}])
    deployable.answer("resource show & vaults/kv-new & gateway-deployments", {"name": "gateway-deployments"})

    code, output = deployable.run(*DEPLOY, "--no-smoke-test")

    assert 0 == code, output
    assert None is deployable.callers("deployment group create")


def test_a_region_whose_vault_has_no_callers_yet_gets_its_code_and_is_not_waited_for(deployable, gateway):
    regions = [
        {"functionAppName": app, "endpoint": url, "keyVaultName": vault}
        for app, url, vault in (("one", gateway.url, "kv-abc"), ("two", "http://127.0.0.1:9", "kv-new"))
    ]
    deployable.answer("deployment group show", regions)

    code, output = deployable.run(*DEPLOY, "--code-only", GATEWAY_KEY="sk-any")

    assert 0 == code, output
    assert ["one", "two"] == re.findall(r"--name (\w+) --src", "\n".join(deployable.asked()))
    assert "Not tried: the vault kv-new has no callers yet" in output


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


def test_a_second_run_makes_no_resource_group(deployable):
    deployable.answer("group exists", True)
    vault_with(deployable, "gateway-deployments", "gateway-clients")

    code, output = deployable.run(*DEPLOY, GATEWAY_KEY="sk-any")

    assert 0 == code, output
    assert not [line for line in deployable.asked() if line.startswith("group create")]


def test_code_alone_leaves_the_infrastructure(deployable):
    code, output = deployable.run(*DEPLOY, "--code-only", GATEWAY_KEY="sk-any")

    assert 0 == code, output
    assert ["version", "bicep", "account", "deployment", "functionapp", "resource"] == [
        line.split()[0] for line in deployable.asked()
    ]
    assert "what-if" not in output


def test_code_alone_needs_infrastructure(az):
    code, output = az.run(*DEPLOY, "--code-only")

    assert 1 == code
    assert "nothing is deployed in that resource group yet" in output


def test_every_region_gets_the_code(deployable, gateway):
    regions = [
        {"functionAppName": name, "endpoint": gateway.url, "keyVaultName": "kv-abc"}
        for name in ("one", "two")
    ]
    deployable.answer("deployment group show", regions)

    code, output = deployable.run(*DEPLOY, "--code-only", GATEWAY_KEY="sk-any")

    assert 0 == code, output
    assert ["one", "two"] == re.findall(r"--name (\w+) --src", "\n".join(deployable.asked()))


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


def test_nobody_to_confirm_is_a_no(deployable):
    code, output = deployable.run(*(word for word in DEPLOY if word != "--yes"))

    assert 1 == code
    assert "pass --yes" in output
    assert not [line for line in deployable.asked() if line.startswith("deployment group create")]


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


def test_a_dry_run_prints_every_command_and_runs_none(az):
    code, output = az.run(*DEPLOY, "--dry-run")

    assert 0 == code, output
    assert [] == az.asked()
    commands = [shlex.split(line[2:]) for line in output.splitlines() if line.startswith("$ ")]
    az_commands = [
        " ".join(command[command.index("az") + 1 :][:3]) for command in commands if "az" in command
    ]
    assert [
        "version",
        "bicep version",
        "account show",
        "group exists --name",
        "group create --name",
        "keyvault list --resource-group",
        "resource show --resource-group",
        "resource show --resource-group",
        "deployment group what-if",
        "deployment group create",
        "functionapp deployment source",
        "resource show --resource-group",
    ] == az_commands
    # Health twice, models, a chat, a stream.
    assert 5 == sum(command[0] == "curl" for command in commands)
    assert 1 == output.count('"stream": true')
    # A key that nobody uses is not made.
    assert not re.search(r"gwk_\w{20}", output)


@pytest.mark.parametrize("ci", ["", "true"])
def test_a_dry_run_needs_neither_a_place_nor_a_key_and_says_the_same_each_time(az, ci):
    """It asks Azure nothing, so it cannot know that they are lacking."""
    command = ("scripts/deploy", "--resource-group", "rg-ai", "--dry-run")

    code, output = az.run(*command, CI=ci)

    assert (0, []) == (code, az.asked()), output
    assert "$ az group create --name rg-ai --location '<region>'" in output
    assert (0, output) == az.run(*command, CI=ci)


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

    code, output = deployable.run(*DEPLOY, "--no-smoke-test")

    assert 0 == code, output


def test_ctrl_c_says_that_azure_may_go_on(deployable):
    deployable.answer("deployment group create", seconds=600)

    code, output = deployable.interrupted(*DEPLOY, at="group create --resource", told="  infrastructure: ")

    assert 130 == code, output
    assert "run this again to finish it" in output
    assert "Traceback" not in output


def test_code_that_does_not_work_reaches_the_first_region_only(deployable, gateway):
    regions = [
        {"functionAppName": name, "endpoint": gateway.url, "keyVaultName": "kv-abc"}
        for name in ("one", "two")
    ]
    deployable.answer("deployment group show", regions)

    code, output = deployable.run(*DEPLOY, "--code-only", "--model", "no-such-model", GATEWAY_KEY="sk-any")

    assert 1 == code
    assert "Smoke test, chat with no-such-model: status 404" in output
    assert ["one"] == re.findall(r"--name (\w+) --src", "\n".join(deployable.asked()))


def test_what_the_shell_has_exported_is_not_written_over_callers_that_are_there(deployable):
    vault_with(deployable, "gateway-deployments", "gateway-clients")

    code, output = deployable.run(*DEPLOY, "--no-smoke-test", GATEWAY_CALLERS=json.dumps(CALLERS))

    assert 0 == code, output
    assert None is deployable.callers("deployment group create") is deployable.callers("what-if")


def test_callers_are_written_as_the_types_of_the_template_have_them(deployable, tmp_path):
    """The gateway also takes what is short: a key that is a hash alone, as `keys new` prints it, and one audience."""
    digest = "sha256:" + "0" * 64
    short = {"clients": [{"name": "a", "keys": [digest]}, {"name": "b"}], "entra": {"audience": "api://a"}}
    (tmp_path / "callers.json").write_text(json.dumps(short))

    code, output = deployable.run(*DEPLOY, "--no-smoke-test", "--callers", str(tmp_path / "callers.json"))

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


def test_a_subscription_is_asked_for_by_every_command(deployable):
    code, output = deployable.run(*DEPLOY, "--subscription", "other")

    assert 0 == code, output
    assert all("--subscription other" in line for line in deployable.asked() if "version" not in line)
