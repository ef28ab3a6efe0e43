// Clients come through the public address; storage, vault and accounts are private.
using '../../../infra/main.bicep'

param network = 'outbound'
param accounts = [
  {
    kind: 'AIServices'
    location: 'swedencentral'
    deployments: [
      {
        model: 'gpt-5.4-mini'
        sku: 'GlobalStandard'
        capacity: 100
      }
    ]
  }
]
