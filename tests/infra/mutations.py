"""Faults of the templates, for each assertion of checks.py one that makes it fail."""

from __future__ import annotations

from dataclasses import dataclass

import checks


@dataclass(frozen=True)
class Mutation:
    """A fault: in `file`, `old` becomes `new`; `check` must fail for the deployment `parameters`."""

    check: str
    file: str
    old: str
    new: str
    parameters: str = "foundry"
    #: Whether it changes what other checks go by, and so has a copy of infra/ to itself.
    alone: bool = False


M = Mutation
REGION, STORAGE, VAULT, APP = (
    f"modules/{name}.bicep" for name in ("region", "storage", "vault", "function-app")
)
OPENAI, NETWORK, ENDPOINT = (f"modules/{name}.bicep" for name in ("openai", "network", "private-endpoint"))

ACCOUNTS = "accounts.bicep"

ROLES = "roles_are_the_expected_ones_and_no_others"
BEFORE = "roles_and_private_endpoints_come_before_the_site"
KEYLESS = "nothing_takes_a_key_or_a_password"
CLOSED = "nothing_is_public_that_should_not_be"
PRIVATE = "private_endpoints_lead_to_everything_behind_the_gateway"
FLEX = "sites_keep_the_rules_of_flex"
NAMES = "names_are_such_as_azure_takes"
MEMBERS = "the_configuration_names_what_exists"
TLS = "everything_speaks_tls_1_2"
WIRED = "networks_are_made_for_flex"
REDUNDANT = "zone_redundancy_is_whole_or_absent"
IDENTITY = "the_identity_is_the_one_that_has_the_roles"
APART = "each_region_has_storage_and_vault_of_its_own"
KEPT = "vaults_outlive_mistakes"
SECRETS = "vaults_get_two_secrets_and_never_the_operators_own"
SHAPE = "deployments_have_the_documented_shape"

