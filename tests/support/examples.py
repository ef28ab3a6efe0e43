"""How many examples a property is tried with."""

from __future__ import annotations

from hypothesis import settings

#: What the profile of the whole suite tries where a test does not say more.
_WHOLE = 100


def examples(count: int) -> settings:
    """`count` examples in the whole suite, and in the same proportion fewer in a quick profile (`make unit`)."""
    return settings(max_examples=max(3, count * settings.default.max_examples // _WHOLE))
