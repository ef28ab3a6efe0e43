// A new Azure OpenAI or Foundry account and its model deployments. Tokens only: its keys are switched off.

import { deployment, tags as tagMap } from '../types.bicep'

@allowed(['OpenAI', 'AIServices'])
param kind string

@description('Name of the account and of its host.')
param name string
param location string
param tags tagMap
param deployments deployment[]

@description('Whether only private endpoints lead to it.')
param private bool

@description('Whether a deleted account of this name is brought back.')
param restore bool

param workspaceId string

// A deployment that spills comes after those it may spill to.
var ordered = concat(
  filter(deployments, item => !contains(item, 'spilloverDeploymentName')),
  filter(deployments, item => contains(item, 'spilloverDeploymentName'))
)

resource account 'Microsoft.CognitiveServices/accounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: kind
  sku: {
    name: 'S0'
  }
  properties: {
    // Entra tokens need a host of the account's own.
    customSubDomainName: toLower(name)
    disableLocalAuth: true
    publicNetworkAccess: private ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: private ? 'Deny' : 'Allow'
    }
    // Azure refuses the property where there is nothing to restore.
    ...(restore ? { restore: true } : {})
  }
}

// One after the other: an account takes one write at a time.
@batchSize(1)
resource models 'Microsoft.CognitiveServices/accounts/deployments@2025-06-01' = [
  for item in ordered: {
    parent: account
    name: item.?name ?? item.model!
    sku: {
      name: item.sku
      capacity: item.capacity
    }
    properties: {
      model: {
        format: 'OpenAI'
        name: item.?model ?? fail('accounts: a new deployment needs a model')
        ...(contains(item, 'version') ? { version: item.version! } : {})
      }
      versionUpgradeOption: item.?versionUpgradeOption ?? 'OnceNewDefaultVersionAvailable'
      ...(contains(item, 'raiPolicyName') ? { raiPolicyName: item.raiPolicyName! } : {})
      ...(contains(item, 'spilloverDeploymentName') ? { spilloverDeploymentName: item.spilloverDeploymentName! } : {})
    }
  }
]

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: account
  name: 'gateway'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'Audit'
        enabled: true
      }
      {
        category: 'RequestResponse'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}
