"""Small configurations that the tests of this folder vary."""

import json

from gateway.config.load import check, load

KEY = "sk-master-0123456789"
BASE = "https://r.openai.azure.com"


def document(*entries, **sections):
    sections.setdefault("general_settings", {"master_key": KEY})
    return json.dumps({"model_list": list(entries), **sections})


def entry(params=None, *, name="gpt", **beside):
    values = {"model": "azure/dep", "api_base": BASE, "api_key": "azure-key", **(params or {})}
    values = {key: value for key, value in values.items() if value is not ...}
    return {"model_name": name, "litellm_params": values, **beside}


def member(params=None, *, environ=None, **beside):
    """The one deployment of a configuration with one entry; `...` removes a default parameter."""
    config = load(document(entry(params, **beside)), environ or {})
    (group,) = config.models.values()
    (deployment,) = group
    return deployment


def problems(params=None, *, environ=None, **beside):
    return check(document(entry(params, **beside)), environ or {})[0]


def warnings(params=None, *, environ=None, **beside):
    return check(document(entry(params, **beside)), environ or {})[1]
