"""What must hold of every deployment, whatever its parameters. Each check takes a World and raises AssertionError.

Ids, limits of names and rules of Flex Consumption are Microsoft's; they are written here a second time on purpose.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import tempfile

from compiler import GROUP
from world import Assignment, World, identity_in, settings_of

from gateway.__main__ import main as gateway_main

BLOB_OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
TABLE_CONTRIBUTOR = "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
OPENAI_USER = "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd"
METRICS_PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"

LONGEST = "a-name-of-sixty-four-characters-which-is-as-long-as-it-may-be-xx"
#: The existing accounts that the parameter files name: subscription, resource group and name.
EXISTING = {
    "smallest": [(1, GROUP, "openai-one")],
    "everything": [(2, "rg-shared", "shared-openai")],
    "existing-accounts": [
        (1, "rg-ai", "openai-east"),
        (2, "rg-ai", "openai-west"),
        (3, "rg-ai", "openai-west"),
        (3, "rg-foundry", "foundry"),
    ],
    "private-network": [(2, "rg-ai", "openai-west")],
    "longest-prefix": [(1, "rg-ai", LONGEST)],
    "shortest-prefix": [(1, "rg-ai", LONGEST)],
}

#: Of each type: what Azure allows as a name, without the names of its parents.
NAMES = {
    "ManagedIdentity/userAssignedIdentities": r"[a-z0-9][a-z0-9_-]{2,127}",
    "OperationalInsights/workspaces": r"[a-z0-9][a-z0-9-]{2,61}[a-z0-9]",
    "Insights/components": r"[a-z0-9_.()-]{0,254}[a-z0-9_()-]",
    "Insights/diagnosticSettings": r"[a-z0-9-]{1,260}",
    "Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Storage/storageAccounts/blobServices": r"default",
    "Storage/storageAccounts/blobServices/containers": r"(?!.*--)[a-z0-9][a-z0-9-]{2,62}",
    "KeyVault/vaults": r"(?!.*--)[a-z][a-z0-9-]{1,22}[a-z0-9]",
    "KeyVault/vaults/secrets": r"[0-9a-z-]{1,127}",
    "CognitiveServices/accounts": r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,63}",
    "CognitiveServices/accounts/deployments": r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,63}",
    "Web/serverfarms": r"[a-z0-9-]{1,60}",
    # It is a label of the host name, too.
    "Web/sites": r"[a-z0-9][a-z0-9-]{0,58}[a-z0-9]",
    "Web/sites/basicPublishingCredentialsPolicies": r"ftp|scm",
    "Network/virtualNetworks": r"[a-z0-9][a-z0-9_.-]{0,62}[a-z0-9_]",
    "Network/privateEndpoints": r"[a-z0-9][a-z0-9_.-]{0,62}[a-z0-9_]",
    "Network/privateEndpoints/privateDnsZoneGroups": r"default",
    "Network/privateDnsZones": r"privatelink\.[a-z.]+|\[format\('privatelink.*",
    "Network/privateDnsZones/virtualNetworkLinks": r"[a-z0-9][a-z0-9_.-]{0,78}[a-z0-9_]|\[format\('.*",
    "Authorization/roleAssignments": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}

#: What the Functions host and the worker read of a site's settings.
HOST_SETTINGS = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AzureWebJobsDisableHomepage",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__tableServiceUri",
}


def roles_are_the_expected_ones_and_no_others(world: World) -> None:
    """Each region's identity: its own storage and vault, every account, the common telemetry. Operators: the vaults."""
    accounts = account_ids(world)
    expected = []
    for site in world.sites:
        identity = identity_of(site)
        suffix = site["name"].rpartition("-")[2]
        own = {
            kind: next(found["id"] for found in world.of(kind) if found["name"].endswith(suffix))
            for kind in ("Storage/storageAccounts", "KeyVault/vaults")
        }
        component = world.of("Insights/components")[0]["id"]
        expected += [
            Assignment(role, scope, identity, "ServicePrincipal")
            for role, scope in [
                (BLOB_OWNER, own["Storage/storageAccounts"]),
                (TABLE_CONTRIBUTOR, own["Storage/storageAccounts"]),
                (SECRETS_USER, own["KeyVault/vaults"]),
                (METRICS_PUBLISHER, component),
                *((OPENAI_USER, account) for account in accounts),
            ]
        ]
    actual = [found for found in world.assignments if found.role != SECRETS_OFFICER]
    assert sorted(expected, key=repr) == sorted(actual, key=repr)
    for officer in (found for found in world.assignments if found.role == SECRETS_OFFICER):
        assert officer.principal not in {identity_of(site) for site in world.sites}
        assert officer.scope in {vault["id"] for vault in world.of("KeyVault/vaults")}


