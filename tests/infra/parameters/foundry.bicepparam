// Foundry accounts, new ones only; provisioned throughput that spills to an account paid by the token.
using '../../../infra/main.bicep'

param accounts = [
  {
    kind: 'AIServices'
    location: 'swedencentral'
    deployments: [
      {
        name: 'reserved'
        model: 'gpt-5.4-mini'
        version: '2026-03-17'
        sku: 'DataZoneProvisionedManaged'
        capacity: 15
        spilloverDeploymentName: 'spill'
      }
      {
        name: 'spill'
        model: 'gpt-5.4-mini'
        version: '2026-03-17'
        sku: 'DataZoneStandard'
        capacity: 100
      }
    ]
  }
  {
    kind: 'AIServices'
    location: 'swedencentral'
    name: 'Foundry-Two'
    deployments: [
      {
        model: 'text-embedding-3-small'
        sku: 'Standard'
        capacity: 50
        mode: 'embedding'
      }
    ]
  }
]
