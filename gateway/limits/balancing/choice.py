"""The draw: which of several members with room gets the next call. Pure; randomness is an argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto

import msgspec

from gateway.config.deployment import Deployment
from gateway.limits.balancing.member import Member
from gateway.limits.balancing.places import Waiter
from gateway.limits.caps.strict_row import StrictNeed
from gateway.limits.tokens.signals import Wait


class ChoiceReason(Enum):
    """Why a deployment was chosen, or why none was."""

    ROOM = auto()
    #: The ledger says full; only upstream knows.
    OVERFLOW = auto()
    #: It rests because a larger call was refused; this one may fit.
    LAST_RESORT = auto()
    #: It rests until a call succeeds, and this one is to find out.
    PROBE = auto()
    #: All rest, and this one only because calls failed: better than nobody.
    PANIC = auto()
    #: None: upstream's limits.
    LIMITED = auto()
    #: None: the operator's caps.
    CAPPED = auto()
    #: None: as many calls are in flight as may be.
    BUSY = auto()
    #: None: all that were not tried are out of order.
    UNHEALTHY = auto()
    #: None: all were tried.
    EXHAUSTED = auto()


class Choice(msgspec.Struct, frozen=True):
    """The deployment to call; None with the time after which it is worth while to come back."""

    deployment: Deployment | None
    reason: ChoiceReason
    tokens: int
    wait: Wait | None = None
    #: False: waiting does not help, every deployment for the call has spent a quota of more than a minute.
    retryable: bool = True
    #: What must be reserved in a row of its own before the call is sent.
    strict: StrictNeed | None = None
    #: This instance has sent its share of the limit: it should look first what the others did meanwhile.
    sync_first: bool = False
    #: Whose place the call takes.
    waiter: Waiter | None = None


def draw(members: Sequence[Member], random: Callable[[], float]) -> Member:
    """One of `members`, which all have room.

    Where an operator set weights, by them alone: that is how canaries are done. Else two different ones
    drawn in proportion to their limits, and of these the one with more room per second until it renews:
    room that expires first is used first, and the draw keeps instances from all taking the same one.
    """
    if len(members) == 1:
        return members[0]
    if any(member.weight is not None for member in members):
        weights = [1.0 if member.weight is None else member.weight for member in members]
        return members[pick(weights, random)]
    weights = sizes(members)
    first = pick(weights, random)
    if len(members) == 2:
        second = 1 - first
    else:
        weights[first] = 0.0
        second = pick(weights, random, but=first)
    one, other = members[first], members[second]
    return other if other.score > one.score else one


def shuffle(members: Sequence[Member], random: Callable[[], float]) -> Member:
    """One of `members` at random by weights, else by rpm, else by tpm, else evenly: `simple-shuffle`."""
    if any(member.weight is not None for member in members):
        weights = [1.0 if member.weight is None else member.weight for member in members]
    else:
        deployments = [member.deployment for member in members]
        rpm = [float(deployment.rpm or 0) for deployment in deployments]
        tpm = [float(deployment.tpm or 0) for deployment in deployments]
        weights = filled(rpm if any(rpm) else tpm)
    return members[pick(weights, random)]


def sizes(members: Sequence[Member]) -> list[float]:
    """The limits of `members`; one that is not known is the mean of the others."""
    return filled([member.size for member in members])


def filled(values: list[float]) -> list[float]:
    """`values` with the mean in the place of zeros; ones where all are zero."""
    if all(values):
        return values
    known = [value for value in values if value]
    mean = sum(known) / len(known) if known else 1.0
    return [value or mean for value in values]


def pick(weights: Sequence[float], random: Callable[[], float], *, but: int | None = None) -> int:
    """A place drawn in proportion to `weights`, evenly where all are zero; never `but`."""
    total = sum(weights)
    if total <= 0:
        places = [place for place in range(len(weights)) if place != but]
        return places[min(int(random() * len(places)), len(places) - 1)]
    point = random() * total
    chosen = -1
    for place, weight in enumerate(weights):
        if weight <= 0:
            continue
        chosen = place
        point -= weight
        if point < 0:
            break
    return chosen
