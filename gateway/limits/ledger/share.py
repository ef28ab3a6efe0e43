"""How much of a limit one instance may use up before it looks what the others did meanwhile.

A view of the others wears out with time, and with what this instance sends: of calls that come all at once
the first instance to send them would take the whole limit, and the others would find nothing left.

A quota is looked after when an instance has sent its share of it. A cap is held: there it is looked when
nothing would be left if each of the others had sent as much as this instance since it last heard of them.
"""

from __future__ import annotations

from gateway.limits.ledger.view import View

#: Calls that need not wait whatever the limit is. Steady traffic sends fewer within the age of a view.
_FREE = 4
#: Instances that a limit is divided by at least: another may have begun since.
_SHARES = 2


class Share:
    """What this instance has sent of one limit since it last heard of the others."""

    __slots__ = ("_heard", "_requests", "_tokens", "_told", "_view")

    def __init__(self, view: View) -> None:
        self._view = view
        self._heard = -1
        self._requests = 0
        self._tokens = 0
        self._told = False

    def add(self, tokens: int) -> None:
        """A call is sent."""
        self._listen()
        self._requests += 1
        self._tokens += tokens

    def _listen(self) -> None:
        if self._heard != self._view.heard:
            self._heard = self._view.heard
            self._requests = self._tokens = 0
            self._told = False

    def beyond(self, rpm: int | None, tpm: int | None) -> bool:
        """Whether that is this instance's share of a limit (of `rpm` and `tpm`; None and 0 limit nothing)."""
        self._listen()
        if self._requests < _FREE:
            return False
        shares = max(_SHARES, self._view.instances)
        return bool((rpm and self._requests * shares >= rpm) or (tpm and self._tokens * shares >= tpm))

    def may_fill(self, requests: int | None, tokens: int | None) -> bool:
        """Whether the others, sending as much as this instance, have filled the room there was.

        `requests` and `tokens` are left as far as is known; None: without limit.
        """
        self._listen()
        return self._fills(1, requests, tokens)

    def should_tell(self, requests: int | None, tokens: int | None) -> bool:
        """Whether they might if they sent twice as much: they should know before they look. True once."""
        self._listen()
        if self._told or not self._fills(2, requests, tokens):
            return False
        self._told = True
        return True

    def _fills(self, times: int, requests: int | None, tokens: int | None) -> bool:
        others = times * (self._view.instances - 1)
        # What is full already needs no news.
        return (requests is not None and 0 < requests <= self._requests * others) or (
            tokens is not None and 0 < tokens <= self._tokens * others
        )
