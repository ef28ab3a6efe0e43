"""The simulator's own routes, below `/__`: no key needed.

GET  /__log       the requests so far, oldest first; ?after=N leaves out those up to number N
GET  /__stats     how many requests were served
POST /__faults    {"deployment": NAME, "account": NAME (where ambiguous), "faults": [...]}: replaces its queue
POST /__clock     {"now": SECONDS} or {"advance": SECONDS}, with the manual clock
POST /__reset     back to the beginning: log, limits, faults and numbering, not the clock
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from simulator.clock import Clock, ManualClock
from simulator.faults import Fault, FaultQueue
from simulator.journal import Journal
from simulator.places import Place
from simulator.reply import compact
from simulator.wire import Exchange


class Administered(Protocol):
    """What is read and changed here of a running simulator."""

    clock: Clock
    journal: Journal
    #: Account and deployment to what stands there.
    places: Mapping[tuple[str, str], Place]
    requests: int

    def reset(self) -> None:
        """Forget the log, limits, faults and numbering."""


class FaultScript(BaseModel):
    """Body of POST /__faults."""

    model_config = ConfigDict(extra="forbid")

    deployment: str
    #: Needed where several accounts have a deployment of that name.
    account: str | None = None
    faults: list[Fault]


class ClockChange(BaseModel):
    """Body of POST /__clock."""

    model_config = ConfigDict(extra="forbid")

    #: Seconds since the Unix epoch.
    now: float | None = None
    #: Seconds to move on by.
    advance: float = 0


class AdminError(ValueError):
    """The request for the simulator itself is wrong; the text says how."""


class Administration:
    """Reads and changes a running simulator."""

    def __init__(self, simulator: Administered) -> None:
        """`simulator` is the one looked after."""
        self.simulator = simulator

    async def serve(self, exchange: Exchange, path: str) -> None:
        """Answer one request."""
        body = await exchange.body()
        status = 200
        try:
            document = json.loads(body) if body else {}
            reply = self.act(exchange.method, path, exchange.target.decode("latin-1"), document)
        except ValueError as error:
            status, reply = 400, {"error": str(error)}
        data = compact(reply)
        lines = [("Content-Type", "application/json"), ("Content-Length", str(len(data)))]
        exchange.write(exchange.head(status, lines) + data)
        exchange.finish()

    def act(self, method: str, path: str, target: str, document: Any) -> Any:
        """Do what is asked; raises AdminError."""
        simulator = self.simulator
        match method, path:
            case "GET", "/__log":
                after = int(target.partition("after=")[2] or 0)
                return [entry.document() for entry in simulator.journal.entries if entry.number > after]
            case "GET", "/__stats":
                return {"requests": simulator.requests}
            case "POST", "/__faults":
                script = FaultScript.model_validate(document)
                self.script(script.deployment, script.faults, script.account)
            case "POST", "/__clock":
                self.set_clock(ClockChange.model_validate(document))
            case "POST", "/__reset":
                simulator.reset()
            case _:
                raise AdminError(f"no such route: {method} {path}")
        return {"ok": True}

    def script(self, deployment: str, faults: list[Fault], account: str | None = None) -> None:
        """Replace the fault queue of a deployment; raises AdminError if it is unknown or ambiguous."""
        found = [
            place
            for (owner, name), place in self.simulator.places.items()
            if name == deployment and account in (None, owner)
        ]
        if len(found) != 1:
            known = ", ".join(f"{owner}/{name}" for owner, name in self.simulator.places)
            raise AdminError(f"{len(found)} deployments are called {deployment}; there are {known}")
        found[0].faults = FaultQueue(faults)

    def set_clock(self, change: ClockChange) -> None:
        """Set or move the manual clock; raises AdminError if the clock is the computer's."""
        clock = self.simulator.clock
        if not isinstance(clock, ManualClock):
            raise AdminError("the clock is the system's; configure `clock: manual`")
        if change.now is not None:
            clock.seconds = change.now
        clock.advance(change.advance)