def assignments_have_names_of_their_own(world: World) -> None:
    """Azure refuses a second assignment of one name; names are known before anything exists."""
    ids = [found["id"] for found in world.of("Authorization/roleAssignments")]
    assert len(set(ids)) == len(ids)


def roles_and_private_endpoints_come_before_the_site(world: World) -> None:
    """An app that starts before its roles are there fails on its storage, and stays so for minutes."""
    template = nested(world.template, "gateways")
    before = closure(template["resources"], "app")
    needed = {
        name
        for name, found in template["resources"].items()
        if not found.get("existing")
        and name != "app"
        and ("roleAssignments" in json.dumps(found) or "privateEndpoints" in json.dumps(found))
        and "app" not in closure(template["resources"], name)
    }
    assert {
        "storage",
        "vault",
        "callAccounts",
        "publishMetrics",
        "accountEndpoints",
        "vaultEndpoint",
    } <= needed
    assert needed <= before


def accounts_come_before_their_callers(world: World) -> None:
    assert "newAccounts" in closure(world.template["resources"], "gateways")


def nothing_takes_a_key_or_a_password(world: World) -> None:
    """No shared keys, local users or publishing passwords; and none is read to be put somewhere."""
    for storage in world.of("Storage/storageAccounts"):
        assert storage["properties"]["allowSharedKeyAccess"] is False
        assert storage["properties"]["defaultToOAuthAuthentication"] is True
    for account in world.of("CognitiveServices/accounts"):
        assert account["properties"]["disableLocalAuth"] is True
        assert account["name"].lower() == account["properties"]["customSubDomainName"]
    for component in world.of("Insights/components"):
        assert component["properties"]["DisableLocalAuth"] is True
    for workspace in world.of("OperationalInsights/workspaces"):
        assert workspace["properties"]["features"]["disableLocalAuth"] is True
    for vault in world.of("KeyVault/vaults"):
        assert vault["properties"]["enableRbacAuthorization"] is True
    for site in world.sites:
        policies = {
            policy["name"]: policy["properties"]["allow"]
            for policy in world.of("Web/sites/basicPublishingCredentialsPolicies")
        }
        assert {f"{site['name']}/ftp": False, f"{site['name']}/scm": False}.items() <= policies.items()
    assert not re.search(
        r"list(Keys|Secrets|AccountSas|ServiceSas|Credentials)|AccountKey=|SharedAccess", compiled(world)
    )


def nothing_is_public_that_should_not_be(world: World) -> None:
    """Blobs never; with a private network nothing behind the gateway, and the gateway as the parameter says."""
    for storage in world.of("Storage/storageAccounts"):
        assert storage["properties"]["allowBlobPublicAccess"] is False
        assert storage["properties"]["allowCrossTenantReplication"] is False
    for container in world.of("Storage/storageAccounts/blobServices/containers"):
        assert container["properties"]["publicAccess"] == "None"
    wanted = ("Disabled", "Deny") if world.is_private else ("Enabled", "Allow")
    for kind in ("Storage/storageAccounts", "KeyVault/vaults", "CognitiveServices/accounts"):
        for found in world.of(kind):
            properties = found["properties"]
            assert wanted == (properties["publicNetworkAccess"], properties["networkAcls"]["defaultAction"])
            assert properties["networkAcls"].get("bypass", "None") == "None"
    if not world.is_private:
        assert not world.is_inbound_private


