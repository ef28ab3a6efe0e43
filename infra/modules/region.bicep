// A whole gateway in one region: identity, storage, vault, the roles it needs, and then the app.

import { roles } from '../roles.bicep'
import { operator, settings as gatewaySettings, summary as gateway, tags as tagMap } from '../types.bicep'

@description('An account that the gateway calls.')
type calledAccount = {
  name: string
  resourceGroup: string
  subscriptionId: string
}

@description('Base of all names; differs from region to region.')
param name string

@description('The same without what storage accounts and vaults do not take, at most 21 characters.')
param shortName string

param location string
param tags tagMap
param azdService string

param accounts calledAccount[]
param deploymentsDocument string

@description('Whether the secret gateway-clients is written.')
param writeCallers bool

@secure()
param callersDocument string
param operators operator[]

param applicationInsightsName string
param workspaceId string

param pythonVersion string
param instanceMemoryMB int
param perInstanceConcurrency int
param maximumInstanceCount int
param alwaysReady int
param zoneRedundant bool
param corsOrigins string[]
param settings gatewaySettings

param purgeProtection bool
param softDeleteDays int
param recover bool

@description('Whether storage, vault and accounts are reached through private endpoints only.')
param privateNetwork bool

@description('Whether the app is, too.')
param privateInbound bool
param addressPrefix string
param dnsResourceGroup string

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${name}'
  location: location
  tags: tags
}

module storage 'storage.bicep' = {
  name: 'storage-${name}'
  params: {
    name: 'st${shortName}'
    location: location
    tags: tags
    zoneRedundant: zoneRedundant
    private: privateNetwork
    identityId: identity.id
    principalId: identity.properties.principalId
  }
}

module vault 'vault.bicep' = {
  name: 'vault-${name}'
  params: {
    name: 'kv-${shortName}'
    location: location
    tags: tags
    private: privateNetwork
    purgeProtection: purgeProtection
    softDeleteDays: softDeleteDays
    recover: recover
    deploymentsDocument: deploymentsDocument
    writeCallers: writeCallers
    callersDocument: callersDocument
    identityId: identity.id
    principalId: identity.properties.principalId
    operators: operators
    workspaceId: workspaceId
  }
}

module callAccounts 'openai-role.bicep' = [
  for account in accounts: {
    name: 'role-${name}-${uniqueString(account.subscriptionId, account.resourceGroup, account.name)}'
    scope: resourceGroup(account.subscriptionId, account.resourceGroup)
    params: {
      accountName: account.name
      identityId: identity.id
      principalId: identity.properties.principalId
    }
  }
]

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

resource publishMetrics 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: applicationInsights
  name: guid(applicationInsights.id, identity.id, roles.monitoringMetricsPublisher)
  properties: {
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.monitoringMetricsPublisher
    )
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

var storageSuffix = environment().suffixes.storage
var zones = {
  blob: ['privatelink.blob.${storageSuffix}']
  table: ['privatelink.table.${storageSuffix}']
  vault: ['privatelink${replace(environment().suffixes.keyvaultDns, '.vault.', '.vaultcore.')}']
  // An account has a name in each of its host forms.
  account: [
    'privatelink.openai.azure.com'
    'privatelink.cognitiveservices.azure.com'
    'privatelink.services.ai.azure.com'
  ]
  sites: ['privatelink.azurewebsites.net']
}

module network 'network.bicep' = if (privateNetwork) {
  name: 'network-${name}'
  params: {
    name: name
    location: location
    tags: tags
    addressPrefix: addressPrefix
    zoneNames: concat(zones.blob, zones.table, zones.vault, zones.account, privateInbound ? zones.sites : [])
    dnsResourceGroup: dnsResourceGroup
  }
}

module blobEndpoint 'private-endpoint.bicep' = if (privateNetwork) {
  name: 'blob-endpoint-${name}'
  params: {
    name: 'pe-${name}-blob'
    location: location
    tags: tags
    subnetId: network!.outputs.endpointSubnetId
    targetId: storage.outputs.id
    groupId: 'blob'
    zoneNames: zones.blob
    dnsResourceGroup: dnsResourceGroup
  }
}

module tableEndpoint 'private-endpoint.bicep' = if (privateNetwork) {
  name: 'table-endpoint-${name}'
  params: {
    name: 'pe-${name}-table'
    location: location
    tags: tags
    subnetId: network!.outputs.endpointSubnetId
    targetId: storage.outputs.id
    groupId: 'table'
    zoneNames: zones.table
    dnsResourceGroup: dnsResourceGroup
  }
}

module vaultEndpoint 'private-endpoint.bicep' = if (privateNetwork) {
  name: 'vault-endpoint-${name}'
  params: {
    name: 'pe-${name}-vault'
    location: location
    tags: tags
    subnetId: network!.outputs.endpointSubnetId
    targetId: vault.outputs.id
    groupId: 'vault'
    zoneNames: zones.vault
    dnsResourceGroup: dnsResourceGroup
  }
}

module accountEndpoints 'private-endpoint.bicep' = [
  for account in privateNetwork ? accounts : []: {
    name: 'account-endpoint-${uniqueString(name, account.subscriptionId, account.resourceGroup, account.name)}'
    params: {
      name: 'pe-${name}-${uniqueString(account.subscriptionId, account.resourceGroup, account.name)}'
      location: location
      tags: tags
      subnetId: network!.outputs.endpointSubnetId
      targetId: resourceId(
        account.subscriptionId,
        account.resourceGroup,
        'Microsoft.CognitiveServices/accounts',
        account.name
      )
      groupId: 'account'
      zoneNames: zones.account
      dnsResourceGroup: dnsResourceGroup
    }
  }
]

// After every role and every private endpoint: an app that starts before them fails until they are there.
module app 'function-app.bicep' = {
  name: 'app-${name}'
  dependsOn: [
    callAccounts
    publishMetrics
    blobEndpoint
    tableEndpoint
    vaultEndpoint
    accountEndpoints
  ]
  params: {
    name: name
    location: location
    tags: tags
    azdService: azdService
    identityId: identity.id
    identityClientId: identity.properties.clientId
    applicationInsightsName: applicationInsightsName
    blobEndpoint: storage.outputs.blobEndpoint
    tablesEndpoint: storage.outputs.tablesEndpoint
    packageUrl: storage.outputs.packageUrl
    keyVaultUri: vault.outputs.uri
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    perInstanceConcurrency: perInstanceConcurrency
    maximumInstanceCount: maximumInstanceCount
    alwaysReady: alwaysReady
    zoneRedundant: zoneRedundant
    corsOrigins: corsOrigins
    settings: settings
    subnetId: privateNetwork ? network!.outputs.appSubnetId : ''
    privateInbound: privateInbound
  }
}

module appEndpoint 'private-endpoint.bicep' = if (privateNetwork && privateInbound) {
  name: 'app-endpoint-${name}'
  params: {
    name: 'pe-${name}-sites'
    location: location
    tags: tags
    subnetId: network!.outputs.endpointSubnetId
    targetId: app.outputs.id
    groupId: 'sites'
    zoneNames: zones.sites
    dnsResourceGroup: dnsResourceGroup
  }
}

output summary gateway = {
  location: location
  functionAppName: name
  endpoint: app.outputs.endpoint
  keyVaultName: 'kv-${shortName}'
  keyVaultUri: vault.outputs.uri
  tablesEndpoint: storage.outputs.tablesEndpoint
  identityName: identity.name
  identityClientId: identity.properties.clientId
  identityPrincipalId: identity.properties.principalId
}
