"""One call of an operation, with all that its answer depends on."""

from __future__ import annotations

import random
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from simulator.config import Account, Deployment
from simulator.filters import Verdict
from simulator.prompts import count_tokens, prompt_characters
from simulator.reply import compact

ID_LETTERS = string.ascii_letters + string.digits


@dataclass(slots=True)
class Call:
    """A request that has passed all checks."""

    account: Account
    deployment: Deployment
    body: dict[str, Any]
    verdict: Verdict
    #: Seconds since the Unix epoch.
    now: float
    #: The call's own randomness, so that concurrent calls do not disturb each other.
    random: random.Random

    @property
    def platform(self) -> bool:
        """Whether OpenAI's platform answers, which has no content filter annotations."""
        return self.account.kind == "openai"

    @property
    def annotates(self) -> bool:
        """Whether filter annotations stand beside the text."""
        return not self.platform and self.deployment.content_filter == "sync"

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt, at least one."""
        return max(1, count_tokens(prompt_characters(self.body)))

    @property
    def max_tokens(self) -> int | None:
        """The bound on the answer's length, if the request sets one."""
        value = self.body.get("max_completion_tokens")
        return self.body.get("max_tokens") if value is None else value

    @property
    def include_usage(self) -> bool:
        """Whether a stream is to report its usage."""
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    def identifier(self, prefix: str, length: int = 29) -> str:
        """A new id such as `chatcmpl-...`."""
        return prefix + "".join(self.random.choices(ID_LETTERS, k=length))

    def whole_s(self, tokens: int) -> float:
        """Seconds until an answer of so many tokens is complete."""
        return self.first_s() + sum(self.token_s() for _ in range(tokens))

    def first_s(self) -> float:
        """Seconds until the first byte of a stream."""
        return self.random.uniform(*self.deployment.latency.first_ms) / 1000

    def token_s(self) -> float:
        """Seconds a token takes."""
        low, high = self.deployment.latency.token_ms
        return self.random.uniform(low, high) / 1000 if high else 0


def paced(call: Call, events: Iterable[tuple[bool, dict[str, Any]]]) -> Iterator[tuple[float, bytes]]:
    """Server-sent events of a stream with the pause before each, [DONE] at the end.

    Only events that carry a token take time; with bursts the first of each takes it for all.
    """
    burst = call.deployment.latency.burst
    tokens = 0
    for is_token, event in events:
        pause = 0.0
        if is_token:
            if tokens % burst == 0:
                pause = sum(call.token_s() for _ in range(burst))
            tokens += 1
        yield pause, b"data: %b\n\n" % compact(event)
    yield 0.0, b"data: [DONE]\n\n"
