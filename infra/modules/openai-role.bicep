// Lets an identity call one Azure OpenAI or Foundry account, in whatever group or subscription it is.

import { roles } from '../roles.bicep'

param accountName string

@description('Resource id of the identity; it makes the assignment\'s name, which must be known beforehand.')
param identityId string
param principalId string

resource account 'Microsoft.CognitiveServices/accounts@2025-06-01' existing = {
  name: accountName
}

resource call 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: account
  name: guid(account.id, identityId, roles.cognitiveServicesOpenAiUser)
  properties: {
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.cognitiveServicesOpenAiUser
    )
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}
