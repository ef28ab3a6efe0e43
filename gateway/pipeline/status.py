"""What an operator may see: each deployment's state, how the configuration and the shared store are doing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from gateway.auth.authenticator import MASTER, Authenticator
from gateway.config.refresh import ConfigurationState
from gateway.errors import Unauthorized
from gateway.limits.balancing.balancer import Balancer
from gateway.sharing.replication import WAIT_SECONDS, Replication

_OPEN = {"status": "ok"}


class Status:
    """Reports as JSON bytes."""

    def __init__(
        self, balancer: Balancer, sharing: Replication, configuration: Callable[[], ConfigurationState]
    ) -> None:
        self._balancer = balancer
        self._sharing = sharing
        self._configuration = configuration

    async def deployments(self, authenticator: Authenticator, headers: Mapping[str, str]) -> bytes:
        """Every deployment now, for the holder of the master key. Raises Unauthorized."""
        if authenticator.authenticate(headers) != MASTER:
            raise Unauthorized("Only the holder of the master key may see the deployments.")
        await self._sharing.refresh(WAIT_SECONDS)
        states = self._balancer.state(self._sharing.now())
        data = [_deployment(asdict(state)) for state in states]
        return _json({"object": "list", "data": data, "storage": self._storage()})

    def readiness(self, authenticator: Authenticator, headers: Mapping[str, str]) -> bytes:
        """That the gateway is ready; how it is doing only for the holder of the master key.

        A store that fails makes the gateway less exact, and a new configuration that is refused leaves the
        one before in use. Neither makes it unready: requests are answered all the same.
        """
        try:
            known = authenticator.authenticate(headers) == MASTER
        except Unauthorized:
            known = False
        if not known:
            return _json(_OPEN)
        return _json({**_OPEN, "configuration": self._configured(), "storage": self._storage()})

    def _configured(self) -> dict[str, Any]:
        state = self._configuration()
        return {
            "healthy": not state.problems,
            "reason": "\n".join(state.problems) or None,
            "version": state.version,
            "loaded_at": _moment(state.loaded_at),
        }

    def _storage(self) -> dict[str, Any]:
        storage = self._sharing.storage
        state = storage.state()
        return {
            "healthy": state.healthy,
            "reason": state.reason,
            "failing_since": _moment(state.failing_since),
            "operations": dict(storage.operations),
            "failures": dict(storage.failures),
            "instances": self._balancer.instances,
        }


def _deployment(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "resting_until": _moment(state["resting_until"])}


def _moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
