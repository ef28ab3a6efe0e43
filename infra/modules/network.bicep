// A virtual network for one region: a subnet for the app's outbound traffic, one for private endpoints, and the
// private DNS zones that lead to them.

import { tags as tagMap } from '../types.bicep'

param name string
param location string
param tags tagMap

@description('A /16.')
param addressPrefix string

@description('Names of the private DNS zones, and their resource group.')
param zoneNames string[]
param dnsResourceGroup string

resource virtualNetwork 'Microsoft.Network/virtualNetworks@2024-07-01' = {
  name: 'vnet-${name}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        addressPrefix
      ]
    }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 24, 0)
          delegations: [
            {
              name: 'functions'
              properties: {
                // Flex Consumption's; other plans take Microsoft.Web/serverFarms.
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 24, 1)
        }
      }
    ]
  }

  resource app 'subnets' existing = {
    name: 'app'
  }

  resource endpoints 'subnets' existing = {
    name: 'endpoints'
  }
}

module zones 'dns-zone.bicep' = [
  for zone in zoneNames: {
    name: '${take(deployment().name, 40)}-${uniqueString(zone)}'
    scope: resourceGroup(dnsResourceGroup)
    params: {
      name: zone
      linkName: virtualNetwork.name
      virtualNetworkId: virtualNetwork.id
      tags: tags
    }
  }
]

output appSubnetId string = virtualNetwork::app.id
output endpointSubnetId string = virtualNetwork::endpoints.id
