"""The app's settings, against what the code reads: nothing is set that nobody reads, nothing read is forgotten."""

from __future__ import annotations

import pytest
from azure.identity._constants import EnvironmentVariables
from checks import HOST_SETTINGS
from compiler import INFRA
from world import settings_of

from gateway.variables import SETTINGS

READ = {setting.name for setting in SETTINGS}
IDENTITY = {
    value for name, value in vars(EnvironmentVariables).items() if name.isupper() and isinstance(value, str)
}

#: What the code reads and the template neither sets nor offers, and why.
LEFT_OUT = {
    "AZURE_AD_TOKEN": "a secret, and it expires",
    "AZURE_API_BASE": "every deployment has an address of its own",
    "AZURE_OPENAI_ENDPOINT": "as AZURE_API_BASE",
    "AZURE_SCOPE": "members name their own",
    "AZURE_API_KEY": "a secret; the identity signs in",
    "AZURE_OPENAI_API_KEY": "as AZURE_API_KEY",
    "AZURE_FEDERATED_TOKEN_FILE": "the identity needs none",
    "AzureWebJobsStorage": "a connection string holds a key; TABLES_ENDPOINT needs none",
    "GATEWAY_ALLOW_ANONYMOUS": "a gateway on a public address is never open",
    "GATEWAY_CLIENTS_SECRET": "the template writes the secret of the default name",
    "GATEWAY_CONFIG": "the configuration is in the vault",
    "GATEWAY_CONFIG_SECRET": "as GATEWAY_CLIENTS_SECRET",
    "GATEWAY_DEPLOYMENTS_SECRET": "as GATEWAY_CLIENTS_SECRET",
    "GATEWAY_MASTER_KEY": "a secret; the configuration in the vault has one",
    "GATEWAY_RELOAD_SECONDS": "for a configuration in a file",
    "HTTPS_PROXY": "the platform leads calls through the virtual network",
    "NO_PROXY": "as HTTPS_PROXY",
    "LITELLM_MASTER_KEY": "as GATEWAY_MASTER_KEY",
    "OPENAI_API_KEY": "a secret; members of OpenAI name one in the vault",
}

# The table of settings says it of these; for GATEWAY_CORS_ORIGINS the template has the platform's corsOrigins.
LEFT_OUT |= {
    setting.name: "embedded host only"
    for setting in SETTINGS
    if setting.meaning.startswith("Embedded host only")
}


@pytest.fixture
def set_by_template(world):
    """The settings of every app of the matrix, without those of host and worker."""
    found = [
        settings_of(site).keys()
        for name in ("smallest", "foundry", "two-regions")
        for site in world(name).sites
    ]
    assert all(names == found[0] for names in found)
    return found[0] - HOST_SETTINGS


@pytest.fixture
def offered(compiler):
    """The settings that a parameter file may set."""
    return compiler.template(INFRA / "main.bicep")["definitions"]["gatewaySettings"]["properties"].keys()


def test_what_is_set_is_read(set_by_template):
    assert set() == set_by_template - READ - IDENTITY


def test_what_is_offered_is_read(offered):
    assert set() == offered - READ


def test_what_is_read_is_set_offered_or_left_out_for_a_reason(set_by_template, offered):
    assert set() == READ - set_by_template - offered - LEFT_OUT.keys(), (
        "a setting is new: set it in infra/modules/function-app.bicep, offer it in `settings` of infra/types.bicep, "
        "or say in LEFT_OUT why neither"
    )


def test_what_is_left_out_is_read():
    assert set() == LEFT_OUT.keys() - READ


def test_the_secrets_have_the_names_that_the_gateway_looks_for(world):
    defaults = {setting.name: setting.default for setting in SETTINGS}
    names = {
        secret["name"].rpartition("/")[2] for secret in world("two-regions").of("KeyVault/vaults/secrets")
    }

    assert names == {defaults["GATEWAY_DEPLOYMENTS_SECRET"], defaults["GATEWAY_CLIENTS_SECRET"]}


def test_nothing_is_both_set_and_offered_or_left_out(set_by_template, offered):
    assert set() == set_by_template & offered
    assert set() == (set_by_template | offered) & LEFT_OUT.keys()


def test_the_identity_is_chosen_by_names_that_its_library_reads(set_by_template):
    assert {"AZURE_CLIENT_ID", "AZURE_TOKEN_CREDENTIALS"} == set_by_template & IDENTITY - READ
