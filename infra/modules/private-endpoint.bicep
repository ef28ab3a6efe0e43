// A private endpoint for one service of one resource, with its name in private DNS zones.

import { tags as tagMap } from '../types.bicep'

param name string
param location string
param tags tagMap
param subnetId string

@description('The resource that is reached; it may be in another group or subscription.')
param targetId string

@description('Which of its services: blob, table, vault, account or sites.')
param groupId string

@description('The private DNS zones that get its name, and their resource group.')
param zoneNames string[]
param dnsResourceGroup string

resource endpoint 'Microsoft.Network/privateEndpoints@2024-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    subnet: {
      id: subnetId
    }
    privateLinkServiceConnections: [
      {
        name: groupId
        properties: {
          privateLinkServiceId: targetId
          groupIds: [
            groupId
          ]
        }
      }
    ]
  }

  resource zones 'privateDnsZoneGroups' = {
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        for zone in zoneNames: {
          name: replace(zone, '.', '-')
          properties: {
            privateDnsZoneId: resourceId(dnsResourceGroup, 'Microsoft.Network/privateDnsZones', zone)
          }
        }
      ]
    }
  }
}
