"""One instance's limits, as the rest of the gateway sees them: choose, count, share, report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from gateway.config.access import ClientLimits
from gateway.config.deployment import Config, Deployment
from gateway.config.patterns import STAR
from gateway.limits.balancing import notes as notes_of
from gateway.limits.balancing import report
from gateway.limits.balancing.choice import Choice, ChoiceReason
from gateway.limits.balancing.choosing import Chooser
from gateway.limits.balancing.counting import Counting
from gateway.limits.balancing.member import Member
from gateway.limits.balancing.members import Members
from gateway.limits.balancing.places import Waiter
from gateway.limits.balancing.report import DeploymentState, Remaining
from gateway.limits.balancing.reservation import Reservation
from gateway.limits.caps.clients import Admission, Clients, Refusal, tokens_of
from gateway.limits.ledger.rows import Row
from gateway.limits.ledger.view import View
from gateway.limits.tokens.answer_lengths import AnswerLengths
from gateway.limits.tokens.estimate import Estimate
from gateway.limits.tokens.outcome import Outcome
from gateway.limits.tokens.signals import RateLimits, Wait

__all__ = ["MAX_TRIES", "Balancer", "Reservation"]

#: Deployments that one request tries at most.
MAX_TRIES = 4


class Balancer:
    """The limits of all deployments and clients, in one instance."""

    def __init__(self, config: Config, instance: str, random: Callable[[], float]) -> None:
        """`instance` is 6 to 16 of 0-9a-z, another one for every process; `random` gives [0, 1)."""
        self._view = View(instance)
        self._members = Members(self._view)
        self._lengths: dict[str, AnswerLengths] = {}
        self._chooser = Chooser(self._members, random)
        self._counting = Counting(config, self._members, self._lengths, self._view)
        self._clients = Clients(self._view)
        self._second = 0
        #: Whether deployments may be made of names that clients ask for.
        self._wild = False
        self._config = config
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Take over another configuration at once."""
        for _ in self.configuring(config):
            pass

    def configuring(self, config: Config) -> Iterator[None]:
        """Take over another configuration in short steps, between which calls may go on.

        Members keep their state by id. One that is left out belongs to the calls that began before, as long
        as they hold `members`.
        """
        yield from self._members.configuring(config)
        self._config = config
        for name in config.models:
            self._lengths.setdefault(name, AnswerLengths())
        self._chooser.by_weights = config.shuffle
        # Calls that began under an earlier configuration may still have such deployments.
        self._wild = self._wild or any(STAR in name for name in config.models)
        self._counting.configure(config)
        self._shares_cooldowns = not config.disable_cooldowns

    @property
    def members(self) -> tuple[Member, ...]:
        """The members of the configuration in force, in its order."""
        return tuple(self._members.values())

    # Choosing and counting

    def choose(
        self,
        group: Sequence[Deployment],
        estimate: Estimate,
        tried: Collection[str],
        now: float,
        *,
        operation: str = "chat",
        last_resorts: int = 0,
        waiter: Waiter | None = None,
    ) -> Choice:
        """The next deployment of `group` for a call of `operation`; ids in `tried` are left out.

        `last_resorts` is how many of this request's choices had that reason. `waiter` is what `wait` gave it.
        """
        if int(now) != self._second:
            self._tick(now)
        tokens = estimate.prompt
        if estimate.completion is not None:
            tokens += estimate.completion
        elif group:
            tokens += self._lengths[group[0].model_name].p90
        if self._wild and any(each.parts is not None for each in group):
            group = self._made(group, tried)
        able = [each for each in group if self._members[each.id].serves(operation, now)]
        if group and not able:
            back = min(self._members[each.id].back_at(operation) for each in group)
            return Choice(None, ChoiceReason.UNHEALTHY, tokens, Wait(max(0.0, back - now)))
        choice = self._chooser.choose(able, tokens, tried, now, last_resorts=last_resorts, waiter=waiter)
        for each in able:
            if choice.deployment is not None and each.id == choice.deployment.id:
                # The request's own, which a later configuration may have changed.
                own = each is choice.deployment and waiter is None
                return choice if own else replace(choice, deployment=each, waiter=waiter)
        return choice

    def _made(self, group: Sequence[Deployment], tried: Collection[str]) -> Sequence[Deployment]:
        """`group` without what was found not to be there; what else wildcards made of it has members."""
        for each in group:
            if each.parts is not None and each.id not in tried:
                self._members.ensure(each, self._config)
        return [each for each in group if self._members.find(each.id) is not None]

    def wait(self, group: Sequence[Deployment], tried: Collection[str], wake: Callable[[], None]) -> Waiter:
        """Wait for a place at one of `group` that is not in `tried`: then `wake` is called.

        The place is kept until the call is sent, or the waiter closed.
        """
        members = (self._members.find(each.id) for each in group if each.id not in tried)
        return Waiter(wake, [member.places for member in members if member is not None])

    def reserve(self, choice: Choice, now: float, *, operation: str = "chat") -> Reservation:
        """Count a call of `operation` that is about to be sent to the chosen deployment."""
        return self._counting.reserve(choice, operation, now)

    def answered(self, reservation: Reservation, limits: RateLimits | None, now: float) -> None:
        """The head of a good reply is there. Only the first time counts."""
        self._counting.answered(reservation, limits, now)

    def settle(self, reservation: Reservation, outcome: Outcome, now: float, *, judged: bool = True) -> bool:
        """The call ended. Only the first time counts. Returns whether it is to be learnt from later.

        `judged` False: only the end of its request tells whose fault this was.
        """
        return self._counting.settle(reservation, outcome, now, judged=judged)

    def learn(self, reservation: Reservation, outcome: Outcome, now: float, *, request: int) -> None:
        """What a call that was settled says about its deployment. `request` tells requests apart."""
        self._counting.learn(reservation, outcome, now, request=request)

    def drop(self, deployment: Deployment) -> None:
        """A caller's name made a deployment of a wildcard that is not there."""
        self._members.drop(deployment.id)

    def withdraw(self, reservation: Reservation, now: float) -> None:
        """The call was never sent. Only the first time counts."""
        self._counting.withdraw(reservation, now)

    # Clients

    def admit(
        self,
        client: str,
        model: str,
        limits: ClientLimits | None,
        estimate: Estimate,
        now: float,
        *,
        enforced: bool = True,
    ) -> Admission | Refusal:
        """Reserve a call in its client's caps, or say which of them is full; `enforced` False only counts."""
        tokens = tokens_of(estimate, self._lengths.get(model))
        return self._clients.admit(client, model, limits, tokens, now, enforced=enforced)

    def beyond_share(self, client: str, model: str, limits: ClientLimits | None, now: float) -> bool:
        """Whether this instance must hear of the others before it admits more of a client's calls."""
        return self._clients.beyond_share(client, model, limits, now)

    def finish(self, admission: Admission, outcome: Outcome) -> None:
        """The call ended: count what it used."""
        self._clients.finish(admission, outcome)

    def release(self, admission: Admission) -> None:
        """The call was never sent."""
        self._clients.release(admission)

    def client_remaining(
        self, client: str, model: str, limits: ClientLimits | None, now: float
    ) -> Remaining | None:
        """What a client has left of its narrowest caps; None where it has none."""
        caps = [cap for _, cap in self._clients.caps(client, model, limits)]
        return report.of_caps(caps, now) if caps else None

    def client_state(self, client: str, limits: ClientLimits, now: float) -> Mapping[str, Remaining]:
        """What a client has left of each of its caps, by model; "" stands for all models together."""
        found = {"": self._clients.caps(client, "", limits)}
        found |= {name: self._clients.caps(client, name, limits)[-1:] for name in limits.models}
        return {name: report.of_caps([cap for _, cap in caps], now) for name, caps in found.items()}

    # Reporting

    def remaining(self, group: Sequence[Deployment], now: float) -> Remaining:
        """What is left of a model's limits, all its deployments together."""
        members = [member for each in group if (member := self._members.find(each.id)) is not None]
        # Of a wildcard's deployment nothing may be known yet.
        return (
            report.of_members(members, now)
            if len(members) == len(group)
            else Remaining(None, None, None, None)
        )

    def state(self, now: float) -> list[DeploymentState]:
        """All deployments, in the configuration's order."""
        return [report.state(member, self._view, now) for member in self._members.values()]

    # Sharing

    @property
    def dirty(self) -> bool:
        """Whether there is anything to write."""
        return self._view.dirty

    def rows(self, now: float) -> list[Row]:
        """The rows to write: those changed since their last confirmed write."""
        if not self._view.dirty:
            return []
        found = self._view.rows(now, notes_of.encode(self._members, now, everything=False))
        for member in self._members.values():
            member.observations.untold.clear()
        return found

    def written(self, row: Row) -> None:
        """A row is stored."""
        self._view.written(row)

    def first_page(self, now: float) -> int:
        """The first page that a refresh must read."""
        return self._view.first_page(now)

    def merge(self, rows: Iterable[Row], now: float) -> None:
        """Take in the rows of a read that began at `now`."""
        for contents in self._view.merge(rows, now):
            notes_of.apply(self._members, contents.notes, now, cooldowns=self._shares_cooldowns)

    @property
    def unreadable(self) -> int:
        """Rows so far that could not be read."""
        return self._view.unreadable

    @property
    def instances(self) -> int:
        """How many instances wrote the rows that are known, this one included."""
        return self._view.instances

    @property
    def flush_now(self) -> bool:
        """Whether it should be written at once."""
        return self._view.flush_now

    def near_full(self, now: float) -> bool:
        """Whether a cap is so near its end that others' calls matter one by one."""
        return self._view.near_full(now)

    @property
    def wants_rollup(self) -> bool:
        """Whether the last read had so many rows that their sum should be read instead."""
        return self._view.wants_rollup

    def rollup(self, now: float) -> str:
        """The text of the roll-up row."""
        return self._view.rollup(now, notes_of.encode(self._members, now, everything=True))

    def merge_rollup(self, text: str, now: float) -> bool:
        """Take in a roll-up. True where it is fresh: then no other read is needed."""
        notes = self._view.merge_rollup(text, now)
        if notes is None:
            return False
        notes_of.apply(self._members, notes, now, cooldowns=self._shares_cooldowns)
        return True

    def _tick(self, now: float) -> None:
        """Once a second at most: forget what is over, and let members look at what they have seen."""
        self._second = int(now)
        self._view.tidy(now)
        for member in self._members.values():
            member.tick(self._second)
