"""What one configuration makes of the gateway: each request takes it once, and holds it to its end."""

from __future__ import annotations

import msgspec

from gateway.auth.authenticator import Authenticator
from gateway.routing.dispatcher import Dispatcher
from gateway.routing.models import Models


class Snapshot(msgspec.Struct, frozen=True):
    """One generation. What outlives it (connections, tokens, ledgers) is behind the dispatcher."""

    authenticator: Authenticator
    models: Models
    dispatcher: Dispatcher
