"""How an exchange with an upstream fails."""

from __future__ import annotations


class Unreachable(Exception):
    """No whole reply came. Raised as this class itself, no connection was made."""


class Torn(Unreachable):
    """The connection broke after the request was sent, or brought no HTTP. Upstream may have charged it."""


class Unanswered(Torn):
    """The connection was lost before a byte of the reply came."""


class TooLong(Torn):
    """The reply is longer than it may be. Its connection is closed."""


class Undecodable(Torn):
    """The reply is in a coding that is not known here, or not what its coding says."""


class TooSlow(Exception):
    """The reply or its next piece did not come in time."""
