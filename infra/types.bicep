// The types of main.bicep's parameters: what may be written in a parameter file.

@export()
type tags = {
  *: string
}

@export()
@description('A place where a whole gateway runs: app, identity, storage and vault.')
@sealed()
type region = {
  @description('Region, such as swedencentral.')
  @minLength(1)
  location: string

  @description('Private network only: address space of this region, a /16 that nothing else uses. 10.N.0.0/16 for the Nth region by default.')
  addressPrefix: string?

  @description('Private network only: existing resource group that holds the private DNS zones of this region. The deployment\'s own by default; two regions need one each, since both publish the accounts\' names.')
  dnsResourceGroup: string?
}

@description('What counts as provisioned throughput has no quota of tokens; the others are paid by the token.')
type skuName =
  | 'Standard'
  | 'GlobalStandard'
  | 'DataZoneStandard'
  | 'ProvisionedManaged'
  | 'GlobalProvisionedManaged'
  | 'DataZoneProvisionedManaged'

@export()
@description('A model deployment behind the gateway.')
@sealed()
type deployment = {
  @description('Name of the deployment in its account; the model by default.')
  @minLength(1)
  @maxLength(64)
  name: string?

  @description('The name that clients ask for; deployments with one name stand in for each other. The model by default.')
  @minLength(1)
  modelName: string?

  @description('Azure\'s name of the model. Not needed for a deployment that exists where name is given.')
  @minLength(1)
  model: string?

  @description('Version of the model; the region\'s default version if left out.')
  version: string?

  sku: skuName

  @description('Thousands of tokens a minute, or provisioned throughput units.')
  @minValue(1)
  capacity: int

  @description('The one operation that the model serves; all if left out.')
  mode: 'chat' | 'completion' | 'embedding' | 'audio_speech'?

  @description('Requests a minute that a unit of capacity brings: 6 for embeddings, else 1, if left out. It steers the choice and refuses nobody. `az cognitiveservices account deployment show` tells it under rateLimits.')
  @minValue(1)
  rpmPerUnit: int?

  @description('Deployments with the lowest order are used first. 1 for provisioned throughput, 2 for the others by default: what does not fit spills.')
  @minValue(1)
  order: int?

  @description('New deployments only: the content filter; Azure\'s default policy if left out.')
  raiPolicyName: string?

  @description('New deployments only. OnceNewDefaultVersionAvailable if left out.')
  versionUpgradeOption: 'OnceNewDefaultVersionAvailable' | 'OnceCurrentVersionExpired' | 'NoAutoUpgrade'?

  @description('New deployments only: a standard deployment of the same account that takes what this provisioned one refuses. The gateway spills by itself, to any account; this is for those who call the account without it.')
  spilloverDeploymentName: string?
}

@sealed()
type openAiAccount = {
  @description('A new Azure OpenAI account.')
  kind: 'OpenAI'

  @minLength(1)
  location: string

  @description('Name of the account and of its host, unique in the world; made from the prefix if left out.')
  @minLength(2)
  @maxLength(63)
  name: string?

  @description('Version of the API; v1 by default.')
  @minLength(2)
  apiVersion: string?

  @minLength(1)
  deployments: deployment[]
}

@sealed()
type foundryAccount = {
  @description('A new Foundry account (Azure AI Services).')
  kind: 'AIServices'

  @minLength(1)
  location: string

  @description('Name of the account and of its host, unique in the world; made from the prefix if left out.')
  @minLength(2)
  @maxLength(63)
  name: string?

  @description('Version of the API; v1 by default.')
  @minLength(2)
  apiVersion: string?

  @minLength(1)
  deployments: deployment[]
}

