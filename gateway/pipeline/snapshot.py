"""What one configuration makes of the gateway: each request takes it once, and holds it to its end."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.auth.authenticator import Authenticator
from gateway.routing.dispatcher import Dispatcher
from gateway.routing.models import Models


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One generation. What outlives it (connections, tokens, ledgers) is behind the dispatcher."""

    authenticator: Authenticator
    models: Models
    dispatcher: Dispatcher
