"""Legacy completions: whole answers and streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator import filters
from simulator.calls import Call
from simulator.chat import results_before
from simulator.prompts import answer_tokens, text_of


class CompletionAnswer:
    """The answer to one completions call: decided once, sent whole or as a stream."""

    def __init__(self, call: Call) -> None:
        """Decide the text, one choice per prompt and wanted copy."""
        self.call = call
        prompts = prompts_of(call.body.get("prompt"))
        copies = call.body.get("n") or 1
        limit = 16 if call.max_tokens is None else call.max_tokens
        echo = call.body.get("echo") is True
        self.texts: list[list[str]] = []
        self.finish_reason = "stop"
        completion = 0
        for prompt in prompts:
            tokens = answer_tokens(
                prompt,
                fixed=call.deployment.answer,
                length=call.deployment.answer_tokens,
                where=call.deployment.name,
            )
            if len(tokens) > limit:
                tokens = tokens[:limit]
                self.finish_reason = "length"
            completion += len(tokens) * copies
            self.texts += [[prompt, *tokens] if echo and prompt else tokens] * copies
        if call.verdict.withheld is not None:
            self.finish_reason = "content_filter"
        self.usage = {
            "completion_tokens": completion,
            "prompt_tokens": call.prompt_tokens,
            "total_tokens": call.prompt_tokens + completion,
        }
        self.identity = {
            "created": int(call.now),
            "id": call.identifier("cmpl-"),
            "model": call.deployment.reply_model,
            "object": "text_completion",
        }

    def whole(self) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        withheld = self.call.verdict.withheld is not None
        document = {
            "choices": [
                self.choice(index, "" if withheld else "".join(text), self.finish_reason)
                for index, text in enumerate(self.texts)
            ],
            **self.identity,
            "usage": self.usage,
        }
        if self.call.annotates:
            document["prompt_filter_results"] = filters.prompt_results()
        return dict(sorted(document.items()))

    def stream(self) -> Iterator[tuple[bool, dict[str, Any]]]:
        """The events of a stream: finish_reason is null until each choice's last chunk."""
        withheld = self.call.verdict.withheld is not None
        annotated = not self.call.annotates
        for index, text in enumerate(self.texts):
            for token in text[: len(text) // 2] if withheld else text:
                event = self.frame([self.choice(index, token, None)])
                if not annotated:
                    event["prompt_filter_results"] = filters.prompt_results()
                    annotated = True
                yield True, event
            yield False, self.frame([self.choice(index, "", self.finish_reason)])
        if self.call.include_usage:
            yield False, self.frame([]) | {"usage": self.usage}

    def choice(self, index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
        """One choice, or what a chunk adds to it."""
        choice: dict[str, Any] = {}
        if self.call.annotates:
            results = self.call.verdict.completion_results()
            safe = results_before(self.call, results)
            choice["content_filter_results"] = safe if finish_reason is None else results
        return choice | {"finish_reason": finish_reason, "index": index, "logprobs": None, "text": text}

    def frame(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """What all chunks of a stream have in common."""
        event: dict[str, Any] = {"choices": choices, **self.identity}
        if self.call.include_usage:
            event["usage"] = None
        return event


def prompts_of(value: Any) -> list[str]:
    """The prompts of a request: strings, or lists of token numbers, which have no text here."""
    if not isinstance(value, list):
        return [text_of(value)]
    if value and isinstance(value[0], int):
        return [""]
    return [text_of(item) if isinstance(item, str) else "" for item in value] or [""]
