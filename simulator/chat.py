"""Chat: whole answers and streams, key by key as Azure sends them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator import filters
from simulator.calls import Call
from simulator.prompts import answer_tokens, last_user_text, structured_answer, tokens_of, tool_call

#: Tokens that a reasoning model spends on thought.
REASONING_TOKENS = 64

#: Order of keys at OpenAI's platform, whose answers hold no filter annotations.
PLATFORM_KEYS = (
    "id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint",
    "obfuscation",
)  # fmt: skip
PLATFORM_CHOICE_KEYS = ("index", "message", "delta", "logprobs", "finish_reason")

#: Filter annotations of a stream whose filter runs beside it cover the text in two stretches.
OFFSETS = ("check_offset", "start_offset", "end_offset")


class ChatAnswer:
    """The answer to one chat call: decided once, sent whole or as a stream."""

    def __init__(self, call: Call) -> None:
        """Decide text or tool call, finish reason and usage."""
        self.call = call
        self.tool = tool_call(call.body)
        self.tokens = tokens_of(self.tool[1]) if self.tool else text_tokens(call)
        limit = call.max_tokens
        reasoning = REASONING_TOKENS if call.deployment.reasoning else 0
        self.finish_reason = "tool_calls" if self.tool else "stop"
        if limit is not None and len(self.tokens) + reasoning > limit:
            self.tokens = self.tokens[: max(0, limit - reasoning)]
            reasoning = min(reasoning, limit)
            self.finish_reason = "length"
        if call.verdict.withheld is not None:
            self.finish_reason = "content_filter"
        self.count = call.body.get("n") or 1
        self.usage = usage(call.prompt_tokens, len(self.tokens) * self.count + reasoning, reasoning)
        self.identity = {
            "created": int(call.now),
            "id": call.identifier("chatcmpl-"),
            "model": call.deployment.reply_model,
            "system_fingerprint": f"fp_{call.random.getrandbits(40):010x}",
        }
        self.call_id = call.identifier("call_", 24)

    def whole(self) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        document = {
            "choices": [self.whole_choice(index) for index in range(self.count)],
            **self.identity,
            "object": "chat.completion",
            "usage": self.usage,
        }
        if self.call.platform:
            return platform_form(document | {"service_tier": "default"})
        if self.call.deployment.content_filter != "off":
            document["prompt_filter_results"] = filters.prompt_results()
        return dict(sorted(document.items()))

    def whole_choice(self, index: int) -> dict[str, Any]:
        """One choice of an answer that is not streamed."""
        call = self.call
        choice: dict[str, Any] = {}
        if not call.platform and call.deployment.content_filter != "off":
            choice["content_filter_results"] = call.verdict.completion_results()
        choice |= {"finish_reason": self.finish_reason, "index": index, "logprobs": None}
        if call.verdict.bare:
            return choice
        withheld = call.verdict.withheld is not None
        message: dict[str, Any] = {
            "annotations": [],
            "content": None if self.tool else "" if withheld else "".join(self.tokens),
            "refusal": None,
            "role": "assistant",
        }
        if self.tool and not withheld:
            function = {"arguments": "".join(self.tokens), "name": self.tool[0]}
            message["tool_calls"] = [{"function": function, "id": self.call_id, "type": "function"}]
        choice["message"] = message
        return choice

    def stream(self) -> Iterator[tuple[bool, dict[str, Any]]]:
        """The events of a stream, each with whether it carries a token."""
        for is_token, event in self.events():
            yield is_token, platform_form(event) if self.call.platform else event

    def events(self) -> Iterator[tuple[bool, dict[str, Any]]]:
        """The events in Azure's form and order, as recorded."""
        call = self.call
        if call.annotates:
            yield False, first_chunk()
        indexes = range(self.count)
        for index in indexes:
            yield False, self.chunk(index, self.opening_delta(), {})
        results = call.verdict.completion_results()
        # What is withheld is noticed halfway.
        shown = self.tokens if call.verdict.withheld is None else self.tokens[: len(self.tokens) // 2]
        for token in shown:
            for index in indexes:
                yield True, self.chunk(index, self.token_delta(token), results_before(call, results))
        yield from self.ending(sum(map(len, shown)), results)
        if call.include_usage:
            event = self.frame([], obfuscation="")
            event["usage"] = self.usage
            yield False, event

    def ending(self, length: int, results: dict[str, Any]) -> Iterator[tuple[bool, dict[str, Any]]]:
        """The chunks that end each choice, filter annotations of their own included."""
        call = self.call
        beside = not call.platform and call.deployment.content_filter == "async"
        if beside and call.verdict.withheld is not None:
            for index in range(self.count):
                yield False, annotation(index, "content_filter", results, (0, length))
            return
        if beside:
            for index in range(self.count):
                yield False, annotation(index, None, results, (0, length // 2))
        final = results if call.verdict.withheld is not None else {}
        for index in range(self.count):
            yield False, self.chunk(index, {}, final, self.finish_reason)
        if beside:
            # The filter's last word comes when the model has long finished.
            for index in range(self.count):
                yield False, annotation(index, None, results, (length // 2, length))

    def opening_delta(self) -> dict[str, Any]:
        """What the first chunk of a choice adds."""
        if self.tool is None:
            return {"content": "", "refusal": None, "role": "assistant"}
        function = {"arguments": "", "name": self.tool[0]}
        tool = {"function": function, "id": self.call_id, "index": 0, "type": "function"}
        return {"content": None, "refusal": None, "role": "assistant", "tool_calls": [tool]}

    def token_delta(self, token: str) -> dict[str, Any]:
        """What a further chunk adds."""
        if self.tool is None:
            return {"content": token}
        return {"tool_calls": [{"function": {"arguments": token}, "index": 0}]}

    def chunk(
        self, index: int, delta: dict[str, Any], results: dict[str, Any], finish_reason: str | None = None
    ) -> dict[str, Any]:
        """One chunk with a choice."""
        choice: dict[str, Any] = {"content_filter_results": results} if self.call.annotates else {}
        choice |= {"delta": delta, "finish_reason": finish_reason, "index": index, "logprobs": None}
        length = self.call.random.randrange(1, 17)
        return self.frame([choice], obfuscation=self.call.identifier("", length))

    def frame(self, choices: list[dict[str, Any]], *, obfuscation: str) -> dict[str, Any]:
        """What all chunks of a stream have in common, keys in alphabetical order."""
        identity = self.identity
        event = {
            "choices": choices,
            "created": identity["created"],
            "id": identity["id"],
            "model": identity["model"],
            "obfuscation": obfuscation,
            "object": "chat.completion.chunk",
            "system_fingerprint": identity["system_fingerprint"],
        }
        if self.call.include_usage:
            event["usage"] = None
        return event


def text_tokens(call: Call) -> list[str]:
    """The pieces of a text answer."""
    deployment = call.deployment
    structured = structured_answer(call.body)
    return answer_tokens(
        last_user_text(call.body),
        fixed=deployment.answer if structured is None else structured,
        length=deployment.answer_tokens if structured is None else None,
        where=deployment.name,
    )


def results_before(call: Call, results: dict[str, Any]) -> dict[str, Any]:
    """Annotations of the text before the place that is withheld: all is safe."""
    return results if call.verdict.withheld is None else filters.Verdict().completion_results()


def usage(prompt: int, completion: int, reasoning: int) -> dict[str, Any]:
    """Token counts with their details."""
    return {
        "completion_tokens": completion,
        "completion_tokens_details": {
            "accepted_prediction_tokens": 0,
            "audio_tokens": 0,
            "reasoning_tokens": reasoning,
            "rejected_prediction_tokens": 0,
        },
        "prompt_tokens": prompt,
        "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 0},
        "total_tokens": prompt + completion,
    }


def first_chunk() -> dict[str, Any]:
    """The chunk without identity that opens an Azure stream with the prompt's annotations."""
    return {
        "choices": [],
        "created": 0,
        "id": "",
        "model": "",
        "object": "",
        "prompt_filter_results": filters.prompt_results(),
    }


def annotation(
    index: int, finish_reason: str | None, results: dict[str, Any], stretch: tuple[int, int]
) -> dict[str, Any]:
    """A chunk without text that annotates a stretch of it (asynchronous filter)."""
    start, end = stretch
    choice = {
        "index": index,
        "finish_reason": finish_reason,
        "content_filter_results": results,
        "content_filter_offsets": dict(zip(OFFSETS, (start, start, end), strict=True)),
    }
    return {"id": "", "object": "", "created": 0, "model": "", "choices": [choice]}


def platform_form(document: dict[str, Any]) -> dict[str, Any]:
    """The same answer as OpenAI's platform writes it."""
    form = {key: document[key] for key in PLATFORM_KEYS if key in document}
    form["choices"] = [
        {key: choice[key] for key in PLATFORM_CHOICE_KEYS if key in choice} for choice in form["choices"]
    ]
    if "usage" in document:
        form["usage"] = document["usage"]
    return form