@sealed()
type existingAccount = {
  @description('An account that exists, with its deployments; nothing of it is changed, the gateway only gets a role on it.')
  kind: 'Existing'

  @minLength(2)
  @maxLength(64)
  name: string

  @description('Its resource group; this deployment\'s if left out.')
  resourceGroup: string?

  @description('Id of its subscription; this deployment\'s if left out.')
  @minLength(36)
  @maxLength(36)
  subscriptionId: string?

  @description('Its endpoint as the portal shows it, such as https://NAME.services.ai.azure.com; made from the name if left out.')
  endpoint: string?

  @description('Version of the API; v1 by default.')
  @minLength(2)
  apiVersion: string?

  @minLength(1)
  deployments: deployment[]
}

@export()
@discriminator('kind')
type account = openAiAccount | foundryAccount | existingAccount

@sealed()
type clientKey = {
  @description('sha256: and 64 hexadecimal digits; the command `python -m gateway keys new` prints it.')
  @minLength(71)
  @maxLength(71)
  hash: string

  @description('When the key ends, such as 2027-12-31T00:00:00Z.')
  expires: string?
}

@sealed()
type modelLimits = {
  rpm: int?
  tpm: int?
  strict: bool?
}

@sealed()
type limits = {
  rpm: int?
  tpm: int?
  strict: bool?

  @description('Limits of single models, by the name that the client asks for.')
  models: {
    *: modelLimits
  }?
}

@sealed()
type client = {
  name: string
  keys: clientKey[]?
  models: string[]?
  limits: limits?
  shadow: bool?
  admin: bool?
}

@sealed()
type entraClient = {
  @description('Name of an entry of clients.')
  client: string?
  app_ids: string[]?
  roles: string[]?
  groups: string[]?
  per_user: bool?
  admin: bool?
}

@sealed()
type entra = {
  tenant_id: string

  @description('The `aud` of the tokens to accept: application ids or their URIs.')
  @minLength(1)
  audience: string[]

  clients: entraClient[]

  @description('What users\' pseudonyms are made with, best the name of a secret in the vault: keyvault/NAME.')
  pseudonym_key: string?
}

@export()
@secure()
@description('The first callers: the document of the secret gateway-clients, as docs/configuration.md describes it.')
@sealed()
type callers = {
  clients: client[]?
  entra: entra?
}

@export()
@description('People, groups or pipelines that may edit the configuration in the vault.')
@sealed()
type operator = {
  @minLength(36)
  @maxLength(36)
  principalId: string
  principalType: 'User' | 'Group' | 'ServicePrincipal'
}

@export()
@description('Settings of the gateway (docs/configuration.md, "Settings") that differ from their defaults. What the template sets itself, secrets, and what only the embedded host reads are not among them.')
@sealed()
type settings = {
  GATEWAY_REFRESH_SECONDS: string?
  GATEWAY_MAX_BODY_BYTES: string?
  GATEWAY_MAX_HELD_BYTES: string?
  GATEWAY_MAX_REPLY_BYTES: string?
  GATEWAY_UPLOAD_TIMEOUT: string?
  GATEWAY_REPLY_TIMEOUT: string?
  GATEWAY_STREAM_TIMEOUT: string?
  GATEWAY_STREAM_HOLD: string?
  GATEWAY_KEEP_ALIVE: string?
  GATEWAY_ARRIVAL_TIMEOUT: string?
  AZURE_API_VERSION: string?
  AZURE_AUTHORITY_HOST: string?
  REQUESTS_CA_BUNDLE: string?
}

@export()
@description('An entry of model_list in the gateway\'s configuration.')
@sealed()
type member = {
  model_name: string
  litellm_params: {
    model: string
    api_base: string
    api_version: string
    order: int
  }
  model_info: {
    id: string
    base_model: string?
    mode: string?
    ptu_count: int?
  }
  tpm: int?
  rpm: int?
}

@export()
@description('What a region\'s gateway is called and where it is.')
@sealed()
type summary = {
  location: string
  functionAppName: string
  endpoint: string
  keyVaultName: string
  keyVaultUri: string
  tablesEndpoint: string
  identityName: string
  identityClientId: string
  identityPrincipalId: string
}
