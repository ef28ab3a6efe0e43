"""Parameters: what is refused before anything is made, what the shipped files lead to, and what each one changes."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest
from compiler import INFRA, PARAMETERS
from support.programs import finished
from world import World

from gateway.config import sections

ACCOUNT = "{ kind: 'Existing', name: 'one', deployments: [{ name: 'd', sku: 'Standard', capacity: 1 }] }"
NEW = (
    "{ kind: 'OpenAI', location: 'norwayeast', deployments: [{ model: 'm', sku: 'Standard', capacity: 1 }] }"
)
STANDARD = "{ model: 'm', sku: 'Standard', capacity: 1 }"
PROVISIONED = (
    "{ name: 'p', model: 'm', sku: 'ProvisionedManaged', capacity: 15, spilloverDeploymentName: 's' }"
)
SPILL_TOO = PROVISIONED.replace("'p'", "'s'")
PERSON = "{ principalId: '00000000-0000-0000-0000-00000000000c', principalType: 'User' }"

#: Models that refuse new deployments since 2026.
RETIRED = ("gpt-4o", "gpt-4.1", "o1", "o3-mini", "whisper", "tts")


@pytest.fixture
def deployed(compiler, tmp_path):
    """The World that a parameter file's text leads to."""

    def deploy(text: str, template: str = "main") -> World:
        path = tmp_path / "some.bicepparam"
        path.write_text(f"using '{os.path.relpath(INFRA / template, tmp_path)}.bicep'\n{text}\n")
        return World("some", compiler.snapshot(path), dict)

    return deploy


def accounts(*entries: str) -> str:
    return f"param accounts = [\n{chr(10).join(entries)}\n]"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"param prefix = 'my_app'\n{accounts(ACCOUNT)}", "prefix: only letters, digits and hyphens"),
        (f"param prefix = 'app-'\n{accounts(ACCOUNT)}", "prefix: only letters, digits and hyphens"),
        (f"param prefix = '-app'\n{accounts(ACCOUNT)}", "prefix: only letters, digits and hyphens"),
        (f"param prefix = 'caf\u00e9'\n{accounts(ACCOUNT)}", "prefix: only letters, digits and hyphens"),
        (
            f"param regions = [{{ location: 'norwayeast' }}, {{ location: 'Norway East' }}]\n{accounts(ACCOUNT)}",
            "a location stands twice",
        ),
        (
            f"param network = 'private'\nparam regions = [{{ location: 'a' }}, {{ location: 'b' }}]\n{accounts(ACCOUNT)}",
            "dnsResourceGroup of its own",
        ),
        (accounts(ACCOUNT, ACCOUNT), "an account stands twice"),
        (accounts(NEW, NEW), "an account stands twice"),
        (
            accounts(ACCOUNT, ACCOUNT.replace("'one',", "'One', resourceGroup: 'another',")),
            "two accounts have one endpoint",
        ),
        (accounts(ACCOUNT.replace("'one',", "'one', endpoint: 'one.azure.com',")), "begins with https://"),
        (
            f"param alwaysReady = 41\nparam maximumInstanceCount = 40\n{accounts(ACCOUNT)}",
            "alwaysReady: more than",
        ),
        (f"param operators = [\n{PERSON}\n{PERSON}\n]\n{accounts(ACCOUNT)}", "a principalId stands twice"),
        (accounts(NEW.replace("model: 'm'", "name: 'm'")), "a new deployment needs a model"),
        (accounts(ACCOUNT.replace("name: 'd', ", "")), "a deployment needs a model, or a name"),
        (
            accounts(
                ACCOUNT.replace(
                    "[{",
                    "["
                    + "".join(f"{{ name: 'd{i}', sku: 'Standard', capacity: 1 }}, " for i in range(200))
                    + "{",
                )
            ),
            "too many deployments for one secret",
        ),
    ],
)
def test_what_azure_would_refuse_halfway_is_refused_at_once(deployed, text, reason):
    with pytest.raises(ValueError, match=reason):
        deployed(text)


