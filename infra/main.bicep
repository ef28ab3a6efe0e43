// The gateway and what it needs, in one resource group. docs/deployment.md tells what each part is for.
//
//   az deployment group create --resource-group RG --parameters infra/main.bicepparam
//
// scripts/deploy does that, deploys the code and tries it. No key, secret or password is made or read anywhere.

import { account, callers as callersType, deployment, member, operator, region, summary } from 'types.bicep'
import { settings as gatewaySettings, tags as tagMap } from 'types.bicep'

targetScope = 'resourceGroup'

@description('Beginning of all names: letters, digits and hyphens.')
@minLength(2)
@maxLength(20)
param prefix string = 'gateway'

@description('Where gateways run. One region by default: that of the resource group. Each has a whole gateway with counts of its own, over the same accounts.')
@minLength(1)
@maxLength(4)
param regions region[] = [
  {
    location: resourceGroup().location
  }
]

@description('Tags of all resources.')
param tags tagMap = {}

@description('Azure OpenAI and Foundry accounts: new ones, and existing ones of any group or subscription.')
@minLength(1)
param accounts account[]

@description('The first callers. The secret gateway-clients is written where this is given, and left alone otherwise.')
param callers callersType?

@description('Who may edit the secrets of the vault (Key Vault Secrets Officer).')
param operators operator[] = []

@description('What a region has: az functionapp list-flexconsumption-runtimes --location LOCATION --runtime python')
@allowed([
  '3.12'
  '3.13'
  '3.14'
])
param pythonVersion string = '3.13'

@description('Memory of an instance; 2048 has one virtual CPU.')
@allowed([
  512
  2048
  4096
])
param instanceMemoryMB int = 2048

@description('Requests that one instance handles at a time; a stream counts until its end. The platform\'s own default for Python is 1.')
@minValue(1)
@maxValue(1000)
param perInstanceConcurrency int = 100

@description('Instances at most, in each region.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 100

@description('Instances that always run and are always paid, against cold starts. At least 2 where zoneRedundant.')
@minValue(0)
@maxValue(1000)
param alwaysReady int = 0

@description('Spread instances and storage over availability zones; the region must have them.')
param zoneRedundant bool = false

@description('Origins whose web pages may call the gateway; * for all.')
param corsOrigins string[] = []

@description('Settings of the gateway that differ from their defaults.')
param settings gatewaySettings = {}

@description('public: everything is reached by its public address, with Entra tokens only. outbound: storage, vault and accounts through private endpoints only, the gateway by its public address. private: the gateway, too.')
@allowed([
  'public'
  'outbound'
  'private'
])
param network string = 'public'

@description('Keeps a deleted vault for softDeleteDays, whatever its owner does. For development: false; once true, it stays.')
param purgeProtection bool = true

@description('Days for which a deleted vault can be recovered, and its name is taken. Fixed once the vault is made.')
@minValue(7)
@maxValue(90)
param softDeleteDays int = 90

@description('Bring back the deleted vaults and accounts that hold the names. Fails where there are none.')
param recover bool = false

// ---- names ----

var allowedCharacters = 'abcdefghijklmnopqrstuvwxyz0123456789-'
var otherCharacters = filter(
  range(0, length(prefix)),
  index => !contains(allowedCharacters, toLower(substring(prefix, index, 1)))
)
var base = !empty(otherCharacters) || startsWith(prefix, '-') || endsWith(prefix, '-')
  ? fail('prefix: only letters, digits and hyphens, and no hyphen at its ends')
  : toLower(prefix)

func compact(location string) string => toLower(replace(location, ' ', ''))

// Unique in the world for each region, and the same at every deployment.
var places = [
  for (place, index) in regions: {
    location: compact(place.location)
    name: '${base}-${uniqueString(resourceGroup().id, base, compact(place.location))}'
    // A vault's name has at most 24 characters and no two hyphens in a row.
    shortName: '${take(replace(base, '-', ''), 8)}${uniqueString(resourceGroup().id, base, compact(place.location))}'
    addressPrefix: place.?addressPrefix ?? '10.${index}.0.0/16'
    dnsResourceGroup: place.?dnsResourceGroup ?? resourceGroup().name
  }
]

var privateNetwork = network != 'public'
var dnsGroups = union(map(places, place => toLower(place.dnsResourceGroup)), [])
var isPlaceTwice = length(union(map(places, place => place.location), [])) < length(places)
var shareZones = privateNetwork && length(dnsGroups) < length(places)
var checkedPlaces = isPlaceTwice
  ? fail('regions: a location stands twice')
  : shareZones
      ? fail('regions: with a private network each needs a dnsResourceGroup of its own; all publish the accounts\' names')
      : places

// ---- accounts ----

var known = [
  for item in accounts: {
    name: item.kind == 'Existing'
      ? item.name
      : item.?name ?? '${base}-${compact(item.location)}-${uniqueString(resourceGroup().id, base, compact(item.location), item.kind)}'
    resourceGroup: item.kind == 'Existing' ? item.?resourceGroup ?? resourceGroup().name : resourceGroup().name
    subscriptionId: item.kind == 'Existing'
      ? item.?subscriptionId ?? subscription().subscriptionId
      : subscription().subscriptionId
  }
]

var accountIds = map(known, item => toLower('${item.subscriptionId}/${item.resourceGroup}/${item.name}'))
var isAccountTwice = length(union(accountIds, [])) < length(known)
var checkedAccounts = isAccountTwice
  ? fail('accounts: an account stands twice; give one entry all its deployments, and new ones of one kind and place a name each')
  : known

func isProvisioned(sku string) bool => contains(sku, 'Provisioned')

func endpointOf(item account, name string) string =>
  item.kind == 'Existing' && contains(item, 'endpoint')
    ? item.endpoint!
    : 'https://${toLower(name)}.${item.kind == 'AIServices' ? 'services.ai' : 'openai'}.azure.com'

func nameOf(item deployment) string =>
  item.?name ?? item.?model ?? fail('accounts: a deployment needs a model, or a name where it exists')

func memberOf(item deployment, accountName string, endpoint string, apiVersion string) member => {
  model_name: item.?modelName ?? item.?model ?? nameOf(item)
  litellm_params: {
    model: 'azure/${nameOf(item)}'
    api_base: endpoint
    api_version: apiVersion
    order: item.?order ?? (isProvisioned(item.sku) ? 1 : 2)
  }
  model_info: {
    id: '${accountName}/${nameOf(item)}'
    // What parameters it takes is the model's, whatever the deployment is called.
    ...(contains(item, 'model') ? { base_model: item.model! } : {})
    ...(contains(item, 'mode') ? { mode: item.mode! } : {})
    ...(isProvisioned(item.sku) ? { ptu_count: item.capacity } : {})
  }
  // Quotas steer the choice between deployments. Provisioned throughput has none.
  ...(isProvisioned(item.sku)
    ? {}
    : {
        tpm: item.capacity * 1000
        rpm: item.capacity * (item.?rpmPerUnit ?? (item.?mode == 'embedding' ? 6 : 1))
      })
}

var members = flatten(map(
  range(0, length(accounts)),
  index =>
    map(
      accounts[index].deployments,
      item =>
        memberOf(
          item,
          known[index].name,
          endpointOf(accounts[index], known[index].name),
          accounts[index].?apiVersion ?? 'v1'
        )
    )
))

var deploymentsDocument = string({ model_list: members })
var checkedDocument = length(deploymentsDocument) > 25600
  ? fail('accounts: too many deployments for one secret of 25,600 characters')
  : deploymentsDocument

// ---- resources ----

var componentName = 'appi-${places[0].name}'

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring-${checkedPlaces[0].name}'
  params: {
    workspaceName: 'log-${checkedPlaces[0].name}'
    componentName: componentName
    location: checkedPlaces[0].location
    tags: tags
  }
}

