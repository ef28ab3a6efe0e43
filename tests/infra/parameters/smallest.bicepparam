// As little as can be written: one account that exists in the same resource group.
using '../../../infra/main.bicep'

param accounts = [
  {
    kind: 'Existing'
    name: 'openai-one'
    deployments: [
      {
        name: 'chat'
        modelName: 'gpt-5.4-mini'
        sku: 'Standard'
        capacity: 10
      }
    ]
  }
]
