// The Flex Consumption plan and the app. Flex keeps runtime, memory and scale in functionAppConfig: there is no
// FUNCTIONS_WORKER_RUNTIME, no WEBSITE_RUN_FROM_PACKAGE and no health check of the platform.

import { settings as gatewaySettings, tags as tagMap } from '../types.bicep'

param name string
param location string
param tags tagMap

@description('Name of the service in azure.yaml, for the one app that azd deploys code to; empty for others.')
param azdService string

param identityId string
param identityClientId string
param applicationInsightsName string
param blobEndpoint string
param tablesEndpoint string
param packageUrl string
param keyVaultUri string

param pythonVersion string
param instanceMemoryMB int
param perInstanceConcurrency int
param maximumInstanceCount int
param alwaysReady int
param zoneRedundant bool
param corsOrigins string[]
param settings gatewaySettings

@description('Subnet for outbound traffic; empty without a private network.')
param subnetId string

@description('Whether only private endpoints lead to it.')
param privateInbound bool

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

var ownSettings = {
  // The host's storage, by identity. A plain AzureWebJobsStorage would be a connection string.
  AzureWebJobsStorage__blobServiceUri: blobEndpoint
  AzureWebJobsStorage__tableServiceUri: tablesEndpoint
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  // The gateway answers / itself.
  AzureWebJobsDisableHomepage: 'true'
  APPLICATIONINSIGHTS_CONNECTION_STRING: applicationInsights.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD;ClientId=${identityClientId}'
  // One credential and no probing.
  AZURE_CLIENT_ID: identityClientId
  AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential'
  KEY_VAULT_URL: keyVaultUri
  TABLES_ENDPOINT: tablesEndpoint
}

// Up to 3.12 the worker streams only when it is told to index functions at its start.
var workerSettings = pythonVersion == '3.12' ? { PYTHON_ENABLE_INIT_INDEXING: '1' } : {}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-${name}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    // Linux.
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  tags: empty(azdService) ? tags : union(tags, { 'azd-service-name': azdService })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: privateInbound ? 'Disabled' : 'Enabled'
    ...(empty(subnetId) ? {} : { virtualNetworkSubnetId: subnetId })
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReady == 0
          ? []
          : [
              {
                name: 'http'
                instanceCount: alwaysReady
              }
            ]
        triggers: {
          http: {
            perInstanceConcurrency: perInstanceConcurrency
          }
        }
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: true
      ...(empty(corsOrigins) ? {} : { cors: { allowedOrigins: corsOrigins } })
      appSettings: map(
        items(union(ownSettings, workerSettings, settings)),
        setting => { name: setting.key, value: setting.value }
      )
    }
  }

  // Code is deployed with Entra tokens; publishing by user name and password is off.
  resource ftpPasswords 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: {
      allow: false
    }
  }

  resource scmPasswords 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: {
      allow: false
    }
  }
}

output id string = app.id
output endpoint string = 'https://${app.properties.defaultHostName}'
