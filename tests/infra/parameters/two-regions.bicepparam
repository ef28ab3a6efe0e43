// A gateway in each of two regions, over the same accounts.
using '../../../infra/main.bicep'

param regions = [
  {
    location: 'swedencentral'
  }
  {
    location: 'francecentral'
  }
]

param accounts = [
  {
    kind: 'OpenAI'
    location: 'swedencentral'
    deployments: [
      {
        model: 'gpt-5.4-mini'
        sku: 'DataZoneStandard'
        capacity: 100
      }
    ]
  }
  {
    kind: 'OpenAI'
    location: 'francecentral'
    deployments: [
      {
        model: 'gpt-5.4-mini'
        sku: 'DataZoneStandard'
        capacity: 100
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
        }
      ]
    }
  ]
}