def test_each_account_is_looked_at_for_what_azure_would_refuse(compiler, tmp_path):
    two = NEW.replace("[{", "[" + STANDARD + ", {")
    expected = {
        NEW: [],
        two: ["a deployment stands twice"],
        ACCOUNT.replace("[{", "[{ name: 'D', sku: 'Standard', capacity: 2 }, {"): [
            "a deployment stands twice"
        ],
        ACCOUNT.replace("'one'", "'my_account'"): [],
        ACCOUNT.replace("'one',", "'one', endpoint: 'HTTPS://one.azure.com',"): [],
        ACCOUNT.replace("'one',", "'one', endpoint: 'http://one.azure.com',"): [
            "an endpoint begins with https://"
        ],
        NEW.replace("deployments", "name: 'Account-1', deployments"): [],
        NEW.replace("deployments", "name: 'my_account', deployments"): ["the name of a new account"],
        NEW.replace("deployments", "name: 'account-', deployments"): ["the name of a new account"],
        NEW.replace("{ model", f"{PROVISIONED}, {{ name: 'S', model"): [],
        NEW.replace("{ model", f"{PROVISIONED}, {{ name: 'other', model"): ["spilloverDeploymentName"],
        NEW.replace("{ model", f"{PROVISIONED}, {SPILL_TOO}, {{ model"): ["spilloverDeploymentName"],
        NEW.replace("'Standard'", "'Standard', spilloverDeploymentName: 'm'"): ["spilloverDeploymentName"],
        # Of an account that exists only the gateway's part is written.
        ACCOUNT.replace("'Standard'", "'Standard', spilloverDeploymentName: 'd'"): [],
    }
    functions = os.path.relpath(INFRA / "accounts", tmp_path)
    (tmp_path / "some.bicep").write_text(
        f"import {{ problemsOf }} from '{functions}.bicep'\nparam accounts array\n"
        "output problems array = map(accounts, account => problemsOf(account))\n"
    )
    (tmp_path / "some.bicepparam").write_text(f"using 'some.bicep'\n{accounts(*expected)}")

    problems = compiler.snapshot(tmp_path / "some.bicepparam")["outputs"]["problems"]

    assert [len(found) for found in expected.values()] == [len(found) for found in problems]
    for wanted, found in zip(expected.values(), problems, strict=True):
        assert [] == [
            text for text, part in zip(found, wanted, strict=True) if f"accounts: {part}" not in text
        ]


@pytest.mark.parametrize(
    "text",
    [
        f"param prefix = 'a'\n{accounts(ACCOUNT)}",
        f"param prefix = 'abcdefghijklmnopqrstu'\n{accounts(ACCOUNT)}",
        f"param pythonVersion = '3.11'\n{accounts(ACCOUNT)}",
        f"param instanceMemoryMB = 1024\n{accounts(ACCOUNT)}",
        f"param maximumInstanceCount = 39\n{accounts(ACCOUNT)}",
        f"param perInstanceConcurrency = 1001\n{accounts(ACCOUNT)}",
        f"param settings = {{ GATEWAY_KEEPALIVE: '3' }}\n{accounts(ACCOUNT)}",
        f"param settings = {{ OPENAI_API_KEY: 'x' }}\n{accounts(ACCOUNT)}",
        f"param callers = {{ clients: [{{ name: 'a', keys: [{{ hash: 'sk-in-clear' }}] }}] }}\n{accounts(ACCOUNT)}",
        accounts(ACCOUNT.replace("'Standard'", "'Free'")),
        accounts(ACCOUNT.replace("capacity: 1", "capacity: 0")),
        accounts(ACCOUNT.replace("name: 'd'", "name: ''")),
        accounts(ACCOUNT.replace("name: 'd'", "name: 'd', modelName: ''")),
        accounts(ACCOUNT.replace("name: 'one'", "name: 'one', apiVersion: ''")),
        f"param regions = [{{ location: '' }}]\n{accounts(ACCOUNT)}",
        accounts(ACCOUNT.replace("kind: 'Existing'", "kind: 'SpeechServices'")),
        "param accounts = []",
    ],
)
def test_what_the_types_know_is_refused_by_the_compiler(deployed, text):
    with pytest.raises(ValueError, match=r"Compilation failed|allowed|minimum|maximum|length"):
        deployed(text)


@pytest.mark.parametrize("name", ["main", "subscription", "development"])
def test_the_shipped_parameters_name_models_that_can_be_deployed(compiler, name):
    world = World(name, compiler.snapshot(INFRA / f"{name}.bicepparam"), dict)

    models = {
        found["properties"]["model"]["name"] for found in world.of("CognitiveServices/accounts/deployments")
    }
    assert models - {"text-embedding-3-small"} == {"gpt-5.4-mini"}
    assert not [model for model in models if model.startswith(RETIRED)]


def test_the_shipped_parameters_say_how_to_list_what_a_region_offers():
    assert "az cognitiveservices model list --location" in (INFRA / "main.bicepparam").read_text()


def test_callers_are_written_where_the_parameter_is_given_and_left_alone_otherwise(deployed):
    clients = "param callers = { clients: [{ name: 'a', admin: true }] }"

    without, given = deployed(accounts(ACCOUNT)), deployed(f"{clients}\n{accounts(ACCOUNT)}")

    assert not [found for found in without.resources if found["name"].endswith("/gateway-clients")]
    (secret,) = (found for found in given.resources if found["name"].endswith("/gateway-clients"))
    # The parameter is secure, so the compiler keeps its value and what depends on it to itself.
    assert "[not(equals(parameters('callers'), null()))]" == secret["condition"]


