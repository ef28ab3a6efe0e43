"""scripts/teardown, against a stand-in for `az`."""

from __future__ import annotations

import pytest

TEARDOWN = ("scripts/teardown", "--resource-group", "rg-ai", "--yes")
ELSEWHERE = "/subscriptions/1/resourceGroups/rg-shared/providers/Microsoft.CognitiveServices/accounts/shared"
INSIDE = "/subscriptions/1/resourceGroups/RG-AI/providers/Microsoft.KeyVault/vaults/kv-abc"


@pytest.fixture
def deployed(az):
    """An `az` with a deployed gateway that calls an account in another resource group."""
    az.answer("group exists", True)
    az.answer("keyvault list", [{"name": "kv-abc", "location": "swedencentral"}])
    az.answer("keyvault show", {"name": "kv-abc", "location": "swedencentral", "properties": {}})
    az.answer("cognitiveservices account list", [{"name": "openai", "location": "eastus2"}])
    az.answer("identity list", [{"principalId": "principal-1"}, {"principalId": "principal-2"}])
    az.answer(
        "role assignment list", [{"id": "inside", "scope": INSIDE}, {"id": "outside", "scope": ELSEWHERE}]
    )
    return az


def changes(az):
    """The commands that change something."""
    return [line for line in az.asked() if {"delete", "purge"} & set(line.split())]


def test_it_deletes_the_group_and_the_roles_given_outside(deployed):
    code, output = deployed.run(*TEARDOWN)

    assert 0 == code, output
    assert [
        "role assignment delete --ids outside",
        "role assignment delete --ids outside",
        "group delete --name rg-ai --yes",
    ] == changes(deployed)
    assert "The account openai can be recovered for 48 hours" in output
    assert "The vault kv-abc can be recovered for 90 days" in output


def test_names_are_freed_where_that_is_asked_for(deployed):
    code, output = deployed.run(*TEARDOWN, "--purge")

    assert 0 == code, output
    assert [
        "keyvault purge --name kv-abc --location swedencentral",
        "cognitiveservices account purge --name openai --resource-group rg-ai --location eastus2",
    ] == changes(deployed)[-2:]


def test_a_protected_vault_is_not_purged_and_its_days_are_told(deployed):
    properties = {"enablePurgeProtection": True, "softDeleteRetentionInDays": 90}
    deployed.answer(
        "keyvault show", {"name": "kv-abc", "location": "swedencentral", "properties": properties}
    )

    code, output = deployed.run(*TEARDOWN, "--purge")

    assert 0 == code, output
    assert not [line for line in changes(deployed) if line.startswith("keyvault purge")]
    assert "its name is taken for 90 days" in output


def test_what_cannot_be_taken_back_or_purged_does_not_stop_the_rest(deployed):
    deployed.answer("role assignment delete", code=1, error="ERROR: (AuthorizationFailed) Not yours.")
    deployed.answer("keyvault purge", code=1, error="ERROR: (VaultLocked) Not now.")

    code, output = deployed.run(*TEARDOWN, "--purge")

    assert 1 == code
    assert "Not yours." in output
    assert "Not now." in output
    assert "Not all names are free" in output
    assert ["role", "role", "group", "keyvault", "cognitiveservices"] == [
        line.split()[0] for line in changes(deployed)
    ]


def test_ctrl_c_says_that_azure_may_go_on(deployed):
    deployed.answer("group delete", seconds=600)

    code, output = deployed.interrupted(*TEARDOWN, at="group delete", told="  deleting: ")

    assert 130 == code, output
    assert "Interrupted." in output
    assert "Traceback" not in output


@pytest.mark.parametrize("step", ["group exists", "identity list", "group delete"])
def test_whatever_step_fails_az_is_quoted_and_nothing_follows(deployed, step):
    deployed.answer(step, code=1, error="ERROR: (SomethingElse) It is like that.")

    code, output = deployed.run(*TEARDOWN)

    assert 1 == code
    assert "ERROR: (SomethingElse) It is like that." in output
    assert "Traceback" not in output
    assert step in deployed.asked()[-1]


def test_a_group_that_is_not_there_is_no_success(deployed):
    deployed.answer("group exists", False)

    code, output = deployed.run(*TEARDOWN)

    assert (1, []) == (code, changes(deployed))
    assert "there is no resource group rg-ai" in output
    # A run that was stopped after the group's end leaves names behind.
    assert "az keyvault list-deleted" in output


def test_nobody_to_confirm_is_a_no(deployed):
    code, output = deployed.run(*TEARDOWN[:-1])

    assert (1, []) == (code, changes(deployed))
    assert "pass --yes" in output


def test_a_dry_run_prints_every_command_and_runs_none(deployed):
    code, output = deployed.run(*TEARDOWN, "--purge", "--dry-run")

    assert (0, []) == (code, deployed.asked())
    for command in (
        "group delete",
        "keyvault show",
        "identity list",
        "role assignment delete",
        "keyvault purge",
        "cognitiveservices account purge",
    ):
        assert f"$ az {command}" in output
