"""One call of a deployment, as it is counted until it ends."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.limits.balancing.choice import ChoiceReason
from gateway.limits.balancing.member import Member
from gateway.limits.caps.cap import Cap, CapEntry
from gateway.limits.caps.strict_row import StrictNeed
from gateway.limits.tokens.outcome import Outcome, final_tokens


class Reservation(msgspec.Struct):
    """A call that was sent, as it is counted."""

    member: Member
    reason: ChoiceReason
    #: Tokens that the call may use, what was charged for it, and when.
    size: int
    tokens: int
    at: float
    #: Whether its end decides on a rest of the deployment, or on one from this operation.
    probe: bool
    operation_probe: bool
    cap: Cap | None
    place: CapEntry | None
    strict: StrictNeed | None
    operation: str
    #: The member's when it was sent; what is of another generation teaches nothing.
    generation: int
    answered: bool = False
    open: bool = True

    def granted(self, times: Mapping[str, float]) -> None:
        """The strict row counts the call at `times`, by its key."""
        if self.strict is not None and self.strict.key in times and self.place and self.cap:
            self.cap.granted(self.place, times[self.strict.key])

    def corrections(self, outcome: Outcome) -> list[tuple[StrictNeed, int]]:
        """The tokens by which the call's use differs from what it reserved in a strict row."""
        need = self.strict
        return [] if need is None else [(need, final_tokens(outcome, need.tokens) - need.tokens)]
