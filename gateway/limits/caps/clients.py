"""Caps on clients: what one may use per minute, in all and of a single model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from gateway.config.access import ClientLimits, Limit
from gateway.limits.caps.cap import Cap, CapEntry
from gateway.limits.caps.strict_row import StrictNeed, short
from gateway.limits.ledger.view import View
from gateway.limits.tokens.answer_lengths import AnswerLengths
from gateway.limits.tokens.estimate import Estimate
from gateway.limits.tokens.outcome import Outcome, final_tokens
from gateway.limits.tokens.signals import Wait

Scope = Literal["client", "model"]

#: Beginning of the keys of clients' ledgers.
_CLIENT = "k:"
#: Caps from which on those that are not in use are forgotten.
MOST_CAPS = 5_000


class Refusal(msgspec.Struct, frozen=True):
    """A cap that a call would break, and the wait until it would not."""

    wait: Wait
    scope: Scope
    #: Whether the cap is strict.
    strict: bool = False


class TokenNeeds(NamedTuple):
    """What a call needs in a cap.

    `usual`: three of four answers of its model need no more. Most callers allow far more than they use;
    reserving all of that would hold a good part of a cap for nothing while calls are in flight, and what an
    answer uses beyond is counted when it ends. `most`: all that it may use, which a strict cap reserves.
    """

    usual: int
    most: int


class Admission(msgspec.Struct):
    """A call's places in its client's caps."""

    #: What must be reserved in rows of their own before the call is sent.
    strict: tuple[StrictNeed, ...] = ()
    places: list[tuple[Cap, CapEntry]] = msgspec.field(default_factory=list)
    #: Whether a cap is exceeded that refuses nothing.
    exceeded: bool = False
    open: bool = True

    def granted(self, times: Mapping[str, float]) -> None:
        """The strict rows count the call at `times`, by their keys."""
        for cap, entry in self.places:
            if cap.key in times:
                cap.granted(entry, times[cap.key])

    def corrections(self, outcome: Outcome) -> list[tuple[StrictNeed, int]]:
        """For each strict row the tokens by which the call's use differs from what it reserved there."""
        return [(need, final_tokens(outcome, need.tokens) - need.tokens) for need in self.strict]


class Clients:
    """The clients' caps, made when a client first calls."""

    def __init__(self, view: View) -> None:
        self._view = view
        #: By client and model ("" for all): the cap, and the limit that it was last given.
        self._caps: dict[tuple[str, str], tuple[Cap, Limit]] = {}
        self._tidy_at = MOST_CAPS

    def caps(self, client: str, model: str, limits: ClientLimits | None) -> list[tuple[Scope, Cap]]:
        """The caps that a call of `model` must respect."""
        found: list[tuple[Scope, Cap]] = []
        if limits is None:
            return found
        model_limit = limits.models.get(model)
        scopes: tuple[tuple[Scope, str, Limit | None], ...] = (
            ("client", "", limits.total),
            ("model", model, model_limit),
        )
        for scope, name, limit in scopes:
            if limit is None or (limit.rpm is None and limit.tpm is None):
                continue
            cap, given = self._caps.get((client, name)) or (self._new(client, name, limit), limit)
            if given is not limit:
                # Another configuration's. Its own requests and those of the one before may still alternate.
                cap.change(limit.rpm, limit.tpm, strict=limit.strict)
            self._caps[client, name] = cap, limit
            found.append((scope, cap))
        return found

    def _new(self, client: str, name: str, limit: Limit) -> Cap:
        key = _CLIENT + short(client) + (":" + short(name) if name else "")
        return Cap(key, limit.rpm, limit.tpm, self._view, strict=limit.strict)

    def _tidy(self, now: float) -> None:
        """Forget caps that nobody used for a minute: with limits for each user there may be very many."""
        self._caps = {key: entry for key, entry in self._caps.items() if entry[0].used(now) != (0, 0)}
        self._tidy_at = max(MOST_CAPS, 2 * len(self._caps))

    def beyond_share(self, client: str, model: str, limits: ClientLimits | None, now: float) -> bool:
        """Whether this instance must hear of the others before it admits more."""
        return any(cap.beyond_share(now) for _, cap in self.caps(client, model, limits))

    def admit(
        self,
        client: str,
        model: str,
        limits: ClientLimits | None,
        tokens: TokenNeeds,
        now: float,
        *,
        enforced: bool = True,
    ) -> Admission | Refusal:
        """Reserve `tokens` in all the caps, or in none. Where they are not `enforced`, in all in any case."""
        if len(self._caps) > self._tidy_at:
            self._tidy(now)
        caps = [
            (scope, cap, tokens.most if cap.strict else tokens.usual)
            for scope, cap in self.caps(client, model, limits)
        ]
        refusals = [
            Refusal(cap.wait(needed, now), scope, cap.strict)
            for scope, cap, needed in caps
            if cap.full(needed, now) is not None
        ]
        if refusals and enforced:
            # It fits when the last of them has room.
            return max(refusals, key=lambda refusal: refusal.wait.seconds)
        places = [(cap, cap.reserve(needed, now)) for _, cap, needed in caps]
        needs = tuple(
            StrictNeed(cap.key, cap.rpm, cap.tpm, cap.clipped(needed))
            for _, cap, needed in caps
            if cap.strict
        )
        return Admission(needs, places, exceeded=bool(refusals))

    def finish(self, admission: Admission, outcome: Outcome) -> None:
        """Count what the call used; once."""
        if admission.open:
            admission.open = False
            for cap, entry in admission.places:
                cap.settle(entry, final_tokens(outcome, entry.tokens))

    def release(self, admission: Admission) -> None:
        """The call was never sent; once."""
        if admission.open:
            admission.open = False
            for cap, entry in admission.places:
                cap.withdraw(entry)


def tokens_of(estimate: Estimate, lengths: AnswerLengths | None) -> TokenNeeds:
    """What a call needs, from its estimate and what is known of its model's answers."""
    usual, most = (0, 0) if lengths is None else (lengths.p75, lengths.p90)
    if estimate.completion is not None:
        usual, most = min(estimate.completion, usual), estimate.completion
    return TokenNeeds(estimate.prompt + usual, estimate.prompt + most)