@pytest.mark.parametrize("name", ["everything", "two-regions"])
def test_the_gateway_accepts_what_both_secrets_hold(compiler, world, tmp_path, name):
    """Both are merged, as the gateway merges them; the template writes the callers as they are."""
    callers = compiler.parameters(PARAMETERS / f"{name}.bicepparam")["callers"]

    configuration = world(name).configurations[0]

    (tmp_path / "both.json").write_text(json.dumps(configuration | callers))
    code, output = finished(sys.executable, "-m", "gateway", "check", str(tmp_path / "both.json"))

    assert 0 == code, output
    # No warning, and every deployment is called by the app's identity.
    ids = [member["model_info"]["id"] for member in configuration["model_list"]]
    _, *members, last = output.splitlines()
    cells = [re.split(r" {2,}", member) for member in members]
    assert [(name, "default identity (DefaultAzureCredential)") for name in ids] == [
        (row[1], row[5]) for row in cells
    ]
    assert "The configuration is valid." == last


@pytest.mark.parametrize("name", ["main", "subscription", "development"])
def test_the_shipped_files_read_callers_from_a_variable_and_have_none_where_it_is_empty(
    compiler, tmp_path, name
):
    """The compiler of the tests has both variables. azd cannot take one away, only empty it."""
    path = tmp_path / f"{name}.bicepparam"
    text = (INFRA / path.name).read_text().replace("using '", f"using '{os.path.relpath(INFRA, tmp_path)}/")
    path.write_text(text.replace("GATEWAY_CALLERS", "GATEWAY_TEST_CALLERS"))

    assert None is compiler.parameters(INFRA / path.name)["callers"]
    assert {"clients": [{"name": "a", "admin": True}]} == compiler.parameters(path)["callers"]


def test_callers_are_no_part_of_the_history_of_deployments(compiler):
    template = compiler.template(INFRA / "main.bicep")

    assert "secureObject" == template["definitions"]["callersType"]["type"]
    assert "sha256" not in json.dumps(compiler.snapshot(PARAMETERS / "two-regions.bicepparam"))


def test_operators_may_edit_the_vault_of_each_region(deployed):
    regions = "param regions = [{ location: 'norwayeast' }, { location: 'westeurope' }]"

    world = deployed(f"param operators = [{PERSON}]\n{regions}\n{accounts(ACCOUNT)}")

    officers = [found for found in world.assignments if found.principal.endswith("00c")]
    assert ["User", "User"] == [found.principal_type for found in officers]
    assert {vault["id"] for vault in world.of("KeyVault/vaults")} == {found.scope for found in officers}


def test_a_setting_reaches_the_app(deployed):
    world = deployed(f"param settings = {{ GATEWAY_KEEP_ALIVE: '10' }}\n{accounts(ACCOUNT)}")

    assert {"name": "GATEWAY_KEEP_ALIVE", "value": "10"} in world.sites[0]["properties"]["siteConfig"][
        "appSettings"
    ]


def test_an_app_has_the_size_that_was_asked_for(world):
    app = world("everything").sites[0]["properties"]

    assert {
        "instanceMemoryMB": 4096,
        "maximumInstanceCount": 400,
        # Two at least where zones are redundant.
        "alwaysReady": [{"name": "http", "instanceCount": 2}],
        "triggers": {"http": {"perInstanceConcurrency": 200}},
    } == app["functionAppConfig"]["scaleAndConcurrency"]
    assert {"allowedOrigins": ["https://chat.contoso.com"]} == app["siteConfig"]["cors"]


def test_python_has_a_hundred_requests_at_a_time_by_default(world):
    app = world("smallest").sites[0]["properties"]["functionAppConfig"]

    assert "3.13" == app["runtime"]["version"]
    assert {"http": {"perInstanceConcurrency": 100}} == app["scaleAndConcurrency"]["triggers"]


def test_a_deployment_is_made_as_written(world):
    made = {
        found["name"]: found for found in world("everything").of("CognitiveServices/accounts/deployments")
    }

    assert {
        "sku": {"name": "ProvisionedManaged", "capacity": 50},
        "properties": {
            "model": {"format": "OpenAI", "name": "gpt-5.4-mini", "version": "2026-03-17"},
            "versionUpgradeOption": "NoAutoUpgrade",
            "raiPolicyName": "Microsoft.DefaultV2",
            "spilloverDeploymentName": "mini-standard",
        },
    } == {key: made["contoso-openai/mini-ptu"][key] for key in ("sku", "properties")}


