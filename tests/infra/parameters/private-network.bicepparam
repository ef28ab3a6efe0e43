// Nothing is reached from outside the virtual network.
using '../../../infra/main.bicep'

param network = 'private'
param accounts = [
  {
    kind: 'OpenAI'
    location: 'swedencentral'
    deployments: [
      {
        model: 'gpt-5.4-mini'
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
    ]
  }
]
