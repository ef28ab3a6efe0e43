"""Which deployment gets a call.

The rule, in one place:
* members that rest or were tried are left out, and so are those whose cap (if they have one) is full, or that
  have as many calls in flight as they may;
* of the lowest `order` in which any has room, one is drawn (`choice.draw`);
* where none has room as far as the ledger knows, the roomiest of the lowest order is tried nevertheless,
  unless replies have just confirmed that it is full: what refuses a client is what upstream said;
* then, twice at most, one that rests because a larger call was refused;
* where all rest, one that does so only because calls failed: it may work again, and nobody else will;
* else nobody, with the seconds until the first is back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from gateway.config.deployment import Deployment
from gateway.limits.balancing import room
from gateway.limits.balancing.choice import Choice, ChoiceReason, draw, shuffle
from gateway.limits.balancing.cooldown import LIMITS
from gateway.limits.balancing.member import Member
from gateway.limits.balancing.places import Waiter
from gateway.limits.caps.strict_row import StrictNeed, short
from gateway.limits.tokens.signals import Wait

#: Calls of one request at most to deployments that rest.
MAX_LAST_RESORTS = 2
#: A call this much smaller than one that was refused may still fit; and where the ledger knows the limiter's
#: minute, and has room.
_SMALL = 0.4
_SMALLER = 0.9
#: A deployment that is thought to be full is tried at least so often: only that tells when it is not.
_OVERFLOW_LEAST = 0.05


class Chooser:
    """Chooses among the members of a group."""

    def __init__(self, members: Mapping[str, Member], random: Callable[[], float]) -> None:
        self._members = members
        self._random = random
        #: Whatever was used (`simple-shuffle`).
        self.by_weights = False

    def choose(
        self,
        group: Sequence[Deployment],
        tokens: int,
        tried: Collection[str],
        now: float,
        *,
        last_resorts: int,
        waiter: Waiter | None = None,
    ) -> Choice:
        """The deployment for a call of `tokens`, or none. `last_resorts` went to members that rest.

        `waiter` is the call's own, where it has waited for a place.
        """
        ready, resting, busy = self._sorted(group, tried, now, waiter)
        fitting = _fitting(ready, tokens, now)
        if self.by_weights and (choice := self._shuffle(ready, tokens, now)):
            return choice
        if fitting:
            return _chosen(draw(fitting, self._random), ChoiceReason.ROOM, tokens, now)
        full = [member for member in ready if member.cap is None]
        full.sort(key=lambda member: (member.order, -member.score))
        for member in full:
            chance = max(_OVERFLOW_LEAST, room.chance(member, tokens, now))
            if chance >= 1 or self._random() < chance:
                return _chosen(member, ChoiceReason.OVERFLOW, tokens, now)
        if last_resorts < MAX_LAST_RESORTS and not self.by_weights:
            small = _small(resting, tokens, now)
            if small is not None:
                return _chosen(small, ChoiceReason.LAST_RESORT, tokens, now)
        failing = self._failing(group, resting, tokens, now)
        if failing:
            return _chosen(draw(failing, self._random), ChoiceReason.PANIC, tokens, now)
        if busy:
            return Choice(None, ChoiceReason.BUSY, tokens)
        return self._none(group, tried, tokens, now)

    def _sorted(
        self, group: Sequence[Deployment], tried: Collection[str], now: float, waiter: Waiter | None
    ) -> tuple[list[Member], list[Member], bool]:
        """Untried members with a free place, ready ones and resting ones; whether ready ones have none."""
        ready: list[Member] = []
        resting: list[Member] = []
        busy = False
        for deployment in group:
            if deployment.id in tried:
                continue
            member = self._members[deployment.id]
            rests = member.breaker.cooldown is not None and not member.allows(now)
            if member.places.free(waiter):
                (resting if rests else ready).append(member)
            elif not rests:
                busy = True
        return ready, resting, busy

    def _failing(
        self, group: Sequence[Deployment], resting: Sequence[Member], tokens: int, now: float
    ) -> list[Member]:
        """Those of `resting` that rest because calls failed, where all of the group rest.

        Envoy calls that panic: what is thought of all of them at once is not believed.
        """
        failing: list[Member] = []
        for member in resting:
            cooldown = member.breaker.cooldown
            if cooldown is None or cooldown.reason != "health":
                continue
            if member.measure(tokens, now, int(now)) or member.cap is None:
                failing.append(member)
        if not failing or any(self._members[each.id].breaker.cooldown is None for each in group):
            return []
        lowest = min(member.order for member in failing)
        return [member for member in failing if member.order == lowest]

    def _shuffle(self, ready: Sequence[Member], tokens: int, now: float) -> Choice | None:
        """By weights alone; caps hold."""
        allowed = [member for member in ready if member.fits or member.cap is None]
        if not allowed:
            return None
        lowest = min(member.order for member in allowed)
        member = shuffle([member for member in allowed if member.order == lowest], self._random)
        reason = ChoiceReason.ROOM if member.fits else ChoiceReason.OVERFLOW
        # Quotas have no say here.
        return _chosen(member, reason, tokens, now, steered=member.cap is not None)

    def _none(self, group: Sequence[Deployment], tried: Collection[str], tokens: int, now: float) -> Choice:
        """Nobody, and when somebody may answer again."""
        waits: dict[ChoiceReason, list[Wait]] = {}
        untried = False
        spent = True
        for deployment in group:
            member = self._members[deployment.id]
            untried = untried or deployment.id not in tried
            cooldown = member.breaker.cooldown
            spent = spent and cooldown is not None and cooldown.reason == "quota"
            resting = 0.0 if cooldown is None else max(0.0, cooldown.until - now)
            capped = Wait(0.0) if member.cap is None else member.cap.wait(tokens, now)
            if cooldown is not None:
                reason = ChoiceReason.LIMITED if cooldown.reason in LIMITS else ChoiceReason.UNHEALTHY
                longer = capped if capped.seconds > resting else Wait(resting, cooldown.kind)
                waits.setdefault(reason, []).append(longer)
            elif capped.seconds > 0:
                waits.setdefault(ChoiceReason.CAPPED, []).append(capped)
            elif deployment.id not in tried:
                waits.setdefault(ChoiceReason.LIMITED, []).append(room.room_in(member, tokens, now))
        limited = [*waits.get(ChoiceReason.LIMITED, []), *waits.get(ChoiceReason.CAPPED, [])]
        if limited:
            reason = ChoiceReason.LIMITED if ChoiceReason.LIMITED in waits else ChoiceReason.CAPPED
            return Choice(None, reason, tokens, min(limited, key=_seconds), retryable=not spent)
        reason = ChoiceReason.UNHEALTHY if untried else ChoiceReason.EXHAUSTED
        return Choice(
            None, reason, tokens, min(waits.get(ChoiceReason.UNHEALTHY, []), key=_seconds, default=None)
        )


def _fitting(ready: Sequence[Member], tokens: int, now: float) -> list[Member]:
    """Those of the lowest order in which any has room."""
    second = int(now)
    fitting: list[Member] = []
    lowest = 0
    for member in ready:
        if not member.measure(tokens, now, second):
            continue
        if not fitting or member.order < lowest:
            fitting, lowest = [member], member.order
        elif member.order == lowest:
            fitting.append(member)
    return fitting


def _seconds(wait: Wait) -> float:
    return wait.seconds


def _small(resting: Sequence[Member], tokens: int, now: float) -> Member | None:
    """The resting member that refused the largest call, if this one is small beside it and may fit."""
    best: Member | None = None
    largest = 0
    for member in resting:
        cooldown = member.breaker.cooldown
        if cooldown is None or cooldown.reason != "tokens" or cooldown.size <= largest:
            continue
        fits = member.measure(tokens, now, int(now))
        counted = fits and member.window.phase is not None
        if cooldown.size * (_SMALLER if counted else _SMALL) < tokens:
            continue
        if fits or (member.cap is None and room.small_may_fit(member, tokens)):
            best, largest = member, cooldown.size
    return best


def _chosen(member: Member, reason: ChoiceReason, tokens: int, now: float, *, steered: bool = True) -> Choice:
    unasked = (ChoiceReason.LAST_RESORT, ChoiceReason.PANIC)
    if member.breaker.cooldown is not None and reason not in unasked:
        reason = ChoiceReason.PROBE
    cap = member.cap
    if cap is None or not cap.strict:
        sync_first = steered and reason is ChoiceReason.ROOM and member.beyond_share(now)
        return Choice(member.deployment, reason, tokens, sync_first=sync_first)
    need = StrictNeed("u" + short(member.deployment.id), cap.rpm, cap.tpm, cap.clipped(tokens))
    return Choice(member.deployment, reason, tokens, strict=need)
