"""How much of a limit one instance may use up before it looks what the others did meanwhile.

A view of the others wears out with time, and with what this instance sends: of calls that come all at once
the first instance to send them would take the whole limit, and the others would find nothing left.
"""

from __future__ import annotations

from gateway.limits.view import View

#: Calls that need not wait whatever the limit is. Steady traffic sends fewer within the age of a view.
_FREE = 4
#: Instances that a limit is divided by at least: another may have begun since.
_SHARES = 2


class Spending:
    """What this instance has sent of one limit since it last heard of the others."""

    __slots__ = ("_heard", "_requests", "_tokens", "_view")

    def __init__(self, view: View) -> None:
        self._view = view
        self._heard = -1
        self._requests = 0
        self._tokens = 0

    def add(self, tokens: int) -> None:
        """A call is sent."""
        if self._heard != self._view.heard:
            self._heard = self._view.heard
            self._requests = self._tokens = 0
        self._requests += 1
        self._tokens += tokens

    def beyond(self, rpm: int | None, tpm: int | None) -> bool:
        """Whether that is this instance's share of a limit (of `rpm` and `tpm`; None and 0 limit nothing)."""
        if self._requests < _FREE or self._heard != self._view.heard:
            return False
        shares = max(_SHARES, self._view.instances)
        return bool((rpm and self._requests * shares >= rpm) or (tpm and self._tokens * shares >= tpm))
