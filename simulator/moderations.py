"""Moderations: a category is flagged where its name is in the text."""

from __future__ import annotations

from typing import Any

from simulator.calls import Call
from simulator.prompts import text_of

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
FLAGGED, CLEAN = 0.97, 0.0001


def moderate(call: Call) -> dict[str, Any]:
    """The body of a moderations answer."""
    return {
        "id": f"modr-{call.random.getrandbits(40):010x}",
        "model": call.deployment.model,
        "results": [judge(text_of(item)) for item in inputs_of(call.body["input"])],
    }


def inputs_of(value: Any) -> list[Any]:
    """The inputs that are judged: one text, each of several, or the parts of one input together."""
    if isinstance(value, str) or (value and isinstance(value[0], dict)):
        return [value]
    return list(value)


def judge(text: str) -> dict[str, Any]:
    """The result for one input."""
    found = {name: name in text for name in CATEGORIES}
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": {name: FLAGGED if found[name] else CLEAN for name in CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }
