"""What becomes of LiteLLM's keys that do nothing here: accepted with a warning, or refused.

A key is refused when a LiteLLM proxy would have denied, limited or hidden something because of it and this
gateway would not: an operator who moves a configuration over must not lose a protection in silence.
Everything else that has no effect is accepted, and named in a warning. A refused key that is switched off
(false, null, an empty list) asks for nothing and is accepted too. The keys are in `litellm_keys`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.config.litellm_keys import (
    ACCEPTED,
    BESIDE,
    BY_NAME,
    CLOSED,
    MONEY,
    OBSERVERS,
    OBSERVING,
    OPEN_BAG,
    REFUSED_ROWS,
    TELLING,
    Row,
)
from gateway.config.problems import WHOLE


def _by_key(rows: tuple[Row, ...]) -> dict[str, str]:
    return {key: sentence for sentence, keys in rows for key in keys.split()}


#: Section -> key accepted without effect -> what that means for clients.
WITHOUT_EFFECT: Mapping[str, Mapping[str, str]] = {
    section: _by_key(rows) for section, rows in ACCEPTED.items()
}

#: Section -> key -> why it is refused, and what to do.
REFUSED: Mapping[str, Mapping[str, str]] = {section: _by_key(rows) for section, rows in REFUSED_ROWS.items()}

_SWITCHED_OFF = "It is switched off, so it asks for nothing."
_NO_LIMIT = "Every route that is served here is among them."

#: LiteLLM's names of prices, of which there are many.
_PRICE = re.compile(r"(^|_)cost(_|$)|^tiered_pricing$|_uplift_multiplier$")

#: LiteLLM's callbacks that only observe; any other one may be a guard.
_OBSERVERS = frozenset(OBSERVING.split())
_OF_OBSERVERS = tuple(f"{name}_" for name in _OBSERVERS)

_TELLING = frozenset(TELLING.split())
_WORDS = _TELLING | frozenset(BESIDE.split())
#: The sections of which LiteLLM passes over what it does not know.
_OPEN_SECTIONS = (WHOLE, "router_settings", "litellm_settings", "general_settings")

#: LiteLLM's names for sets of routes that hold all that are served here.
_ALL_ROUTES = frozenset(("openai_routes", "llm_api_routes"))


def meaning(section: str, key: str) -> str | None:
    """What it means for clients that this key of LiteLLM has no effect; None where it is not accepted."""
    found = WITHOUT_EFFECT.get(section, {}).get(key)
    if found is None and section == "litellm_params" and _PRICE.search(key):
        return MONEY
    return OPEN_BAG if found is None and section == "model_info" else found


def meaning_by_name(section: str, key: str, value: Any) -> str | None:
    """What it means that a key has no effect which is in no table; None where it may be meant to protect.

    People write many keys that LiteLLM does not have, and it passes over them. A misspelt word is in no list.
    """
    if section == "litellm_params":
        return OPEN_BAG if key.startswith("supports_") else None
    if section not in _OPEN_SECTIONS:
        return None
    # A list of what is allowed would keep others out.
    if section == "general_settings" and key.startswith("allow_") and isinstance(value, bool):
        return CLOSED
    if section != WHOLE and key.startswith(_OF_OBSERVERS):
        return OBSERVERS
    words = set(key.split("_"))
    return BY_NAME if words <= _WORDS and words & _TELLING else None


def weakens(key: str, value: Any) -> bool:
    """Tell whether leaving out this key of `REFUSED`, with this value, would leave something unprotected."""
    if not value:
        # A budget or limit of zero forbids everything, which is a protection; other empty values ask nothing.
        return isinstance(value, int | float) and not isinstance(value, bool)
    names = value if isinstance(value, list) else [value]
    if key == "callbacks":
        return not all(isinstance(name, str) and name in _OBSERVERS for name in names)
    if key == "allowed_routes":
        return not any(isinstance(name, str) and name in _ALL_ROUTES for name in names)
    return True


def harmless(key: str, value: Any) -> str:
    """What it means that this key of `REFUSED` has no effect, with a value that `weakens` nothing."""
    if not value:
        return _SWITCHED_OFF
    return OBSERVERS if key == "callbacks" else _NO_LIMIT
