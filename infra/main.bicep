// The gateway and what it needs, in one resource group. docs/deployment.md tells what each part is for.
//
//   az deployment group create --resource-group RG --parameters infra/main.bicepparam
//
// scripts/deploy does that, deploys the code and tries it. No key, secret or password is made or read anywhere.

import { endpointOf, isLabel, memberOf, problemsOf } from 'accounts.bicep'
import { account, callers as callersType, operator, region, summary } from 'types.bicep'
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

var base = isLabel(prefix)
  ? toLower(prefix)
  : fail('prefix: only letters, digits and hyphens, and no hyphen at its ends')

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
var endpoints = [for (item, index) in accounts: endpointOf(item, known[index].name)]
var addresses = map(endpoints, endpoint => join(filter(split(toLower(endpoint), '/'), part => !empty(part)), '/'))
var isEndpointTwice = length(union(addresses, [])) < length(addresses)
var accountProblems = concat(
  flatten(map(accounts, item => problemsOf(item))),
  isAccountTwice
    ? [
        'accounts: an account stands twice; give one entry all its deployments, and new ones of one kind and place a name each'
      ]
    : [],
  isEndpointTwice
    ? [
        'accounts: two accounts have one endpoint; give an existing one whose host is not NAME.openai.azure.com its endpoint'
      ]
    : []
)
var checkedAccounts = empty(accountProblems) ? known : fail(accountProblems[0])

// Accounts of one name in two groups or subscriptions are told apart.
var labels = map(
  known,
  item =>
    length(filter(known, other => toLower(other.name) == toLower(item.name))) == 1
      ? item.name
      : '${item.name}-${uniqueString(toLower(item.subscriptionId), toLower(item.resourceGroup))}'
)

var members = flatten(map(
  range(0, length(accounts)),
  index =>
    map(
      accounts[index].deployments,
      item => memberOf(item, labels[index], endpoints[index], accounts[index].?apiVersion ?? 'v1')
    )
))

var deploymentsDocument = string({ model_list: members })
var checkedDocument = length(deploymentsDocument) > 25600
  ? fail('accounts: too many deployments for one secret of 25,600 characters; name the others in gateway-config')
  : deploymentsDocument

// ---- the rest of what Azure would refuse late ----

var isOperatorTwice = length(union(map(operators, person => toLower(person.principalId)), [])) < length(operators)
var checkedOperators = isOperatorTwice ? fail('operators: a principalId stands twice') : operators
var checkedAlwaysReady = alwaysReady > maximumInstanceCount
  ? fail('alwaysReady: more than maximumInstanceCount')
  : zoneRedundant ? max(alwaysReady, 2) : alwaysReady

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
      operators: checkedOperators
      applicationInsightsName: componentName
      workspaceId: monitoring.outputs.workspaceId
      pythonVersion: pythonVersion
      instanceMemoryMB: instanceMemoryMB
      perInstanceConcurrency: perInstanceConcurrency
      maximumInstanceCount: maximumInstanceCount
      alwaysReady: checkedAlwaysReady
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
output openAiEndpoints string[] = [for index in range(0, length(accounts)): endpoints[index]]
