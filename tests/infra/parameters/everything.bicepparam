// Every parameter, and every key of theirs.
using '../../../infra/main.bicep'

param prefix = 'Contoso-ai'
param tags = {
  owner: 'platform'
}

param regions = [
  {
    location: 'swedencentral'
    addressPrefix: '10.20.0.0/16'
  }
  {
    location: 'East US 2'
    addressPrefix: '10.21.0.0/16'
    dnsResourceGroup: 'rg-dns-eastus2'
  }
]

param accounts = [
  {
    kind: 'OpenAI'
    location: 'swedencentral'
    name: 'contoso-openai'
    apiVersion: '2025-04-01-preview'
    deployments: [
      {
        name: 'mini-ptu'
        model: 'gpt-5.4-mini'
        version: '2026-03-17'
        sku: 'ProvisionedManaged'
        capacity: 50
        mode: 'chat'
        raiPolicyName: 'Microsoft.DefaultV2'
        versionUpgradeOption: 'NoAutoUpgrade'
        spilloverDeploymentName: 'mini-standard'
      }
      {
        name: 'mini-standard'
        model: 'gpt-5.4-mini'
        version: '2026-03-17'
        sku: 'DataZoneStandard'
        capacity: 250
        mode: 'chat'
        rpmPerUnit: 10
      }
    ]
  }
  {
    kind: 'AIServices'
    location: 'eastus2'
    deployments: [
      {
        model: 'gpt-5.4-mini'
        sku: 'GlobalProvisionedManaged'
        capacity: 15
      }
      {
        model: 'text-embedding-3-small'
        sku: 'GlobalStandard'
        capacity: 100
        mode: 'embedding'
        order: 3
      }
    ]
  }
  {
    kind: 'Existing'
    name: 'shared-openai'
    resourceGroup: 'rg-shared'
    subscriptionId: '00000000-0000-0000-0000-000000000002'
    endpoint: 'https://shared-openai.cognitiveservices.azure.com'
    deployments: [
      {
        name: 'tts'
        modelName: 'speech'
        sku: 'Standard'
        capacity: 3
        mode: 'audio_speech'
      }
    ]
  }
]

param callers = {
  clients: [
    {
      name: 'team-a'
      keys: [
        {
          hash: 'sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae'
          expires: '2027-12-31T00:00:00Z'
        }
      ]
      models: ['gpt-5.*']
      limits: {
        rpm: 600
        tpm: 100000
        models: {
          speech: {
            rpm: 10
            strict: true
          }
        }
      }
    }
    {
      name: 'assistants'
      limits: {
        rpm: 20
      }
      shadow: true
    }
    {
      name: 'operators'
      admin: true
    }
  ]
  entra: {
    tenant_id: '00000000-0000-0000-0000-00000000000a'
    audience: ['api://gateway']
    clients: [
      {
        client: 'team-a'
        app_ids: ['00000000-0000-0000-0000-00000000000b']
      }
      {
        client: 'assistants'
        groups: ['00000000-0000-0000-0000-00000000000d']
        per_user: true
      }
      {
        client: 'operators'
        roles: ['Gateway.Operator']
      }
      {
        admin: true
        roles: ['Gateway.Admin']
      }
    ]
    pseudonym_key: 'keyvault/PSEUDONYMS'
  }
}

param operators = [
  {
    principalId: '00000000-0000-0000-0000-00000000000c'
    principalType: 'Group'
  }
]

param pythonVersion = '3.12'
param instanceMemoryMB = 4096
param perInstanceConcurrency = 200
param maximumInstanceCount = 400
param alwaysReady = 1
param zoneRedundant = true
param corsOrigins = ['https://chat.contoso.com']
param settings = {
  GATEWAY_KEEP_ALIVE: '10'
}
param network = 'private'
param purgeProtection = false
param softDeleteDays = 7
param recover = true
