"""What the tests of the limits share."""

from __future__ import annotations

import random
from typing import Any

from gateway.config.deployment import ApiKey, Config, Deployment
from gateway.limits.balancing.balancer import Balancer
from gateway.limits.balancing.reservation import Reservation
from gateway.limits.tokens.estimate import Estimate

NOW = 1_000_000_000.0


def deployment(name: str, **fields: Any) -> Deployment:
    """A deployment of which only limits matter."""
    return Deployment(
        id=name,
        model_name=fields.pop("model", "m"),
        name=name,
        provider="azure",
        targets={},
        credential=ApiKey("k"),
        **fields,
    )


class Instance:
    """A balancer with its group, and short ways to use it."""

    def __init__(self, *group: Deployment, name: str = "aaaaaa", seed: int = 1, **config: Any) -> None:
        self.group = group
        self.config = Config(models={"m": group}, **config)
        self.balancer = Balancer(self.config, name, random.Random(seed).random)

    def choose(self, now: float, tokens: int = 10, *, tried: Any = (), last_resorts: int = 0) -> Any:
        """A choice for a call of `tokens`."""
        return self.balancer.choose(self.group, Estimate(tokens, 0), tried, now, last_resorts=last_resorts)

    def send(self, now: float, tokens: int = 10, *, tried: Any = ()) -> Reservation:
        """Choose and reserve; some deployment must be there."""
        choice = self.choose(now, tokens, tried=tried)
        assert choice.deployment is not None, choice
        return self.balancer.reserve(choice, now)

    def flush(self, now: float) -> list[Any]:
        """Rows to write, confirmed."""
        rows = self.balancer.rows(now)
        for row in rows:
            self.balancer.written(row)
        return rows

    def charge(self, name: str, now: float) -> int:
        """What is thought to be charged to a deployment."""
        return next(each.charged_tokens for each in self.balancer.state(now) if each.id == name)
