"""The members that a configuration names, by id, and those that its wildcards have brought about."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakValueDictionary

from gateway.config.deployment import Config, Deployment
from gateway.config.wildcards import again
from gateway.limits.balancing.member import Member
from gateway.limits.ledger.view import View

#: Members of wildcards that are kept; beyond it, whichever was longest not called is forgotten.
MOST_FILLED = 500


class Members(dict[str, Member]):
    """Members by id, in the configuration's order; after them what callers' names made of wildcards.

    One that a new configuration leaves out is listed no more, but is found by its id as long as anybody holds
    it: a request that began before ends by its own configuration.
    """

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view = view
        self._removed: WeakValueDictionary[str, Member] = WeakValueDictionary()
        #: Ids of members of wildcards, the latest called last.
        self._filled: dict[str, None] = {}

    def __missing__(self, identity: str) -> Member:
        return self._removed[identity]

    def find(self, identity: str) -> Member | None:
        """The member with this id, if there is one."""
        return self.get(identity) or self._removed.get(identity)

    def ensure(self, deployment: Deployment, config: Config) -> None:
        """Have a member for a deployment that a wildcard stands for."""
        identity = deployment.id
        member = self.get(identity)
        if member is None:
            self[identity] = Member(deployment, config, self._view)
        elif member.deployment is not deployment and member.deployment == deployment:
            # Made anew from the same entry: calls of it teach as before.
            member.deployment = deployment
        self._filled.pop(identity, None)
        self._filled[identity] = None
        while len(self._filled) > MOST_FILLED:
            self.forget(next(iter(self._filled)))

    def forget(self, identity: str) -> None:
        """Keep a wildcard's member no longer than those who call it."""
        member = self._take_out(identity)
        if member is not None:
            self._view.release(member.charge_key)
            self._view.release(member.usage_key)

    def drop(self, identity: str) -> None:
        """Forget a wildcard's member that upstream does not have; whoever else is calling it does so later.

        Callers make such names up, so nothing of them may stay.
        """
        member = self.get(identity)
        if member is not None and member.places.taken == 0:
            self._take_out(identity)
            self._view.drop(member.charge_key)
            self._view.drop(member.usage_key)

    def _take_out(self, identity: str) -> Member | None:
        self._filled.pop(identity, None)
        member = self.pop(identity, None)
        if member is not None:
            self._removed[identity] = member
        return member

    def configuring(self, config: Config) -> Iterator[None]:
        """Take over another configuration, member by member: whoever keeps the id keeps the state.

        All change before the list does, so that it is whole at any time.
        """
        members: dict[str, Member] = {}
        for deployment in (each for group in config.models.values() for each in group):
            member = self.find(deployment.id)
            if member is None:
                member = Member(deployment, config, self._view)
            else:
                member.configure(deployment, config)
            members[deployment.id] = member
            yield
        for identity, deployment in self._filled_by(members):
            member = self[identity]
            member.configure(deployment, config)
            members[identity] = member
        for identity, member in self.items():
            if identity not in members:
                self._removed[identity] = member
        for identity in members:
            self._removed.pop(identity, None)
        self._filled = {identity: None for identity in self._filled if identity in members}
        self.clear()
        self.update(members)

    def _filled_by(self, entries: dict[str, Member]) -> list[tuple[str, Deployment]]:
        """What `entries` make of the names that wildcards have served so far."""
        found = []
        for identity in self._filled:
            old = self[identity].deployment
            entry = entries.get(identity.removesuffix(f":{old.name}"))
            deployment = None if entry is None else again(old, entry.deployment)
            if deployment is not None and deployment.id == identity:
                found.append((identity, deployment))
        return found
