"""The members that a configuration names, by id; their state outlives it."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakValueDictionary

from gateway.config.deployment import Config
from gateway.limits.balancing.member import Member
from gateway.limits.ledger.view import View


class Members(dict[str, Member]):
    """Members by id, in the configuration's order.

    One that a new configuration leaves out is listed no more, but is found by its id as long as anybody holds
    it: a request that began before ends by its own configuration.
    """

    def __init__(self) -> None:
        super().__init__()
        self._removed: WeakValueDictionary[str, Member] = WeakValueDictionary()

    def __missing__(self, identity: str) -> Member:
        return self._removed[identity]

    def configuring(self, config: Config, view: View) -> Iterator[None]:
        """Take over another configuration, member by member: whoever keeps the id keeps the state.

        All change before the list does, so that it is whole at any time.
        """
        members: dict[str, Member] = {}
        for deployment in (each for group in config.models.values() for each in group):
            member = self.get(deployment.id) or self._removed.get(deployment.id)
            if member is None:
                member = Member(deployment, config, view)
            else:
                member.configure(deployment, config)
            members[deployment.id] = member
            yield
        for identity, member in self.items():
            if identity not in members:
                self._removed[identity] = member
        for identity in members:
            self._removed.pop(identity, None)
        self.clear()
        self.update(members)
