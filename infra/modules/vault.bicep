// The vault that the gateway reads its configuration from. The secret gateway-config is the operator's: no
// deployment touches it.

import { roles } from '../roles.bicep'
import { operator, tags as tagMap } from '../types.bicep'

param name string
param location string
param tags tagMap

@description('Whether only private endpoints lead to it.')
param private bool

@description('Whether a deleted vault stays recoverable whatever its owner does. It cannot be switched off again.')
param purgeProtection bool

param softDeleteDays int

@description('Whether a deleted vault of this name is brought back.')
param recover bool

@description('Text of the secret gateway-deployments.')
param deploymentsDocument string

@description('Whether the secret gateway-clients is written, or left alone.')
param writeCallers bool

@secure()
@description('Text of the secret gateway-clients.')
param callersDocument string

@description('The app\'s identity, which reads.')
param identityId string
param principalId string

@description('Who edits the secrets.')
param operators operator[]

param workspaceId string

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    // Azure refuses to recover what is not deleted.
    ...(recover ? { createMode: 'recover' } : {})
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: softDeleteDays
    // Azure takes true or nothing.
    ...(purgeProtection ? { enablePurgeProtection: true } : {})
    publicNetworkAccess: private ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: private ? 'Deny' : 'Allow'
    }
  }

  resource deployments 'secrets' = {
    name: 'gateway-deployments'
    properties: {
      contentType: 'application/json'
      value: deploymentsDocument
    }
  }

  resource callers 'secrets' = if (writeCallers) {
    name: 'gateway-clients'
    properties: {
      contentType: 'application/json'
      value: callersDocument
    }
  }
}

resource read 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, identityId, roles.keyVaultSecretsUser)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

resource edit 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for person in operators: {
    scope: vault
    name: guid(vault.id, person.principalId, roles.keyVaultSecretsOfficer)
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsOfficer)
      principalId: person.principalId
      principalType: person.principalType
    }
  }
]

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'gateway'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'AuditEvent'
        enabled: true
      }
    ]
  }
}

output id string = vault.id
output uri string = 'https://${name}${environment().suffixes.keyvaultDns}'