def private_endpoints_lead_to_everything_behind_the_gateway(world: World) -> None:
    """In each region: its storage, its vault, every account in all its host forms; and the site, if it is private."""
    if not world.is_private:
        assert not world.of("Network/privateEndpoints")
        return
    zones = {
        group["id"].partition("/privateDnsZoneGroups")[0]: sorted(
            zone_in(config["properties"]["privateDnsZoneId"])
            for config in group["properties"]["privateDnsZoneConfigs"]
        )
        for group in world.of("Network/privateEndpoints/privateDnsZoneGroups")
    }
    for site in world.sites:
        suffix = site["name"].rpartition("-")[2]
        storage = next(
            found["id"] for found in world.of("Storage/storageAccounts") if found["name"].endswith(suffix)
        )
        vault = next(found["id"] for found in world.of("KeyVault/vaults") if found["name"].endswith(suffix))
        network = next(
            found["id"] for found in world.of("Network/virtualNetworks") if found["name"].endswith(suffix)
        )
        account_zones = ["cognitiveservices", "openai", "services.ai"]
        expected = [
            (storage, "blob", ["blob"]),
            (storage, "table", ["table"]),
            (vault, "vault", ["vault"]),
            *((account, "account", account_zones) for account in account_ids(world)),
            *([(site["id"], "sites", ["azurewebsites"])] if world.is_inbound_private else []),
        ]
        actual = [
            (
                connection["properties"]["privateLinkServiceId"],
                *connection["properties"]["groupIds"],
                zones[endpoint["id"]],
            )
            for endpoint in world.of("Network/privateEndpoints")
            for connection in endpoint["properties"]["privateLinkServiceConnections"]
            if endpoint["properties"]["subnet"]["id"] == f"{network}/subnets/endpoints"
        ]
        assert sorted(expected) == sorted(actual)
        assert site["properties"]["virtualNetworkSubnetId"] == f"{network}/subnets/app"


def networks_are_made_for_flex(world: World) -> None:
    """The app's subnet is Flex's alone, and no two regions' addresses meet."""
    prefixes = []
    for network in world.of("Network/virtualNetworks"):
        subnets = {subnet["name"]: subnet["properties"] for subnet in network["properties"]["subnets"]}
        services = [found["properties"]["serviceName"] for found in subnets["app"]["delegations"]]
        assert ["Microsoft.App/environments"] == services
        assert "delegations" not in subnets["endpoints"]
        assert all(subnet["addressPrefix"].endswith("/24") for subnet in subnets.values())
        prefixes += network["properties"]["addressSpace"]["addressPrefixes"]
        links = [
            link
            for link in world.of("Network/privateDnsZones/virtualNetworkLinks")
            if link["properties"]["virtualNetwork"]["id"] == network["id"]
        ]
        assert len(links) == (7 if world.is_inbound_private else 6)
    assert len(set(prefixes)) == len(prefixes)
    # One zone cannot hold two regions' addresses of one account.
    zone_ids = [zone["id"] for zone in world.of("Network/privateDnsZones")]
    assert len(set(zone_ids)) == len(zone_ids)


def everything_speaks_tls_1_2(world: World) -> None:
    for storage in world.of("Storage/storageAccounts"):
        assert storage["properties"]["minimumTlsVersion"] == "TLS1_2"
        assert storage["properties"]["supportsHttpsTrafficOnly"] is True
    for site in world.sites:
        assert site["properties"]["httpsOnly"] is True
        config = site["properties"]["siteConfig"]
        assert ("1.2", "1.2") == (config["minTlsVersion"], config["scmMinTlsVersion"])


