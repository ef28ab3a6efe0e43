"""Which deployments of a model are tried, in which order, and which rest after a 429.

Pure: the clock's reading and the source of randomness are arguments. Knows no HTTP client. The
state is one instance's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from gateway.config.deployment import Deployment

#: Deployments that one request tries at most.
MAX_ATTEMPTS = 4
#: Longest rest after a 429, in seconds: longer ones are announced for a request that is too big by
#: itself, and would take a deployment out for all the others.
MAX_COOLDOWN = 60.0


class Router:
    """Orders a model's deployments and remembers until when each one rests."""

    def __init__(self) -> None:
        self._resting: dict[str, float] = {}

    def order(self, group: Sequence[Deployment], now: float, random: Callable[[], float]) -> list[Deployment]:
        """The deployments to try, first to last; those that rest at `now` are left out.

        Lowest `order` first. Within it at random in proportion to `weight` where any member has one
        (the others count 1), else to rpm, else to tpm, else evenly.
        """
        awake = [deployment for deployment in group if self._resting.get(deployment.id, 0.0) <= now]
        if len(awake) < 2:
            return awake
        ordered: list[Deployment] = []
        for tier in sorted({deployment.order for deployment in awake}):
            members = [deployment for deployment in awake if deployment.order == tier]
            ordered += shuffled(members, shares(members), random)
        return ordered

    def rest(self, deployment: Deployment, seconds: float, now: float) -> None:
        """Leave `deployment` alone for `seconds`; of two ends the later one holds."""
        until = now + min(seconds, MAX_COOLDOWN)
        self._resting[deployment.id] = max(until, self._resting.get(deployment.id, 0.0))

    def earliest(self, group: Sequence[Deployment], now: float) -> float:
        """Seconds until the first resting member of `group` is awake again; 0 when one is."""
        return max(0.0, min(self._resting.get(deployment.id, 0.0) for deployment in group) - now)


def shares(members: Sequence[Deployment]) -> list[float]:
    """The proportions in which `members` are drawn."""
    if any(member.weight is not None for member in members):
        return [1.0 if member.weight is None else member.weight for member in members]
    for limits in ([member.rpm for member in members], [member.tpm for member in members]):
        if any(limits):
            # A member whose limit is not known gets the mean of those that are.
            known = [limit for limit in limits if limit]
            return [float(limit or sum(known) / len(known)) for limit in limits]
    return [1.0] * len(members)


def shuffled(
    members: Sequence[Deployment], weights: Sequence[float], random: Callable[[], float]
) -> list[Deployment]:
    """`members` in random order, each place drawn in proportion to `weights`.

    One random number per member: the member with the largest log(u) / weight comes first
    (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006). A weight of zero
    comes last, in the order given.
    """

    def key(weight: float) -> float:
        return math.log(1.0 - random()) / weight if weight > 0 else -math.inf

    keyed = [(key(weight), member) for weight, member in zip(weights, members, strict=True)]
    return [member for _, member in sorted(keyed, key=lambda pair: pair[0], reverse=True)]
