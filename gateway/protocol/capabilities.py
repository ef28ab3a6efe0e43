"""What models take, where that differs from what most of them do. Pure data, as of November 2026.

Sources, by the number of each row:

1. Azure OpenAI reasoning models, "API & feature support" and "Not supported"
   (https://learn.microsoft.com/azure/ai-foundry/openai/how-to/reasoning).
2. OpenAI, reasoning guide and pages of the models (https://platform.openai.com/docs/guides/reasoning).
3. Azure OpenAI models, and their retirements
   (https://learn.microsoft.com/azure/ai-foundry/openai/concepts/models, .../concepts/model-retirements).

A model is found by the name of its base model, with or without a provider before it and a version behind it.
What deployments are called says nothing: anybody may call them anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import msgspec


class Capabilities(msgspec.Struct, frozen=True):
    """What a model takes in the body of a chat."""

    #: Whether the length of an answer is bounded by `max_completion_tokens` only.
    renames_max_tokens: bool = False
    #: Whether it takes messages of the system and of the developer.
    system_messages: bool = True
    #: Whether it can stream.
    streams: bool = True
    #: Whether it completes texts and knows no messages.
    completes_texts: bool = False
    #: Fields that it refuses, and the one value of a field that it takes nevertheless, if there is one.
    refused: Mapping[str, float | None] = msgspec.field(default_factory=dict)
    #: Fields that some versions refuse: left out where fields may be, else upstream's to judge.
    doubtful: frozenset[str] = frozenset()

    def takes(self, name: str, value: object) -> bool:
        """Whether the model takes a field with this value; null is as good as none."""
        if value is None or name not in self.refused:
            return True
        only = self.refused[name]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return only is not None and number and value == only

    def __str__(self) -> str:
        """What differs from most models, in words."""
        words = [
            "max_completion_tokens" * self.renames_max_tokens,
            "no system messages" * (not self.system_messages),
            "no streams" * (not self.streams),
            "texts only" * self.completes_texts,
            " ".join(["refuses", *self.refused]) * bool(self.refused),
        ]
        return ", ".join(filter(None, words))


#: What most models take.
ORDINARY = Capabilities()

_NOT_FOR_REASONING: Mapping[str, float | None] = {
    "temperature": 1,
    "top_p": None,
    "presence_penalty": None,
    "frequency_penalty": None,
    "logprobs": None,
    "top_logprobs": None,
    "logit_bias": None,
}
REASONING = Capabilities(
    renames_max_tokens=True, refused=_NOT_FOR_REASONING, doubtful=frozenset(("parallel_tool_calls",))
)
_REASONING_WHOLE = Capabilities(
    renames_max_tokens=True, streams=False, refused=REASONING.refused, doubtful=REASONING.doubtful
)
_FIRST_REASONING = Capabilities(
    renames_max_tokens=True,
    system_messages=False,
    streams=False,
    refused=REASONING.refused,
    doubtful=REASONING.doubtful,
)
COMPLETES_TEXTS = Capabilities(completes_texts=True)

#: What LiteLLM writes before a deployment instead of naming its base model, and what is known of it then.
SERIES: Mapping[str, Capabilities] = {"o_series": _REASONING_WHOLE, "gpt5_series": REASONING}


class _Row(NamedTuple):
    """Models that take the same; the source is the number in the module's docstring."""

    names: str
    capabilities: Capabilities
    source: int


_ROWS = (
    # 2024-09-12. No messages of the system, no stream at Azure.
    _Row("o1-mini o1-preview", _FIRST_REASONING, 1),
    # 2024-12-17, 2025-03-19, 2025-06-10, 2025-10-06 and later.
    _Row("o1 o1-pro o3-pro gpt-5-pro gpt-5.2-pro gpt-5.4-pro gpt-5.5-pro", _REASONING_WHOLE, 1),
    # 2025-01-31 and 2025-04-16. (A stream of o3 needs a registration at Azure.)
    _Row("o3 o3-mini o4-mini o3-deep-research o4-mini-deep-research codex-mini", REASONING, 1),
    # 2025-08-07 to 2026.
    _Row("gpt-5 gpt-5-mini gpt-5-nano gpt-5-codex", REASONING, 1),
    _Row("gpt-5.1 gpt-5.1-chat gpt-5.1-codex gpt-5.1-codex-mini gpt-5.1-codex-max", REASONING, 1),
    _Row("gpt-5.2 gpt-5.2-chat gpt-5.2-codex gpt-5.3-chat gpt-5.3-codex", REASONING, 1),
    _Row("gpt-5.4 gpt-5.4-mini gpt-5.4-nano gpt-5.5 gpt-5.5-mini", REASONING, 1),
    # Does not reason, in spite of its name.
    _Row("gpt-5-chat", ORDINARY, 2),
    _Row("gpt-4o gpt-4o-mini gpt-4.1 gpt-4.1-mini gpt-4.1-nano gpt-4.5 chatgpt-4o", ORDINARY, 3),
    _Row("gpt-4 gpt-4-32k gpt-4-turbo gpt-4-vision gpt-3.5-turbo gpt-3.5-turbo-16k", ORDINARY, 3),
    _Row("gpt-3.5-turbo-instruct davinci-002 babbage-002", COMPLETES_TEXTS, 3),
)
_MODELS: Mapping[str, Capabilities] = {name: row.capabilities for row in _ROWS for name in row.names.split()}

#: Later members of families take what the family does until they are listed above.
_FAMILY = re.compile(r"(?:o[1-9]|gpt-[5-9])(?:\.\d+)?(?:-[a-z0-9]+)*", re.ASCII)

#: A version behind a name: 2024-12-17, 0613, 1106-preview, preview, latest.
_VERSION = re.compile(r"-(?:\d{4}-\d\d-\d\d(?:-preview)?|\d{4}(?:-preview)?|preview|latest)\Z", re.ASCII)


def model_name(base_model: str) -> str:
    """The name of a model without what may stand before it (`azure/`, `azure/eu/`), in OpenAI's spelling."""
    return base_model.strip().lower().rpartition("/")[2].replace("gpt-35-", "gpt-3.5-")


@cache
def _names() -> re.Pattern[str]:
    """Any known name, whole: the longest first, for one may begin like another."""
    names = "|".join(map(re.escape, sorted(_MODELS, key=len, reverse=True)))
    return re.compile(rf"(?<![a-z0-9.])(?:{names})(?![a-z0-9.])")


def namesake(deployment: str) -> str | None:
    """The model that a deployment is called after: the longest known name that stands whole within its own.

    Good for a question to whoever can answer it, never for deciding what a deployment is.
    """
    name = model_name(deployment)
    found = _names().findall(name)
    if not found and capabilities_of(name) is not None:
        found = [name]
    return max(found, key=len, default=None)


def capabilities_of(base_model: str) -> Capabilities | None:
    """What the model of this name takes; None where it is not known here."""
    name = model_name(base_model)
    bare = _VERSION.sub("", name)
    known = _MODELS.get(name) or _MODELS.get(bare)
    if known is None and _FAMILY.fullmatch(bare):
        known = _REASONING_WHOLE if bare.endswith("-pro") else REASONING
    return known


def answers_chats(model: object) -> bool:
    """Tell whether `model` names a known model, and none that completes texts."""
    known = capabilities_of(model) if isinstance(model, str) and model.strip() else None
    return known is not None and not known.completes_texts
