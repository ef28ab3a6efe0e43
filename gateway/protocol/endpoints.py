"""What the gateway answers itself, one value each; `pipeline/endpoints.py` has the answers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Endpoint(msgspec.Struct, frozen=True, eq=False):
    """One thing that the gateway answers itself, with JSON."""

    name: str
    #: Name of the route -> its template, without the slash at the beginning.
    routes: Mapping[str, str]
    methods: tuple[str, ...] = ("GET",)


#: The list of models, or one of them. A model's name may hold slashes; each template matches the bare path,
#: too, then without a model.
MODELS = Endpoint(
    "models",
    {
        "models_v1": "v1/models/{*model}",
        "models_bare": "models/{*model}",
        "models_azure_v1": "openai/v1/models/{*model}",
        "models_azure": "openai/models/{*model}",
    },
)

#: For the operator: the state of each deployment.
DEPLOYMENTS = Endpoint("deployments", {"deployments": "gateway/deployments"})

#: For every caller: what it may use, and what is left.
ME = Endpoint("me", {"me": "gateway/me"})

#: For the operator: read the configuration again, here and on all other instances.
RELOAD = Endpoint("reload", {"reload": "gateway/reload"}, methods=("POST",))

ENDPOINTS = (MODELS, DEPLOYMENTS, ME, RELOAD)
