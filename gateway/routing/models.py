"""The models that clients may name, and the deployments behind each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from gateway.auth.principal import Principal
from gateway.config.deployment import Config, Deployment
from gateway.config.patterns import STAR
from gateway.config.wildcards import ServedNames
from gateway.errors import BadRequest, GatewayError, ModelNotFound
from gateway.protocol.calls import Call
from gateway.protocol.operation import Operation
from gateway.quoting import shown

T = TypeVar("T")


class Models:
    """Looks models up by the name that a client asked for."""

    __slots__ = ("_aliases", "_created", "_listed", "_served")

    def __init__(self, config: Config, created: int) -> None:
        """`created` (seconds since 1970) is reported for every model: when the configuration was loaded."""
        self._served = ServedNames(config.models)
        self._aliases = {name: alias.model for name, alias in config.aliases.items()}
        listed = (name for name, alias in config.aliases.items() if not alias.hidden)
        self._listed = (*self._served, *listed)
        self._created = created

    def check(self, call: Call, principal: Principal, *, azure_path: bool = False) -> Call:
        """`call`, for the model that its name stands for. Raises ModelNotFound or BadRequest.

        A model that `principal` may not use is told as one that does not exist. An alias is its model in all
        that follows, limits and fallbacks included.
        """
        if not self._knows(call.requested_model, principal):
            raise not_found(call.requested_model, azure_path=azure_path)
        if not self.able(call.requested_model, call.operation):
            raise BadRequest(
                f"The {call.operation.azure_name} operation does not work with the specified model, "
                f"{shown(call.requested_model)}. Please choose different model and try again.",
                code="OperationNotSupported",
            )
        if azure_path and STAR in self.model_name(call.requested_model):
            # Only upstream knows whether there is such a deployment.
            call = replace(call, azure_path=True)
        model = self._aliases.get(call.requested_model)
        return call if model is None else replace(call, requested_model=model, alias=call.requested_model)

    def able(self, name: str, operation: Operation) -> Sequence[Deployment]:
        """The deployments of a model that serve `operation`, if any."""
        deployments = self._served.deployments(self._aliases.get(name, name))
        return [each for each in deployments if operation.name in each.targets]

    def model_name(self, name: str) -> str:
        """The `model_name` of the entries that serve a model: a wildcard, or the model's own name."""
        return self._served.entry(self._aliases.get(name, name)) or name

    def of(self, settings: Mapping[str, T], name: str) -> T | None:
        """What `settings` say of a model, or of the wildcard that serves it; None where they do not."""
        found = settings.get(name)
        return settings.get(self.model_name(name)) if found is None else found

    def names(self, principal: Principal) -> list[str]:
        """The models that `principal` may use, in the configuration's order; wildcards are no models.

        Those that wildcards serve are listed for clients whose configuration names them.
        """
        named = () if principal.models is None else principal.models.patterns
        known = dict.fromkeys((*self._listed, *(name for name in named if name in self._served)))
        return [name for name in known if self._knows(name, principal)]

    def listing(self, principal: Principal) -> bytes:
        """The list of the models for `principal`, as the API returns it (JSON)."""
        return _json({"object": "list", "data": [self._entry(name) for name in self.names(principal)]})

    def entry(self, name: str, principal: Principal) -> bytes:
        """One model as the API returns it (JSON). Raises ModelNotFound."""
        if not self._knows(name, principal):
            raise not_found(name)
        return _json(self._entry(name))

    def _knows(self, name: str, principal: Principal) -> bool:
        model = self._aliases.get(name, name)
        return model in self._served and (principal.may_use(name) or principal.may_use(model))

    def _entry(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": "gateway"}


def not_found(model: str, *, azure_path: bool = False) -> GatewayError:
    """The error for an unknown model, worded as Azure does on Azure's paths."""
    name = shown(model)
    if azure_path:
        return ModelNotFound(
            "The API deployment for this resource does not exist. If you created the deployment within the "
            f"last 5 minutes, please wait a moment and try again. The deployment asked for was `{name}`.",
            code="DeploymentNotFound",
        )
    return ModelNotFound(f"The model `{name}` does not exist or you do not have access to it.")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
