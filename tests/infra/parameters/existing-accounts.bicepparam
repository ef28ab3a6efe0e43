// Accounts that others own, in other resource groups and subscriptions, two of them with one name.
using '../../../infra/main.bicep'

param accounts = [
  {
    kind: 'Existing'
    name: 'openai-east'
    resourceGroup: 'rg-ai'
    deployments: [
      {
        name: 'gpt'
        modelName: 'gpt-5.4-mini'
        sku: 'GlobalStandard'
        capacity: 100
      }
    ]
  }
  {
    kind: 'Existing'
    name: 'openai-west'
    resourceGroup: 'rg-ai'
    subscriptionId: '00000000-0000-0000-0000-000000000002'
    deployments: [
      {
        name: 'gpt'
        modelName: 'gpt-5.4-mini'
        sku: 'GlobalStandard'
        capacity: 50
      }
      {
        name: 'reserved'
        modelName: 'gpt-5.4-mini'
        sku: 'DataZoneProvisionedManaged'
        capacity: 15
      }
    ]
  }
  {
    kind: 'Existing'
    name: 'openai-west'
    resourceGroup: 'rg-ai'
    subscriptionId: '00000000-0000-0000-0000-000000000003'
    endpoint: 'https://openai-west-of-another-team.openai.azure.com'
    deployments: [
      {
        name: 'gpt'
        modelName: 'gpt-5.4-mini'
        sku: 'GlobalStandard'
        capacity: 20
      }
    ]
  }
  {
    kind: 'Existing'
    name: 'foundry'
    resourceGroup: 'rg-foundry'
    subscriptionId: '00000000-0000-0000-0000-000000000003'
    endpoint: 'https://foundry.services.ai.azure.com'
    deployments: [
      {
        name: 'embed'
        modelName: 'text-embedding-3-small'
        sku: 'Standard'
        capacity: 120
        mode: 'embedding'
      }
    ]
  }
]
