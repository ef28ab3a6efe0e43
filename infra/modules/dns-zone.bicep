// A private DNS zone that one virtual network asks.

import { tags as tagMap } from '../types.bicep'

param name string
param linkName string
param virtualNetworkId string
param tags tagMap

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: name
  location: 'global'
  tags: tags

  resource link 'virtualNetworkLinks' = {
    name: linkName
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: {
        id: virtualNetworkId
      }
    }
  }
}
