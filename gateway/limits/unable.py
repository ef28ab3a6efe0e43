"""Operations that deployments were found not to serve: Azure knows no such path, or not in that api-version.

Only that operation is at fault, so the deployment does not rest for the others. After a while one call finds
out whether the operator has mended it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.config.deployment import Deployment

#: Seconds for which nothing else is sent after the call that finds out.
_PROBE_EVERY = 5.0
#: Seconds that may be told at most, with what clocks differ by.
_LONGEST = 70.0


class Unable:
    """What deployments cannot do, as far as any instance found."""

    def __init__(self) -> None:
        #: By deployment and operation: until when it is not asked (seconds since 1970).
        self._until: dict[tuple[str, str], float] = {}
        #: The same of those that work again: what others tell may be older than that.
        self._ended: dict[tuple[str, str], float] = {}

    def able(self, group: Sequence[Deployment], operation: str, now: float) -> Sequence[Deployment]:
        """Those of `group` that may be asked to do `operation`."""
        return [each for each in group if self._may(each.id, operation, now)] if self._until else group

    def _may(self, deployment: str, operation: str, now: float) -> bool:
        until = self._until.get((deployment, operation))
        if until is None or until > now + _LONGEST:
            return True
        if until > now:
            return False
        self._until[deployment, operation] = now + _PROBE_EVERY
        return True

    def failed(self, deployment: str, operation: str, seconds: float, now: float) -> None:
        """`deployment` does not serve `operation`: for some seconds it need not be asked."""
        self._until[deployment, operation] = now + seconds

    def worked(self, deployment: str, operation: str) -> None:
        """It does."""
        until = self._until.pop((deployment, operation), None)
        if until is not None:
            self._ended[deployment, operation] = until

    def of(self, deployment: str, now: float) -> dict[str, float]:
        """The operations that a deployment is not asked for now, and until when."""
        return {
            operation: until
            for (each, operation), until in self._until.items()
            if each == deployment and until > now
        }

    def tell(self, now: float) -> list[list[Any]]:
        """As JSON, for other instances."""
        return [[*key, round(until, 3)] for key, until in self._until.items() if until > now]

    def hear(self, told: Any, known: Mapping[str, Any], now: float) -> None:
        """Take over what another instance told, of deployments that are `known` here."""
        for value in told if isinstance(told, list) else ():
            if not isinstance(value, list) or len(value) != 3:
                continue
            deployment, operation, until = value
            if not isinstance(deployment, str) or not isinstance(operation, str) or deployment not in known:
                continue
            key = deployment, operation
            least = max(now, self._until.get(key, 0.0), self._ended.get(key, 0.0))
            if isinstance(until, (int, float)) and least < until <= now + _LONGEST:
                self._until[key] = until
