// What to deploy. Every parameter and its meaning: main.bicep, and types.bicep for their parts.
using 'main.bicep'

param prefix = 'gateway'

// What a region offers: az cognitiveservices model list --location swedencentral --query "[?kind=='OpenAI'].{name:model.name, version:model.version, skus:join(',', model.skus[].name)}" --output table
param accounts = [
  {
    kind: 'OpenAI'
    location: 'swedencentral'
    deployments: [
      {
        model: 'gpt-5.4-mini'
        version: '2026-03-17'
        sku: 'GlobalStandard'
        capacity: 100
      }
      {
        model: 'text-embedding-3-small'
        version: '1'
        sku: 'GlobalStandard'
        capacity: 100
        mode: 'embedding'
      }
    ]
  }
  {
    kind: 'OpenAI'
    location: 'eastus2'
    deployments: [
      {
        model: 'gpt-5.4-mini'
        version: '2026-03-17'
        sku: 'GlobalStandard'
        capacity: 100
      }
    ]
  }
]

// The first callers; scripts/deploy sets the variable while the vault has none, from infra/callers.json if that exists.
var callersText = readEnvironmentVariable('GATEWAY_CALLERS', '')
param callers = json(empty(callersText) ? 'null' : callersText)