module newAccounts 'modules/openai.bicep' = [
  for (item, index) in accounts: if (item.kind != 'Existing') {
    name: 'account-${uniqueString(checkedAccounts[index].name)}'
    params: {
      kind: item.kind
      name: checkedAccounts[index].name
      location: compact(item.?location ?? '')
      tags: tags
      deployments: item.deployments
      private: privateNetwork
      restore: recover
      workspaceId: monitoring.outputs.workspaceId
    }
  }
]

// One after the other: private endpoints of two regions would change the same accounts at the same time.
@batchSize(1)
module gateways 'modules/region.bicep' = [
  for (place, index) in checkedPlaces: {
    name: 'gateway-${place.location}'
    dependsOn: [
      newAccounts
    ]
    params: {
      name: place.name
      shortName: place.shortName
      location: place.location
      tags: tags
      // azd deploys code to one app only; scripts/deploy to all.
      azdService: index == 0 ? 'gateway' : ''
      accounts: checkedAccounts
      deploymentsDocument: checkedDocument
      writeCallers: callers != null
      callersDocument: callers == null ? '' : string(callers)
      operators: operators
      applicationInsightsName: componentName
      workspaceId: monitoring.outputs.workspaceId
      pythonVersion: pythonVersion
      instanceMemoryMB: instanceMemoryMB
      perInstanceConcurrency: perInstanceConcurrency
      maximumInstanceCount: maximumInstanceCount
      alwaysReady: zoneRedundant ? max(alwaysReady, 2) : alwaysReady
      zoneRedundant: zoneRedundant
      corsOrigins: corsOrigins
      settings: settings
      purgeProtection: purgeProtection
      softDeleteDays: softDeleteDays
      recover: recover
      privateNetwork: privateNetwork
      privateInbound: network == 'private'
      addressPrefix: place.addressPrefix
      dnsResourceGroup: place.dnsResourceGroup
    }
  }
]

@description('Where clients send requests: the first region\'s gateway.')
output endpoint string = gateways[0].outputs.summary.endpoint
@description('Name of the first region\'s app.')
output functionAppName string = gateways[0].outputs.summary.functionAppName

@description('Each region\'s gateway: names, addresses, identity.')
output gateways summary[] = [for index in range(0, length(regions)): gateways[index].outputs.summary]

@description('What the gateways call.')
output openAiEndpoints string[] = [for (item, index) in accounts: endpointOf(item, known[index].name)]