def sites_keep_the_rules_of_flex(world: World) -> None:
    """Plan FC1 on Linux, runtime and scale in functionAppConfig, nothing of what Flex refuses, no platform login."""
    plans = {plan["id"]: plan for plan in world.of("Web/serverfarms")}
    assert len(plans) == len(world.sites)  # a Flex plan holds one app
    for site in world.sites:
        properties = site["properties"]
        plan = plans[properties["serverFarmId"]]
        assert {"name": "FC1", "tier": "FlexConsumption"} == plan["sku"]
        assert plan["properties"]["reserved"] is True
        assert site["kind"] == "functionapp,linux"
        assert site["identity"]["type"] == "UserAssigned"
        config = properties["functionAppConfig"]
        storage = config["deployment"]["storage"]
        assert (storage["type"], storage["authentication"]["type"]) == (
            "blobContainer",
            "UserAssignedIdentity",
        )
        assert (
            storage["authentication"]["userAssignedIdentityResourceId"]
            in site["identity"]["userAssignedIdentities"]
        )
        container = next(
            found["name"]
            for found in world.of("Storage/storageAccounts/blobServices/containers")
            if found["name"].startswith(storage_of(world, site))
        )
        assert f"'{storage_of(world, site)}'" in storage["value"]
        assert container.rpartition("/")[2] in storage["value"]
        assert config["runtime"]["name"] == "python"
        assert config["runtime"]["version"] in {"3.12", "3.13", "3.14"}
        scale = config["scaleAndConcurrency"]
        assert scale["instanceMemoryMB"] in {512, 2048, 4096}
        assert 40 <= scale["maximumInstanceCount"] <= 1000
        # Without it Python handles one request at a time.
        assert 1 < scale["triggers"]["http"]["perInstanceConcurrency"] <= 1000
        assert all(group["name"] == "http" and group["instanceCount"] > 0 for group in scale["alwaysReady"])
        assert (
            not {"alwaysOn", "linuxFxVersion", "healthCheckPath", "use32BitWorkerProcess"}
            & properties["siteConfig"].keys()
        )
        forbidden = (
            r"FUNCTIONS_|WEBSITE_|AzureWebJobsStorage$|DEPLOYMENT_STORAGE_|PYTHON_(?!ENABLE_INIT_INDEXING)"
        )
        assert not [name for name in settings_of(site) if re.match(forbidden, name)]
        assert ("PYTHON_ENABLE_INIT_INDEXING" in settings_of(site)) == (
            config["runtime"]["version"] == "3.12"
        )
    assert "authsettings" not in world.text.lower()


def zone_redundancy_is_whole_or_absent(world: World) -> None:
    """Plan, storage and two instances that are always there; any of them alone is not redundant."""
    for site in world.sites:
        suffix = site["name"].rpartition("-")[2]
        plan = next(found for found in world.of("Web/serverfarms") if found["name"].endswith(suffix))
        storage = next(
            found for found in world.of("Storage/storageAccounts") if found["name"].endswith(suffix)
        )
        ready = site["properties"]["functionAppConfig"]["scaleAndConcurrency"]["alwaysReady"]
        if plan["properties"]["zoneRedundant"]:
            assert storage["sku"]["name"] == "Standard_ZRS"
            assert sum(group["instanceCount"] for group in ready) >= 2
        else:
            assert storage["sku"]["name"] == "Standard_LRS"


def names_are_such_as_azure_takes(world: World) -> None:
    for found in world.resources:
        kind = found["type"].removeprefix("Microsoft.")
        name = found["name"] if found["name"].startswith("[") else found["name"].rpartition("/")[2]
        assert re.fullmatch(NAMES.get(kind, "(?!)"), name), f"{kind}: {name}"
    ids = [found["id"] for found in world.resources]
    assert len(set(ids)) == len(ids)


def the_identity_is_the_one_that_has_the_roles(world: World) -> None:
    """Every setting that chooses an identity chooses the site's own."""
    for site in world.sites:
        settings = settings_of(site)
        for name in (
            "AZURE_CLIENT_ID",
            "AzureWebJobsStorage__clientId",
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
        ):
            assert identity_of(site) == identity_in(settings[name])
            assert ".clientId" in settings[name]
        assert settings["AzureWebJobsStorage__credential"] == "managedidentity"
        assert settings["AZURE_TOKEN_CREDENTIALS"] == "ManagedIdentityCredential"
        assert "Authorization=AAD;" in settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"]


