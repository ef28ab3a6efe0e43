"""scripts/deploy, against a stand-in for `az`; what it calls afterwards is a real gateway before the simulator."""

from __future__ import annotations

import re
import shlex

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


@pytest.fixture(scope="module")
def gateway(simulator):
    """What the app would be once it is deployed; any key opens it."""
    configuration = gateway_config(simulator.url)
    configuration["general_settings"] = {"allow_anonymous": True}
    with start_gateway("embedded", configuration) as running:
        yield running


@pytest.fixture
def deployable(deployable, gateway):
    """An `az` whose deployment leads to that gateway."""
    deployable.leads_to(gateway.url)
    return deployable


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


def test_a_second_run_makes_no_resource_group(deployable):
    deployable.answer("group exists", True)
    deployable.vault_with("gateway-deployments", "gateway-clients")

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


def test_nobody_to_confirm_is_a_no(deployable):
    code, output = deployable.run(*(word for word in DEPLOY if word != "--yes"))

    assert 1 == code
    assert "pass --yes" in output
    assert not [line for line in deployable.asked() if line.startswith("deployment group create")]


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


def test_a_subscription_is_asked_for_by_every_command(deployable):
    code, output = deployable.run(*DEPLOY, "--subscription", "other")

    assert 0 == code, output
    assert all("--subscription other" in line for line in deployable.asked() if "version" not in line)
