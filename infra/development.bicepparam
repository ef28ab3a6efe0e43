// A gateway to try things on: one account, small quota, and names that are free again after scripts/teardown --purge.
using 'main.bicep'

param prefix = readEnvironmentVariable('GATEWAY_PREFIX', 'gwdev')
param purgeProtection = false
param softDeleteDays = 7

param accounts = [
  {
    kind: 'OpenAI'
    location: readEnvironmentVariable('GATEWAY_MODEL_LOCATION', 'swedencentral')
    deployments: [
      {
        model: 'gpt-5.4-mini'
        version: '2026-03-17'
        sku: 'GlobalStandard'
        capacity: 10
      }
    ]
  }
]

var callersText = readEnvironmentVariable('GATEWAY_CALLERS', '')
param callers = json(empty(callersText) ? 'null' : callersText)