def test_accounts_of_one_name_are_told_apart_and_others_keep_theirs(world):
    ids = [
        member["model_info"]["id"] for member in world("existing-accounts").configurations[0]["model_list"]
    ]

    assert 5 == len(set(ids))
    assert ["foundry/embed", "openai-east/gpt"] == sorted(name for name in ids if "west" not in name)
    assert all(
        re.fullmatch(r"openai-west-[a-z0-9]{13}/(gpt|reserved)", name) for name in ids if "west" in name
    )


def test_everything_has_every_parameter_and_every_key_of_what_is_made(compiler):
    """A parameter that no file of the matrix has is checked by nothing."""
    template = compiler.template(INFRA / "main.bicep")
    text = (PARAMETERS / "everything.bicepparam").read_text()
    kinds = [
        "region",
        "deployment",
        "openAiAccount",
        "existingAccount",
        "client",
        "clientKey",
        "entra",
        "entraClient",
    ]
    definitions = {name.rpartition(".")[2]: found for name, found in template["definitions"].items()}
    keys = {key for kind in kinds for key in definitions[kind]["properties"]}

    assert [] == [name for name in template["parameters"] if f"param {name} =" not in text]
    assert [] == sorted(key for key in keys if not re.search(rf"\b{key}:", text))


def test_the_types_of_callers_have_what_the_gateway_reads(compiler):
    template = compiler.template(INFRA / "main.bicep")
    definitions = {name.rpartition(".")[2]: found for name, found in template["definitions"].items()}
    pairs = {
        "client": sections.ClientEntry,
        "clientKey": sections.KeyEntry,
        "limits": sections.ClientLimit,
        "entra": sections.EntraSection,
        "entraClient": sections.EntraEntry,
    }

    assert {name: set(section.__struct_fields__) for name, section in pairs.items()} == {
        name: set(definitions[name]["properties"]) for name in pairs
    }


def test_the_configuration_is_made_of_accounts_and_deployments(world):
    members = {
        member["model_info"]["id"]: member for member in world("everything").configurations[0]["model_list"]
    }

    assert {
        "model_name": "gpt-5.4-mini",
        "litellm_params": {
            "model": "azure/mini-standard",
            "api_base": "https://contoso-openai.openai.azure.com",
            "api_version": "2025-04-01-preview",
            "order": 2,
        },
        "model_info": {
            "id": "contoso-openai/mini-standard",
            "base_model": "gpt-5.4-mini",
            "mode": "chat",
        },
        "tpm": 250000,
        "rpm": 2500,
    } == members["contoso-openai/mini-standard"]
    assert {
        "model_name": "speech",
        "litellm_params": {
            "model": "azure/tts",
            "api_base": "https://shared-openai.cognitiveservices.azure.com",
            "api_version": "v1",
            "order": 2,
        },
        "model_info": {"id": "shared-openai/tts", "mode": "audio_speech"},
        "tpm": 3000,
        "rpm": 3,
    } == members["shared-openai/tts"]


def test_deleted_names_are_brought_back_where_that_is_asked_for(world, compiler):
    restored = world("everything")

    assert all(account["properties"]["restore"] for account in restored.of("CognitiveServices/accounts"))
    assert all("recover" == vault["properties"]["createMode"] for vault in restored.of("KeyVault/vaults"))
    assert not re.search(r'"restore"|createMode', world("foundry").text)


def test_a_development_gateway_can_be_taken_down_for_good(compiler):
    world = World("development", compiler.snapshot(INFRA / "development.bicepparam"), dict)

    (vault,) = world.of("KeyVault/vaults")
    assert "enablePurgeProtection" not in vault["properties"]
    assert 7 == vault["properties"]["softDeleteRetentionInDays"]


def test_every_parameter_and_output_is_explained(compiler):
    template = compiler.template(INFRA / "main.bicep")

    unexplained = [
        name
        for kind in ("parameters", "outputs")
        for name, entry in template[kind].items()
        if not entry.get("metadata", {}).get("description")
    ]
    assert [] == unexplained


def test_azd_makes_a_resource_group_and_the_same_in_it(compiler):
    world = World("subscription", compiler.snapshot(INFRA / "subscription.bicepparam"), dict)

    (group,) = world.of("Resources/resourceGroups")
    assert ("rg-gateway", {"azd-env-name": "gateway"}) == (group["name"], group["tags"])
    assert all("/resourceGroups/rg-gateway" in found["id"] for found in world.resources)
    assert 1 == len(world.sites)
    assert {
        "AZURE_RESOURCE_GROUP",
        "GATEWAY_KEY_VAULT_NAME",
        "GATEWAY_URL",
        "SERVICE_GATEWAY_ENDPOINTS",
        "SERVICE_GATEWAY_NAME",
    } == world.outputs.keys()
