"""What instances tell each other beside their ledgers: rests, upstream's own counts, models of limiters.

A row holds an instance's own news, a roll-up everybody's. What comes in is checked like any input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.limits.balancing import cooldown
from gateway.limits.balancing.cooldown import Gate, Rest
from gateway.limits.balancing.member import Member
from gateway.limits.tokens.signals import COOLDOWN_LONGEST

_RESTS, _SEEN, _MODELS, _UNABLE = "c", "o", "m", "n"
#: Moments are told in hundredths of a second.
_HUNDREDTHS = 100


def tell(members: Mapping[str, Member], now: float, *, everything: bool) -> dict[str, Any]:
    """What to tell now; of what upstream said, the news since the last time or `everything` still of use."""
    rests: dict[str, Any] = {}
    seen: dict[str, Any] = {}
    models: dict[str, Any] = {}
    unable: dict[str, Any] = {}
    for identity, member in members.items():
        rest = member.gate.rest
        if rest is not None and rest.until > now:
            rests[identity] = rest.packed()
        if operations := {name: rest.packed() for name, rest in member.unable_to(now).items()}:
            unable[identity] = operations
        if (model := member.window.packed()) is not None:
            models[identity] = model
        told = member.observed.values() if everything else member.untold
        if told:
            seen[identity] = [each for at, used in told for each in (int(at * _HUNDREDTHS), used)]
    notes = {_RESTS: rests, _SEEN: seen, _MODELS: models, _UNABLE: unable}
    return {name: note for name, note in notes.items() if note}


def hear(members: Mapping[str, Member], notes: Mapping[str, Any], now: float, *, rests: bool) -> None:
    """Take over what another instance told; its rests only where `rests`."""
    for identity, value in _items(notes.get(_RESTS)) if rests else ():
        member = members.get(identity)
        rest = cooldown.unpack(value, now)
        if member is None or rest is None or not _taken(member.gate, rest, now):
            continue
        if rest.reason == "tokens" and rest.until - rest.issued < COOLDOWN_LONGEST:
            member.window.named(rest.until)
    for identity, operations in _items(notes.get(_UNABLE)) if rests else ():
        for operation, value in _items(operations):
            rest = cooldown.unpack(value, now)
            if identity in members and rest is not None:
                _taken(members[identity].unable.setdefault(operation, Gate()), rest, now)
    for identity, value in _items(notes.get(_MODELS)):
        if identity in members:
            members[identity].window.adopt(value)
    for identity, value in _items(notes.get(_SEEN)):
        member = members.get(identity)
        if member is None or not isinstance(value, list) or any(type(each) is not int for each in value):
            continue
        for at, used in zip(value[::2], value[1::2], strict=False):
            member.heard(at / _HUNDREDTHS, used, now)


def _taken(gate: Gate, rest: Rest, now: float) -> bool:
    """Take over another instance's rest. Returns whether it is news."""
    gate.mend(now)
    return gate.take(rest)


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    return value.items() if isinstance(value, Mapping) else ()
