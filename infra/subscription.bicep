// The entry for azd, which deploys at the subscription: a resource group, and main.bicep in it with its defaults.
// Whoever needs more of main.bicep's parameters deploys main.bicep itself.

import { account, callers as callersType, operator } from 'types.bicep'

targetScope = 'subscription'

@description('Name of the azd environment; it names the resource group and begins all names.')
@minLength(2)
@maxLength(20)
param environmentName string

param location string

@minLength(1)
param accounts account[]

@description('The first callers; see main.bicep.')
param callers callersType?

@description('Object id of the person who deploys; may edit the configuration. Empty for nobody.')
param principalId string = ''

@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string = 'User'

var tags = {
  'azd-env-name': environmentName
}

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

var operators operator[] = empty(principalId)
  ? []
  : [
      {
        principalId: principalId
        principalType: principalType
      }
    ]

module gateway 'main.bicep' = {
  name: 'gateway'
  scope: group
  params: {
    prefix: environmentName
    regions: [
      {
        location: location
      }
    ]
    tags: tags
    accounts: accounts
    callers: callers
    operators: operators
  }
}

output AZURE_RESOURCE_GROUP string = group.name
output SERVICE_GATEWAY_ENDPOINTS string[] = [gateway.outputs.endpoint]
output SERVICE_GATEWAY_NAME string = gateway.outputs.functionAppName
output GATEWAY_URL string = gateway.outputs.endpoint
output GATEWAY_KEY_VAULT_NAME string = gateway.outputs.gateways[0].keyVaultName
