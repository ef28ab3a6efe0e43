"""What instances tell each other beside their ledgers: rests, upstream's own counts, models of limiters.

A row holds an instance's own news, a roll-up everybody's. What comes in is checked like any input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.limits.balancing.cooldown import CircuitBreaker, Cooldown, in_force, unpack, unpack_end
from gateway.limits.balancing.member import Member
from gateway.limits.tokens.signals import COOLDOWN_LONGEST

_COOLDOWNS, _SEEN, _MODELS, _OPERATIONS, _ENDS = "c", "o", "m", "n", "e"
#: Stands for all operations among those whose rests have ended.
_ALL = ""
#: Moments are told in hundredths of a second.
_HUNDREDTHS = 100
#: The last moment that a row may tell (in the year 2286), and the most tokens of a minute.
_LATEST = 10_000_000_000 * _HUNDREDTHS
_USED_LIMIT = 10**12
#: Most operations of one member that rows may name: more than there are.
_OPERATIONS_LIMIT = 32


def encode(members: Mapping[str, Member], now: float, *, everything: bool) -> dict[str, Any]:
    """What to tell now; of what upstream said, the news since the last time or `everything` still of use."""
    cooldowns: dict[str, Any] = {}
    seen: dict[str, Any] = {}
    models: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    ends: dict[str, Any] = {}
    for identity, member in members.items():
        cooldown = member.breaker.cooldown
        if cooldown is not None and cooldown.until > now:
            cooldowns[identity] = cooldown.packed()
        if member.operation_breakers and (by_operation := in_force(member.operation_breakers, now)):
            operations[identity] = {name: each.packed() for name, each in by_operation.items()}
        if over := _ends(member, now):
            ends[identity] = over
        if (model := member.window.packed()) is not None:
            models[identity] = model
        observations = member.observations
        told = observations.waiting.values() if everything else observations.untold
        if told:
            seen[identity] = [each for at, used in told for each in (int(at * _HUNDREDTHS), used)]
    notes = {_COOLDOWNS: cooldowns, _SEEN: seen, _MODELS: models, _OPERATIONS: operations, _ENDS: ends}
    return {name: note for name, note in notes.items() if note}


def _ends(member: Member, now: float) -> dict[str, list[float]]:
    """The rests of a member that a call has just ended, by operation."""
    found = {}
    if (end := member.breaker.end(now)) is not None:
        found[_ALL] = end.packed()
    for operation, breaker in member.operation_breakers.items():
        if (end := breaker.end(now)) is not None:
            found[operation] = end.packed()
    return found


def apply(members: Mapping[str, Member], notes: Mapping[str, Any], now: float, *, cooldowns: bool) -> None:
    """Take over what another instance told; its cooldowns only where `cooldowns`."""
    for identity, value in _items(notes.get(_COOLDOWNS)) if cooldowns else ():
        member = members.get(identity)
        cooldown = unpack(value, now)
        if member is None or cooldown is None or not _taken(member.breaker, cooldown, now):
            continue
        if cooldown.reason == "tokens" and cooldown.until - cooldown.issued < COOLDOWN_LONGEST:
            member.window.named(cooldown.until)
    for identity, by_operation in _items(notes.get(_OPERATIONS)) if cooldowns else ():
        for operation, value in _items(by_operation):
            cooldown = unpack(value, now)
            if identity not in members or cooldown is None:
                continue
            breakers = members[identity].operation_breakers
            if operation in breakers or len(breakers) < _OPERATIONS_LIMIT:
                _taken(breakers.setdefault(operation, CircuitBreaker()), cooldown, now)
    for identity, by_operation in _items(notes.get(_ENDS)) if cooldowns else ():
        for operation, value in _items(by_operation):
            end = unpack_end(value, now)
            member = members.get(identity)
            if member is None or end is None:
                continue
            breaker = member.breaker if operation == _ALL else member.operation_breakers.get(operation)
            if breaker is not None:
                breaker.adopt_end(end)
    for identity, value in _items(notes.get(_MODELS)):
        if identity in members:
            members[identity].window.adopt(value)
    for identity, value in _items(notes.get(_SEEN)):
        member = members.get(identity)
        if member is None or not isinstance(value, list) or any(type(each) is not int for each in value):
            continue
        for at, used in zip(value[::2], value[1::2], strict=False):
            if abs(at) <= _LATEST and 0 <= used <= _USED_LIMIT:
                member.observations.heard(at / _HUNDREDTHS, used, now)


def _taken(breaker: CircuitBreaker, cooldown: Cooldown, now: float) -> bool:
    """Take over another instance's cooldown. Returns whether it is news."""
    breaker.forget_future(now)
    return breaker.adopt(cooldown)


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    return value.items() if isinstance(value, Mapping) else ()
