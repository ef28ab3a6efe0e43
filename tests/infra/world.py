"""What a snapshot says, in the words of the checks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

_IDENTITY = re.compile(r"userAssignedIdentities/([^']+)', '[^']+'\)\.(principalId|clientId)\b")


@dataclass(frozen=True)
class Assignment:
    """A role that somebody is given: `scope` a resource id, `principal` an identity's name or an object id."""

    role: str
    scope: str
    principal: str
    principal_type: str


class World:
    """The resources and outputs that one parameter file leads to, and the compiled template, made when asked for."""

    def __init__(
        self, name: str, snapshot: dict[str, Any], compile_template: Callable[[], dict[str, Any]]
    ) -> None:
        self.name = name
        self.resources = snapshot["predictedResources"]
        self.outputs = snapshot["outputs"]
        self.text = json.dumps(snapshot)
        self._compile = compile_template

    @cached_property
    def template(self) -> dict[str, Any]:
        return self._compile()

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All resources of a type."""
        return [found for found in self.resources if found["type"] == f"Microsoft.{kind}"]

    @cached_property
    def sites(self):
        return self.of("Web/sites")

    @cached_property
    def is_private(self) -> bool:
        return bool(self.of("Network/virtualNetworks"))

    @cached_property
    def is_inbound_private(self) -> bool:
        return any(site["properties"]["publicNetworkAccess"] == "Disabled" for site in self.sites)

    @cached_property
    def assignments(self) -> list[Assignment]:
        return [
            Assignment(
                role=found["properties"]["roleDefinitionId"].rpartition("/")[2],
                scope=found["id"].partition("/providers/Microsoft.Authorization/")[0],
                principal=identity_in(found["properties"]["principalId"]),
                principal_type=found["properties"]["principalType"],
            )
            for found in self.of("Authorization/roleAssignments")
        ]

    @cached_property
    def configurations(self) -> list[dict[str, Any]]:
        """The generated configuration of each region."""
        return [
            json.loads(secret["properties"]["value"])
            for secret in self.of("KeyVault/vaults/secrets")
            if secret["name"].endswith("/gateway-deployments")
        ]


def settings_of(site) -> dict[str, str]:
    """A site's app settings."""
    settings = site["properties"]["siteConfig"]["appSettings"]
    assert len({setting["name"].lower() for setting in settings}) == len(settings), "a setting stands twice"
    return {setting["name"]: setting["value"] for setting in settings}


def identity_in(text: str) -> str:
    """The name of the identity that an expression reads an id of; other text as it is."""
    found = _IDENTITY.search(text)
    return found[1] if found else text
