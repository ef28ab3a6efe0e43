"""Which one credential goes upstream, from what `litellm_params` gives, else the environment.

Precedence: of the deployment azure_ad_token (the token first, as at LiteLLM), api_key, the application
(tenant_id, client_id and client_secret, or a federated token's file), client_id alone; of the environment
AZURE_OPENAI_API_KEY, AZURE_API_KEY, AZURE_AD_TOKEN; then the default identity.
An Entra token never goes to an OpenAI member: it would hand Azure rights to another party.
"""

from __future__ import annotations

from msgspec.structs import replace

from gateway.config.deployment import (
    COGNITIVE_SERVICES_SCOPE,
    ApiKey,
    ClientSecret,
    Credential,
    DefaultIdentity,
    FederatedToken,
    ManagedIdentity,
    StaticToken,
)
from gateway.config.problems import Path, Problems
from gateway.config.reading import Reading
from gateway.config.sections import Params
from gateway.config.values import OIDC_AZURE, OIDC_FILE, is_header_safe

_APPLICATION = ("tenant_id", "client_id", "client_secret")
_ENTRA = ("azure_ad_token", *_APPLICATION, "federated_token_file", "azure_scope")


def azure_credential(params: Params, path: Path, reading: Reading) -> Credential:
    """Choose the credential of an Azure member; several are a warning, half an application is a problem."""
    scope = params.azure_scope or _variable(reading, "AZURE_SCOPE") or COGNITIVE_SERVICES_SCOPE
    given: list[tuple[str, Credential]] = []
    token, file = params.azure_ad_token, params.federated_token_file
    if token is not None and token.startswith(OIDC_FILE):
        file, token = token.removeprefix(OIDC_FILE), None
    if token is not None and OIDC_AZURE.fullmatch(token):
        given.append(("azure_ad_token", _workload(params, scope, reading)))
        # Both belong to the workload, not to an application of its own.
        params, token = replace(params, tenant_id=None, client_id=None), None
    if token is not None:
        secret = reading.references.get((*path, "azure_ad_token"))
        given.append(("azure_ad_token", StaticToken(token, secret)))
    if params.api_key is not None:
        given.append(("api_key", ApiKey(params.api_key, reading.references.get((*path, "api_key")))))
    application = _application(params, file, scope, path, reading)
    if application is not None:
        given.append(application)
    if len(given) > 1:
        names = ", ".join(name for name, _ in given)
        reading.remark(path, f"several credentials are given ({names}); only {given[0][0]} is used")
    return given[0][1] if given else _from_environment(path, reading) or DefaultIdentity(scope)


def _variable(reading: Reading, name: str) -> str | None:
    """A variable of the environment; an empty one counts as unset."""
    return reading.environ.get(name, "").strip() or None


def _workload(params: Params, scope: str, reading: Reading) -> Credential:
    """The identity of a workload: by its federated token where Azure gives one, else that of the platform."""
    client = params.client_id or _variable(reading, "AZURE_CLIENT_ID")
    tenant = params.tenant_id or _variable(reading, "AZURE_TENANT_ID")
    file = _variable(reading, "AZURE_FEDERATED_TOKEN_FILE")
    if client and tenant and file:
        return FederatedToken(tenant, client, file, scope)
    return ManagedIdentity(params.client_id, scope) if params.client_id else DefaultIdentity(scope)


def _application(
    params: Params, file: str | None, scope: str, path: Path, reading: Reading
) -> tuple[str, Credential] | None:
    """What `client_id` and its companions ask for; half of it is a problem."""
    tenant, client, secret = params.tenant_id, params.client_id, params.client_secret
    if tenant is not None and client is not None and secret is None:
        file = file or _variable(reading, "AZURE_FEDERATED_TOKEN_FILE")
    if client is not None and tenant is None and secret is None and file is None:
        return "client_id", ManagedIdentity(client, scope)
    if tenant is None and client is None and secret is None and file is None:
        return None
    companion = "client_secret" if file is None else "federated_token_file"
    values = {"tenant_id": tenant, "client_id": client, companion: secret if file is None else file}
    for key in [key for key, value in values.items() if value is None]:
        reading.problems.add(
            (*path, key), f"is missing; tenant_id, client_id and {companion} belong together"
        )
    if secret is not None and file is not None:
        reading.problems.add((*path, "client_secret"), "stands beside a federated token; keep one of them")
    if file is not None:
        return "federated_token_file", FederatedToken(tenant or "", client or "", file, scope)
    named = reading.references.get((*path, "client_secret"))
    return "client_secret", ClientSecret(tenant or "", client or "", secret or "", scope, named)


def _from_environment(path: Path, reading: Reading) -> Credential | None:
    """The environment's key or token, if any: always in this order."""
    kinds: tuple[tuple[str, type[ApiKey | StaticToken]], ...] = (
        ("AZURE_OPENAI_API_KEY", ApiKey),
        ("AZURE_API_KEY", ApiKey),
        ("AZURE_AD_TOKEN", StaticToken),
    )
    for name, kind in kinds:
        value = _variable(reading, name)
        if value:
            _check_header_safe(value, name, (name,), reading.problems)
            reading.borrowed.setdefault(name, []).append(path)
            return kind(value, origin=name)
    return None


def openai_credential(params: Params, path: Path, reading: Reading) -> Credential:
    """Find the key of an OpenAI member: `api_key`, else OPENAI_API_KEY; anything of Entra is a problem."""
    for name in _ENTRA:
        if getattr(params, name) is not None:
            reading.problems.add(
                (*path, name), "must not be given for an OpenAI member, which takes api_key only; remove it"
            )
    at_key = (*path, "api_key")
    own = params.api_key
    key = own or _variable(reading, "OPENAI_API_KEY") or ""
    if not key:
        reading.problems.add(at_key, "is missing; give it here or set OPENAI_API_KEY")
    else:
        _check_header_safe(key, "OPENAI_API_KEY", at_key, reading.problems)
    return ApiKey(key, reading.references.get(at_key), origin="api_key" if own else "OPENAI_API_KEY")


def _check_header_safe(value: str, name: str, path: Path, problems: Problems) -> None:
    if not is_header_safe(value):
        problems.add(path, f"{name} holds characters that no header may carry; set it again")
