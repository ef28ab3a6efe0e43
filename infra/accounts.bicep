// What accounts and deployments are called, and what the gateway is told of them. Functions only.

import { account, deployment, member } from 'types.bicep'

@export()
@description('Whether a text has only letters, digits and hyphens, and no hyphen at its ends: a label of a host name.')
func isLabel(text string) bool =>
  empty(filter(
    range(0, length(text)),
    index => !contains('abcdefghijklmnopqrstuvwxyz0123456789-', toLower(substring(text, index, 1)))
  )) && !startsWith(text, '-') && !endsWith(text, '-')

@export()
@description('Whether a SKU is paid by the hour; such a deployment has no quota of tokens.')
func isProvisioned(sku string) bool => contains(sku, 'Provisioned')

@export()
@description('Where an account is called.')
func endpointOf(item account, name string) string =>
  item.kind == 'Existing' && contains(item, 'endpoint')
    ? item.endpoint!
    : 'https://${toLower(name)}.${item.kind == 'AIServices' ? 'services.ai' : 'openai'}.azure.com'

@description('The name of a deployment in its account.')
func nameOf(item deployment) string =>
  item.?name ?? item.?model ?? fail('accounts: a deployment needs a model, or a name where it exists')

@description('Whether a deployment spills to where Azure lets it: from provisioned throughput to a standard deployment.')
func spillsWell(item deployment, siblings deployment[]) bool =>
  isProvisioned(item.sku) && !empty(filter(
    siblings,
    other => !isProvisioned(other.sku) && toLower(nameOf(other)) == toLower(item.spilloverDeploymentName!)
  ))

@export()
@description('What Azure would refuse of an account after half of a deployment, or the gateway once it reads its configuration.')
func problemsOf(item account) string[] => concat(
  length(union(map(item.deployments, each => toLower(nameOf(each))), [])) < length(item.deployments)
    ? ['accounts: a deployment stands twice in one account; give each a name of its own']
    : [],
  item.kind != 'Existing' && !isLabel(item.?name ?? '')
    ? ['accounts: the name of a new account is its host\'s: letters, digits and hyphens, and no hyphen at its ends']
    : [],
  item.kind == 'Existing' && !startsWith(toLower(item.?endpoint ?? 'https://'), 'https://')
    ? ['accounts: an endpoint begins with https://']
    : [],
  item.kind != 'Existing' && !empty(filter(
      item.deployments,
      each => contains(each, 'spilloverDeploymentName') && !spillsWell(each, item.deployments)
    ))
    ? ['accounts: spilloverDeploymentName leads from provisioned throughput to a standard deployment of the same account']
    : []
)

@export()
@description('What the gateway is told of a deployment. `label` tells its account from the others.')
func memberOf(item deployment, label string, endpoint string, apiVersion string) member => {
  model_name: item.?modelName ?? item.?model ?? nameOf(item)
  litellm_params: {
    model: 'azure/${nameOf(item)}'
    api_base: endpoint
    api_version: apiVersion
    order: item.?order ?? (isProvisioned(item.sku) ? 1 : 2)
  }
  model_info: {
    id: '${label}/${nameOf(item)}'
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
