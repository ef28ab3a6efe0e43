"""What an operator may see: each deployment's state, how the configuration and the shared store are doing."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from gateway.auth.principal import ANONYMOUS, Principal
from gateway.config.reload import ConfigurationState
from gateway.errors import Forbidden, Unauthorized
from gateway.limits.balancing.balancer import Balancer
from gateway.pipeline.client_page import client_page, moment
from gateway.routing.models import Models
from gateway.sharing.replication import WAIT_SECONDS, Replication

_OPEN = {"status": "ok"}


class Status:
    """Reports as JSON bytes."""

    def __init__(
        self,
        balancer: Balancer,
        sharing: Replication,
        configuration: Callable[[], ConfigurationState],
        reload: Callable[[], Awaitable[bool]],
    ) -> None:
        """`reload` reads the configuration again; it is told whether other instances will, too."""
        self._balancer = balancer
        self._sharing = sharing
        self._configuration = configuration
        self._reload = reload

    async def deployments(self, principal: Principal) -> bytes:
        """Every deployment now, for administrators. Raises Unauthorized or Forbidden."""
        check_admin(principal)
        await self._sharing.refresh(WAIT_SECONDS)
        states = self._balancer.state(self._sharing.now())
        data = [_deployment(msgspec.structs.asdict(state)) for state in states]
        return _json({"object": "list", "data": data, "storage": self._storage()})

    async def caller(self, principal: Principal, models: Models) -> bytes:
        """What a caller may know of itself: its models, its limits, and what is left of them."""
        limits = None
        if principal.limits is not None:
            await self._sharing.refresh(WAIT_SECONDS, capped=True)
            limits = self._balancer.client_state(principal.name, principal.limits, self._sharing.now())
        return _json(client_page(principal, models.names(principal), limits))

    async def reload(self, principal: Principal) -> bytes:
        """Read the configuration again, for administrators. Raises Unauthorized or Forbidden."""
        check_admin(principal)
        everywhere = await self._reload()
        return _json({**_OPEN, "everywhere": everywhere, "configuration": self._configured()})

    def readiness(self, principal: Principal | None) -> bytes:
        """That the gateway is ready; how it is doing only for administrators.

        A store that fails makes the gateway less exact, and a new configuration that is refused leaves the
        one before in use. Neither makes it unready: requests are answered all the same.
        """
        if principal is None or not principal.admin:
            return _json(_OPEN)
        return _json({**_OPEN, "configuration": self._configured(), "storage": self._storage()})

    def _configured(self) -> dict[str, Any]:
        state = self._configuration()
        return {
            "healthy": not state.problems,
            "reason": "\n".join(state.problems) or None,
            "version": state.version,
            "loaded_at": moment(state.loaded_at),
        }

    def _storage(self) -> dict[str, Any]:
        storage = self._sharing.storage
        state = storage.state()
        return {
            "healthy": state.healthy,
            "reason": state.reason,
            "failing_since": moment(state.failing_since),
            "operations": dict(storage.operations),
            "failures": dict(storage.failures),
            "instances": self._balancer.instances,
        }


def check_admin(principal: Principal) -> None:
    """Raise Unauthorized where nobody is known, and Forbidden for a client that is no administrator."""
    if principal.name == ANONYMOUS:
        raise Unauthorized("Only the holder of the master key may do this.")
    if not principal.admin:
        raise Forbidden("Only an administrator of the gateway may do this.")


def _deployment(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "resting_until": moment(state["resting_until"])}


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
