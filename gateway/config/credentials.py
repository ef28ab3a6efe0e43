"""Which one credential goes upstream, from what `litellm_params` gives.

Precedence, the token first as at LiteLLM: azure_ad_token, api_key, client secret, default identity.
An Entra token never goes to an OpenAI member: it would hand Azure rights to another party.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.deployment import (
    COGNITIVE_SERVICES_SCOPE,
    ApiKey,
    ClientSecret,
    Credential,
    DefaultIdentity,
    StaticToken,
)
from gateway.config.document import Params
from gateway.config.problems import Path, Problems, render

_APPLICATION = ("tenant_id", "client_id", "client_secret")


def azure_credential(params: Params, path: Path, problems: Problems, warnings: list[str]) -> Credential:
    """Choose the credential of an Azure member; several are a warning, half an application is a problem."""
    scope = params.azure_scope or COGNITIVE_SERVICES_SCOPE
    missing = [key for key in _APPLICATION if getattr(params, key) is None]
    if missing and len(missing) < len(_APPLICATION):
        for key in missing:
            problems.add((*path, key), "is missing; tenant_id, client_id and client_secret belong together")
    given: list[tuple[str, Credential]] = []
    if params.azure_ad_token is not None:
        given.append(("azure_ad_token", StaticToken(params.azure_ad_token)))
    if params.api_key is not None:
        given.append(("api_key", ApiKey(params.api_key)))
    if params.tenant_id and params.client_id and params.client_secret:
        application = ClientSecret(params.tenant_id, params.client_id, params.client_secret, scope)
        given.append(("client_secret", application))
    if len(given) > 1:
        names = ", ".join(name for name, _ in given)
        warnings.append(
            f"{render(path)}: several credentials are given ({names}); only {given[0][0]} is used"
        )
    return given[0][1] if given else DefaultIdentity(scope)


def openai_credential(
    params: Params, environ: Mapping[str, str], path: Path, problems: Problems
) -> Credential:
    """Find the key of an OpenAI member: `api_key`, else OPENAI_API_KEY; anything of Entra is a problem."""
    for key in ("azure_ad_token", *_APPLICATION, "azure_scope"):
        if getattr(params, key) is not None:
            problems.add(
                (*path, key), "must not be given for an OpenAI member, which takes api_key only; remove it"
            )
    key = params.api_key or environ.get("OPENAI_API_KEY", "").strip()
    if not key:
        problems.add((*path, "api_key"), "is missing; give it here or set OPENAI_API_KEY")
    elif not (key.isascii() and key.isprintable() and " " not in key):
        problems.add(
            (*path, "api_key"), "OPENAI_API_KEY holds characters that no header may carry; set it again"
        )
    return ApiKey(key)
