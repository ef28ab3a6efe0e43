"""The content filter: its annotations, and the marks in a prompt that trigger it.

`[[filter:hate]]`              the prompt is refused with a 400
`[[filter-out:violence]]`      the answer is withheld: finish_reason content_filter
`[[filter-out-bare:violence]]` the same, and the choice has no `message`
`[[filter-down]]`              the filter is out of order: content_filter_error
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from simulator.prompts import prompt_texts
from simulator.reply import Refusal, compact

SAFE = {"filtered": False, "severity": "safe"}
#: Categories that are found or not, without a degree.
DETECTED = ("jailbreak", "indirect_attack", "profanity", "protected_material_text", "protected_material_code")
CATEGORIES = ("hate", "self_harm", "sexual", "violence")

TRIGGER = re.compile(r"\[\[(filter|filter-out|filter-out-bare|filter-down)(?::(\w+))?\]\]")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the filter makes of a request."""

    #: Category that withholds the answer.
    withheld: str | None = None
    #: Whether the withheld choice lacks its message.
    bare: bool = False
    #: The filter does not work.
    down: bool = False

    def completion_results(self) -> dict[str, Any]:
        """`content_filter_results` of an answer's text."""
        if self.down:
            return {
                "error": {"code": "content_filter_error", "message": "The contents are not filtered"},
            }
        results: dict[str, Any] = dict.fromkeys(CATEGORIES, SAFE)
        if self.withheld is not None:
            results[self.withheld] = found(self.withheld)
        return results


def found(category: str) -> dict[str, Any]:
    """The result of a category that filters."""
    if category in DETECTED:
        return {"detected": True, "filtered": True}
    return {"filtered": True, "severity": "high"}


def judge(prompt: str) -> Verdict:
    """The verdict on a prompt by the marks in it; raises Refusal for a blocked prompt."""
    match = TRIGGER.search(prompt)
    if match is None:
        return Verdict()
    mark, category = match.group(1), match.group(2) or "hate"
    if mark == "filter":
        raise blocked_prompt(category)
    if mark == "filter-down":
        return Verdict(down=True)
    return Verdict(withheld=category, bare=mark == "filter-out-bare")


def judge_body(body: dict[str, Any]) -> Verdict:
    """The verdict on all text of a request; raises Refusal for a blocked prompt."""
    return judge("\n".join(prompt_texts(body)))


def prompt_results() -> list[dict[str, Any]]:
    """`prompt_filter_results` of a harmless prompt."""
    results = {
        "hate": SAFE,
        "jailbreak": {"detected": False, "filtered": False},
        "self_harm": SAFE,
        "sexual": SAFE,
        "violence": SAFE,
    }
    return [{"prompt_index": 0, "content_filter_results": results}]


def blocked_prompt(category: str) -> Refusal:
    """The 400 for a prompt that the filter refuses."""
    results: dict[str, Any] = {
        "hate": SAFE,
        "jailbreak": {"filtered": False, "detected": False},
        "self_harm": SAFE,
        "sexual": SAFE,
        # As recorded: a prompt refused for one category is seldom spotless in the others.
        "violence": {"filtered": False, "severity": "low"},
    }
    results[category] = found(category)
    inner = {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management "
        "policy. Please modify your prompt and retry. To learn more about our content filtering policies "
        "please read our documentation: https://go.microsoft.com/fwlink/?linkid=2198766",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": results},
    }
    return Refusal(400, compact({"error": inner}), code="content_filter")