def each_region_has_storage_and_vault_of_its_own(world: World) -> None:
    """Two gateways share accounts and nothing else: neither counts nor configuration cross a region."""
    for site in world.sites:
        settings = settings_of(site)
        suffix = site["name"].rpartition("-")[2]
        for name, service in (
            ("TABLES_ENDPOINT", "table"),
            ("AzureWebJobsStorage__tableServiceUri", "table"),
            ("AzureWebJobsStorage__blobServiceUri", "blob"),
        ):
            assert f"'{storage_of(world, site)}'" in settings[name]
            assert f".{service}." in settings[name]
        vault = next(found["name"] for found in world.of("KeyVault/vaults") if found["name"].endswith(suffix))
        assert f"'{vault}'" in settings["KEY_VAULT_URL"]
    regions = {site["location"] for site in world.sites}
    assert (
        len(regions)
        == len(world.sites)
        == len(world.of("KeyVault/vaults"))
        == len(world.of("Storage/storageAccounts"))
    )


def settings_hold_no_secret(world: World) -> None:
    """All that looks like a key, and all that is not one of the few forms a setting has."""
    for site in world.sites:
        for name, value in settings_of(site).items():
            assert not re.search(r"KEY$|SECRET$|PASSWORD|^GATEWAY_CONFIG$|^GATEWAY_ALLOW_ANONYMOUS$", name), (
                name
            )
            assert not re.search(r"sk-|AccountKey|SharedAccess|@Microsoft\.KeyVault", value), name


def outputs_hold_no_secret(world: World) -> None:
    """Names, addresses and ids only: nothing secure, no secret's text, no connection string."""
    text = json.dumps(world.outputs)
    assert not re.search(
        r"ConnectionString|InstrumentationKey|list[A-Z]\w*\(|sha256:|model_list|callers", text
    )
    assert {"endpoint", "functionAppName", "gateways", "openAiEndpoints"} == world.outputs.keys()


def vaults_outlive_mistakes(world: World) -> None:
    """Soft delete always; purge protection unless development says otherwise, and then absent, which Azure takes."""
    for vault in world.of("KeyVault/vaults"):
        properties = vault["properties"]
        assert properties["enableSoftDelete"] is True
        assert 7 <= properties["softDeleteRetentionInDays"] <= 90
        assert properties.get("enablePurgeProtection", True) is True
        assert ("enablePurgeProtection" in properties) == (properties["softDeleteRetentionInDays"] == 90)


def vaults_get_two_secrets_and_never_the_operators_own(world: World) -> None:
    names = {secret["name"].rpartition("/")[2] for secret in world.of("KeyVault/vaults/secrets")}
    assert {"gateway-deployments"} <= names <= {"gateway-deployments", "gateway-clients"}
    assert len(world.configurations) == len(world.of("KeyVault/vaults"))


def who_did_what_is_recorded(world: World) -> None:
    """Diagnostic settings on every vault and every new account."""
    watched = {
        found["id"].partition("/providers/Microsoft.Insights/")[0]: {
            log["category"] for log in found["properties"]["logs"]
        }
        for found in world.of("Insights/diagnosticSettings")
    }
    assert watched == {
        **{vault["id"]: {"AuditEvent"} for vault in world.of("KeyVault/vaults")},
        **{account["id"]: {"Audit", "RequestResponse"} for account in world.of("CognitiveServices/accounts")},
    }


def deployments_have_the_documented_shape(world: World) -> None:
    for deployment in world.of("CognitiveServices/accounts/deployments"):
        assert deployment["sku"]["capacity"] >= 1
        assert "OpenAI" == deployment["properties"]["model"]["format"]
        assert deployment["properties"]["versionUpgradeOption"] in {
            "OnceNewDefaultVersionAvailable",
            "OnceCurrentVersionExpired",
            "NoAutoUpgrade",
        }
        assert None not in deployment["properties"].values()
        spill = deployment["properties"].get("spilloverDeploymentName")
        if spill:
            names = [found["name"] for found in world.of("CognitiveServices/accounts/deployments")]
            before = names[: names.index(deployment["name"])]
            assert f"{deployment['name'].partition('/')[0]}/{spill}" in before
    loop = nested(world.template, "newAccounts")["resources"]["models"]["copy"]
    assert ("serial", 1) == (loop.get("mode"), loop.get("batchSize"))