MUTATIONS = [
    # Roles: another one, a wider scope, another kind of principal, one too many, one too few.
    M(ROLES, "roles.bicep", checks.BLOB_OWNER, "b24988ac-6180-42a0-ab88-20f7382dd24c"),
    M(ROLES, "roles.bicep", checks.SECRETS_USER, checks.SECRETS_OFFICER),
    M(
        ROLES,
        STORAGE,
        "scope: account\n  name: guid(account.id, identityId, roles.storageTable",
        "name: guid(account.id, identityId, roles.storageTable",
    ),
    M(ROLES, VAULT, "principalType: 'ServicePrincipal'", "principalType: 'User'"),
    M(ROLES, "modules/openai-role.bicep", "  scope: account\n", ""),
    M(
        ROLES,
        REGION,
        "scope: resourceGroup(account.subscriptionId, account.resourceGroup)",
        "scope: resourceGroup()",
        "existing-accounts",
    ),
    M(
        ROLES,
        VAULT,
        "for person in operators:",
        "for person in concat(operators, [{ principalId: principalId, principalType: 'User' }]):",
    ),
    M(
        ROLES,
        REGION,
        "for account in accounts: {\n    name: 'role",
        "for account in take(accounts, 1): {\n    name: 'role",
        "existing-accounts",
    ),
    M(
        "assignments_have_names_of_their_own",
        STORAGE,
        "guid(account.id, identityId, roles.storageTableDataContributor)",
        "guid(account.id, identityId, roles.storageBlobDataOwner)",
    ),
    M(
        "assignments_have_names_of_their_own",
        "modules/openai-role.bicep",
        "guid(account.id, identityId,",
        "guid(account.id,",
        "two-regions",
    ),
    # Order.
    M(BEFORE, REGION, "    callAccounts\n", ""),
    M(BEFORE, REGION, "    publishMetrics\n", ""),
    M(BEFORE, REGION, "    accountEndpoints\n", ""),
    M(BEFORE, REGION, "    vaultEndpoint\n", ""),
    M("accounts_come_before_their_callers", "main.bicep", "    dependsOn: [\n      newAccounts\n    ]\n", ""),
    # Keys.
    M(KEYLESS, STORAGE, "allowSharedKeyAccess: false", "allowSharedKeyAccess: true"),
    M(KEYLESS, STORAGE, "defaultToOAuthAuthentication: true", "defaultToOAuthAuthentication: false"),
    M(KEYLESS, OPENAI, "disableLocalAuth: true", "disableLocalAuth: false"),
    M(KEYLESS, OPENAI, "toLower(name)", "'x-${name}'"),
    M(KEYLESS, "modules/monitoring.bicep", "DisableLocalAuth: true", "DisableLocalAuth: false"),
    M(KEYLESS, "modules/monitoring.bicep", "disableLocalAuth: true", "disableLocalAuth: false"),
    M(KEYLESS, VAULT, "enableRbacAuthorization: true", "enableRbacAuthorization: false"),
    M(
        KEYLESS,
        APP,
        "name: 'scm'\n    properties: {\n      allow: false",
        "name: 'scm'\n    properties: {\n      allow: true",
    ),
    M(
        KEYLESS,
        STORAGE,
        "output id string = account.id",
        "output id string = account.id\noutput key string = account.listKeys().keys[0].value",
    ),
    # Exposure.
    M(CLOSED, STORAGE, "allowBlobPublicAccess: false", "allowBlobPublicAccess: true"),
    M(CLOSED, STORAGE, "allowCrossTenantReplication: false", "allowCrossTenantReplication: true"),
    M(CLOSED, STORAGE, "publicAccess: 'None'", "publicAccess: 'Blob'"),
    M(CLOSED, STORAGE, "private ? 'Disabled' : 'Enabled'", "'Enabled'", "private-network"),
    M(CLOSED, VAULT, "private ? 'Deny' : 'Allow'", "'Allow'", "private-network"),
    M(CLOSED, OPENAI, "private ? 'Disabled' : 'Enabled'", "'Enabled'", "private-network"),
    M(CLOSED, VAULT, "bypass: 'None'", "bypass: 'AzureServices'"),
    M(CLOSED, "main.bicep", "privateInbound: network == 'private'", "privateInbound: network == 'public'"),
    M(PRIVATE, REGION, "groupId: 'table'", "groupId: 'queue'", "private-network"),
    M(PRIVATE, REGION, "    'privatelink.services.ai.azure.com'\n", "", "private-network"),
    M(
        PRIVATE,
        REGION,
        "for account in privateNetwork ? accounts : []:",
        "for account in privateNetwork ? take(accounts, 1) : []:",
        "private-network",
    ),
    M(
        PRIVATE,
        REGION,
        "network!.outputs.appSubnetId",
        "network!.outputs.endpointSubnetId",
        "private-network",
    ),
    M(PRIVATE, REGION, "= if (privateNetwork && privateInbound)", "= if (false)", "private-network"),
    M(
        WIRED,
        NETWORK,
        "Microsoft.App/environments",
        "Microsoft.Web/serverFarms",
        "private-network",
    ),
    M(
        WIRED,
        "main.bicep",
        "place.?addressPrefix ?? '10.${index}.0.0/16'",
        "'10.0.0.0/16'",
        "everything",
    ),
    M(
        WIRED,
        "main.bicep",
        "dnsResourceGroup: place.dnsResourceGroup",
        "dnsResourceGroup: resourceGroup().name",
        "everything",
    ),
    M(
        WIRED,
        NETWORK,
        "for zone in zoneNames:",
        "for zone in take(zoneNames, 3):",
        "private-backends",
    ),
    M(TLS, STORAGE, "TLS1_2", "TLS1_0"),
    M(TLS, STORAGE, "supportsHttpsTrafficOnly: true", "supportsHttpsTrafficOnly: false"),
    M(TLS, APP, "httpsOnly: true", "httpsOnly: false"),
    M(TLS, APP, "scmMinTlsVersion: '1.2'", "scmMinTlsVersion: '1.0'"),
    # Flex Consumption.
    M(FLEX, APP, "name: 'FC1'", "name: 'Y1'"),
    M(FLEX, APP, "reserved: true", "reserved: false"),
    M(FLEX, APP, "type: 'UserAssignedIdentity'", "type: 'SystemAssignedIdentity'"),
    M(FLEX, STORAGE, "${containerName}'", "code'"),
    M(FLEX, APP, "perInstanceConcurrency: perInstanceConcurrency", "perInstanceConcurrency: 1"),
    M(FLEX, APP, "alwaysReady: alwaysReady == 0", "alwaysReady: alwaysReady == -1"),
    M(
        FLEX,
        APP,
        "KEY_VAULT_URL: keyVaultUri",
        "KEY_VAULT_URL: keyVaultUri\n  FUNCTIONS_WORKER_RUNTIME: 'python'",
    ),
    M(FLEX, APP, "KEY_VAULT_URL: keyVaultUri", "KEY_VAULT_URL: keyVaultUri\n  WEBSITE_RUN_FROM_PACKAGE: '1'"),
    M(FLEX, APP, "KEY_VAULT_URL: keyVaultUri", "KEY_VAULT_URL: keyVaultUri\n  AzureWebJobsStorage: 'x'"),
    M(FLEX, APP, "pythonVersion == '3.12'", "pythonVersion == '3.11'", "everything"),
    M(FLEX, APP, "http20Enabled: true", "http20Enabled: true\n      alwaysOn: true"),
    M(
        REDUNDANT,
        STORAGE,
        "zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS'",
        "'Standard_LRS'",
        "everything",
    ),
    M(
        REDUNDANT,
        "main.bicep",
        "zoneRedundant ? max(alwaysReady, 2) : alwaysReady",
        "alwaysReady",
        "everything",
    ),
    # Names.
    M(
        NAMES,
        "main.bicep",
        "take(replace(base, '-', ''), 8)",
        "take(replace(base, '-', ''), 9)",
        "longest-prefix",
    ),
    M(NAMES, "main.bicep", "take(replace(base, '-', ''), 8)", "take(base, 8)", "everything"),
    M(
        NAMES,
        REGION,
        "name: 'pe-${name}-${uniqueString(account",
        "name: 'pe-${name}-${account.name}-${uniqueString(account",
        "longest-prefix",
    ),
    M(NAMES, "main.bicep", "  ? toLower(prefix)", "  ? prefix", "shortest-prefix"),
    M(
        NAMES,
        "main.bicep",
        "resourceGroup().id, base, compact(place.location))}'\n    addressPrefix",
        "resourceGroup().id, base)}'\n    addressPrefix",
        "two-regions",
        alone=True,
    ),
    # The app's settings.
    M(
        IDENTITY,
        APP,
        "AZURE_CLIENT_ID: identityClientId",
        "AZURE_CLIENT_ID: ''",
    ),
    M(IDENTITY, APP, "Authorization=AAD;", ""),
    M(
        IDENTITY,
        REGION,
        "identityClientId: identity.properties.clientId\n    app",
        "identityClientId: identity.properties.principalId\n    app",
    ),
    M(
        APART,
        REGION,
        "tablesEndpoint: storage.outputs.tablesEndpoint\n    package",
        "tablesEndpoint: storage.outputs.blobEndpoint\n    package",
    ),
    M(
        APART,
        "main.bicep",
        "location: place.location\n      tags",
        "location: resourceGroup().location\n      tags",
        "two-regions",
        alone=True,
    ),
    M(
        "settings_hold_no_secret",
        APP,
        "KEY_VAULT_URL: keyVaultUri",
        "KEY_VAULT_URL: keyVaultUri\n  OPENAI_API_KEY: 'x'",
    ),
    M(
        "settings_hold_no_secret",
        APP,
        "TABLES_ENDPOINT: tablesEndpoint",
        "TABLES_ENDPOINT: '@Microsoft.KeyVault(SecretUri=x)'",
    ),
    M(
        "outputs_hold_no_secret",
        "main.bicep",
        "output endpoint string",
        "output document string = checkedDocument\noutput endpoint string",
    ),
    # The vault and what is in it.
    M(KEPT, VAULT, "enableSoftDelete: true", "enableSoftDelete: false"),
    M(
        KEPT,
        VAULT,
        "purgeProtection ? { enablePurgeProtection: true } : {}",
        "{ enablePurgeProtection: purgeProtection }",
        "everything",
    ),
    M(
        KEPT,
        "main.bicep",
        "param purgeProtection bool = true",
        "param purgeProtection bool = false",
    ),
    M(
        SECRETS,
        VAULT,
        "name: 'gateway-clients'",
        "name: 'gateway-config'",
        "two-regions",
    ),
    M(
        SECRETS,
        VAULT,
        "name: 'gateway-deployments'",
        "name: 'deployments'",
        alone=True,
    ),
    M("who_did_what_is_recorded", VAULT, "'AuditEvent'", "'AzurePolicyEvaluationDetails'"),
    M("who_did_what_is_recorded", OPENAI, "category: 'RequestResponse'", "category: 'Trace'"),
    # Deployments and the configuration made of them.
    M(SHAPE, OPENAI, "@batchSize(1)\n", ""),
    M(SHAPE, OPENAI, "for item in ordered:", "for item in deployments:"),
    M(SHAPE, OPENAI, "format: 'OpenAI'", "format: 'Microsoft'"),
    M(
        SHAPE,
        OPENAI,
        "item.?versionUpgradeOption ?? 'OnceNewDefaultVersionAvailable'",
        "item.?versionUpgradeOption",
    ),
    M(MEMBERS, ACCOUNTS, "isProvisioned(item.sku) ? 1 : 2", "2"),
    M(MEMBERS, ACCOUNTS, "item.capacity * 1000", "item.capacity"),
    M(MEMBERS, ACCOUNTS, "{ ptu_count: item.capacity }", "{}"),
    M(MEMBERS, ACCOUNTS, "item.kind == 'AIServices' ? 'services.ai' : 'openai'", "'openai'"),
    M(MEMBERS, "main.bicep", "accounts[index].deployments,", "take(accounts[index].deployments, 1),"),
    M(MEMBERS, "main.bicep", "== 1\n      ? item.name", "> 0\n      ? item.name", "existing-accounts"),
    M("the_gateway_accepts_the_configuration", ACCOUNTS, "item.capacity * 1000", "0", alone=True),
    M("azd_finds_one_app", "main.bicep", "index == 0 ? 'gateway' : ''", "'gateway'", "two-regions"),
    # What nothing else is for: each of these makes another assertion fail.
    M(
        BEFORE,
        STORAGE,
        "Microsoft.Authorization/roleAssignments@2022-04-01",
        "Microsoft.Authorization/locks@2020-05-01",
        alone=True,
    ),
    M(
        ROLES,
        VAULT,
        "scope: vault\n    name: guid(vault.id, person",
        "name: guid(vault.id, person",
        "everything",
    ),
    M(
        PRIVATE,
        "modules/monitoring.bicep",
        "output workspaceId",
        "resource one 'Microsoft.Network/privateEndpoints@2024-07-01' = {\n  name: 'one'\n}\noutput workspaceId",
    ),
    M(
        WIRED,
        NETWORK,
        "(addressPrefix, 24, 1)",
        "(addressPrefix, 24, 1)\n          delegations: []",
        "private-network",
    ),
    M(WIRED, NETWORK, "(addressPrefix, 24, 1)", "(addressPrefix, 25, 2)", "private-network"),
    M(FLEX, APP, "name: 'plan-${name}'", "name: 'plan'", "two-regions"),
    M(FLEX, APP, "kind: 'functionapp,linux'", "kind: 'functionapp'"),
    M(FLEX, APP, "type: 'UserAssigned'\n", "type: 'SystemAssigned, UserAssigned'\n"),
    M(FLEX, APP, "userAssignedIdentityResourceId: identityId", "userAssignedIdentityResourceId: plan.id"),
    M(FLEX, STORAGE, "packageUrl string = 'https://${name}.", "packageUrl string = 'https://other."),
    M(FLEX, APP, "name: 'python'", "name: 'node'"),
    M(FLEX, APP, "version: pythonVersion", "version: '3.11'"),
    M(FLEX, APP, "instanceMemoryMB: instanceMemoryMB", "instanceMemoryMB: 1024"),
    M(FLEX, APP, "maximumInstanceCount: maximumInstanceCount", "maximumInstanceCount: 1"),
    M(
        FLEX,
        APP,
        "  resource scmPasswords",
        "  resource login 'config' = {\n    name: 'authsettingsV2'\n  }\n\n  resource scmPasswords",
    ),
    M(REDUNDANT, STORAGE, "zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS'", "'Standard_ZRS'"),
    M(IDENTITY, APP, "'managedidentity'", "'workloadidentity'"),
    M(IDENTITY, APP, "'ManagedIdentityCredential'", "'prod'"),
    M(APART, STORAGE, "tablesEndpoint string = 'https://${name}.", "tablesEndpoint string = 'https://other."),
    M(APART, VAULT, "uri string = 'https://${name}", "uri string = 'https://other"),
    M("outputs_hold_no_secret", "main.bicep", "output endpoint string", "output url string"),
    M(KEPT, VAULT, "softDeleteRetentionInDays: softDeleteDays", "softDeleteRetentionInDays: 6"),
    M(
        SECRETS,
        VAULT,
        "resource deployments 'secrets' = {",
        "resource deployments 'secrets' = if (location == 'swedencentral') {",
        "two-regions",
        alone=True,
    ),
    M(SHAPE, OPENAI, "capacity: item.capacity", "capacity: 0", alone=True),
    M(
        SHAPE,
        OPENAI,
        "...(contains(item, 'raiPolicyName') ? { raiPolicyName: item.raiPolicyName! } : {})",
        "raiPolicyName: item.?raiPolicyName",
    ),
    M(MEMBERS, ACCOUNTS, "model: 'azure/${nameOf(item)}'", "model: 'azure/${item.?model}'"),
    M(MEMBERS, ACCOUNTS, "{ base_model: item.model! }", "{ base_model: nameOf(item) }"),
    M(MEMBERS, ACCOUNTS, "(isProvisioned(item.sku)\n    ? {}", "(false\n    ? {}"),
    M(MEMBERS, ACCOUNTS, "rpm: item.capacity * (", "rpm: 1 + item.capacity * ("),
    M(MEMBERS, ACCOUNTS, "isProvisioned(item.sku) ? 1 : 2", "1"),
    M(MEMBERS, "main.bicep", "{ model_list: members }", "{ model_list: members, api_key: 'x' }"),
    M(
        MEMBERS,
        VAULT,
        "value: deploymentsDocument",
        "value: replace(deploymentsDocument, '\"v1\"', '\"${location}\"')",
        "two-regions",
    ),
]
