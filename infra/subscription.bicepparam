// azd fills the variables from its environment: `azd env set GATEWAY_CALLERS ...` adds the first callers.
using 'subscription.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'gateway')
param location = readEnvironmentVariable('AZURE_LOCATION', 'swedencentral')
param principalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
param principalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', 'User')

param accounts = [
  {
    kind: 'OpenAI'
    location: readEnvironmentVariable('AZURE_LOCATION', 'swedencentral')
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
]

var callersText = readEnvironmentVariable('GATEWAY_CALLERS', '')
param callers = json(empty(callersText) ? 'null' : callersText)
