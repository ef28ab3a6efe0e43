// What the Functions host, the code and the shared counters are kept in. Tokens only: its keys open nothing.

import { roles } from '../roles.bicep'
import { tags as tagMap } from '../types.bicep'

param name string
param location string
param tags tagMap
param zoneRedundant bool

@description('Whether only private endpoints lead to it.')
param private bool

@description('The app\'s identity.')
param identityId string
param principalId string

var containerName = 'app-package'

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS'
  }
  properties: {
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: private ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: private ? 'Deny' : 'Allow'
    }
  }

  resource blobs 'blobServices' = {
    name: 'default'

    resource package 'containers' = {
      name: containerName
      properties: {
        publicAccess: 'None'
      }
    }
  }
}

// The host's locks and keys, and the code; the host asks for the owner's role.
resource blobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: account
  name: guid(account.id, identityId, roles.storageBlobDataOwner)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataOwner)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

// The counters that instances share; the gateway makes its tables itself.
resource tables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: account
  name: guid(account.id, identityId, roles.storageTableDataContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.storageTableDataContributor
    )
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

output id string = account.id
output blobEndpoint string = 'https://${name}.blob.${environment().suffixes.storage}'
output tablesEndpoint string = 'https://${name}.table.${environment().suffixes.storage}'
output packageUrl string = 'https://${name}.blob.${environment().suffixes.storage}/${containerName}'