def the_configuration_names_what_exists(world: World) -> None:
    """Every new deployment is a member once; provisioned throughput is used first and has no quota."""
    for configuration in world.configurations:
        members = configuration["model_list"]
        ids = [member["model_info"]["id"] for member in members]
        assert len(set(ids)) == len(ids)
        by_id = dict(zip(ids, members, strict=True))
        for deployment in world.of("CognitiveServices/accounts/deployments"):
            assert deployment["name"] in by_id
            member = by_id[deployment["name"]]
            account, _, name = deployment["name"].partition("/")
            kind = next(
                found["kind"] for found in world.of("CognitiveServices/accounts") if found["name"] == account
            )
            domain = {"OpenAI": "openai", "AIServices": "services.ai"}[kind]
            assert f"https://{account.lower()}.{domain}.azure.com" == member["litellm_params"]["api_base"]
            assert f"azure/{name}" == member["litellm_params"]["model"]
            assert deployment["properties"]["model"]["name"] == member["model_info"]["base_model"]
            capacity = deployment["sku"]["capacity"]
            if "Provisioned" in deployment["sku"]["name"]:
                assert capacity == member["model_info"].get("ptu_count")
                assert not {"rpm", "tpm"} & member.keys()
            else:
                assert capacity * 1000 == member["tpm"]
                assert 0 == member["rpm"] % capacity
        for member in members:
            if "ptu_count" in member["model_info"]:
                assert 1 == member["litellm_params"]["order"]
            else:
                assert 1 < member["litellm_params"]["order"]
        # No key of an account is anywhere; the identity is chosen by AZURE_CLIENT_ID.
        assert not re.search(r"api_key|client_secret|token", json.dumps(configuration))
    assert world.configurations.count(world.configurations[0]) == len(world.configurations)


def the_gateway_accepts_the_configuration(world: World) -> None:
    """What the vault would hold; with a key for the callers, who are in another secret."""
    code, output = gateway_check(world.configurations[0] | {"general_settings": {"master_key": "sk-check"}})
    assert 0 == code, output


def azd_finds_one_app(world: World) -> None:
    tagged = [
        site["name"] for site in world.sites if site.get("tags", {}).get("azd-service-name") == "gateway"
    ]
    assert [world.sites[0]["name"]] == tagged


CHECKS = [
    value
    for value in list(globals().values())
    if getattr(value, "__annotations__", None) == {"world": "World", "return": "None"}
]


def account_ids(world: World) -> list[str]:
    """Resource ids of the accounts that are called: the new ones, and the existing ones of the parameter file."""
    existing = [
        f"/subscriptions/00000000-0000-0000-0000-{subscription:012}/resourceGroups/{group}"
        f"/providers/Microsoft.CognitiveServices/accounts/{name}"
        for subscription, group, name in EXISTING.get(world.name, [])
    ]
    return [found["id"] for found in world.of("CognitiveServices/accounts")] + existing


def gateway_check(document) -> tuple[int, str]:
    """Exit code and output of `python -m gateway check`, in this process: one start for the whole matrix."""
    printed = io.StringIO()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(document, file)
        file.flush()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = gateway_main(["check", file.name])
    return code, printed.getvalue()


def identity_of(site) -> str:
    """Name of a site's one identity."""
    (identity,) = site["identity"]["userAssignedIdentities"]
    return identity.rpartition("/")[2]


def storage_of(world: World, site) -> str:
    suffix = site["name"].rpartition("-")[2]
    return next(
        found["name"] for found in world.of("Storage/storageAccounts") if found["name"].endswith(suffix)
    )


def zone_in(zone_id: str) -> str:
    """The middle of a private zone's name: blob, table, vault, openai, ..."""
    found = re.search(
        r"privatelink\.?(blob|table|openai|cognitiveservices|services\.ai|azurewebsites|\{0\}', replace)",
        zone_id,
    )
    assert found, zone_id
    return "vault" if "{0}" in found[1] else found[1]


def compiled(world: World) -> str:
    return json.dumps(world.template)


def nested(template, module: str):
    """The template of a module."""
    return template["resources"][module]["properties"]["template"]


def closure(resources, name: str) -> set[str]:
    """All that a resource waits for, directly or through others."""
    found: set[str] = set()
    open_names = [name]
    while open_names:
        for other in resources[open_names.pop()].get("dependsOn", []):
            if other in resources and other not in found:
                found.add(other)
                open_names.append(other)
    return found
