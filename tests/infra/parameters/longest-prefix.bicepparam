// The longest names.
using '../../../infra/main.bicep'

param prefix = 'abcdefghijklmnopqrst'
param network = 'private'
param regions = [
  {
    location: 'germanywestcentral'
  }
]
param accounts = [
  {
    kind: 'OpenAI'
    location: 'southafricanorth'
    deployments: [
      {
        model: 'gpt-5.4-mini'
        sku: 'GlobalStandard'
        capacity: 1
      }
    ]
  }
  {
    kind: 'Existing'
    name: 'a-name-of-sixty-four-characters-which-is-as-long-as-it-may-be-xx'
    resourceGroup: 'rg-ai'
    deployments: [
      {
        name: 'gpt'
        sku: 'Standard'
        capacity: 1
      }
    ]
  }
]
