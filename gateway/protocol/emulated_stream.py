"""The events of a stream, made of a whole chat reply: for models that cannot stream. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.protocol.json_walk import MAX_BUILT, is_wide
from gateway.protocol.sse import DONE

#: What every chunk has of the reply.
_IDENTITY = ("id", "created", "model", "system_fingerprint", "service_tier")
#: Characters of one piece of a text, and most pieces of one.
_PIECE = 48
_MOST_PIECES = 256
#: Members of a message that are sent in chunks of their own.
_SPOKEN = frozenset(("content", "refusal", "tool_calls", "function_call"))
#: Members of a choice that are what a chunk is about.
_OWN = frozenset(("index", "message", "finish_reason", "logprobs"))


def event(chunk: Mapping[str, Any]) -> bytes:
    """A chunk as an event."""
    return b"data: " + json.dumps(chunk, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def events_of(body: bytes, *, usage: bool) -> list[bytes]:
    """The events of a stream that says what `body`, a whole chat reply, does.

    For each choice there is a chunk with the role, at least two with its text, one and more for each call of
    a tool, and one with the finish_reason alone. A chunk with the usage follows, and `[DONE]`. `usage`: the
    others have a `usage` of null, as where a client asks for it. What a filter found stays: of the prompt
    beside the first chunk, of a choice beside each chunk that says something. Raises ValueError, LookupError,
    TypeError or AttributeError for what is no reply, or holds too many values.
    """
    if is_wide(body, MAX_BUILT):
        raise ValueError("too many values")
    reply = json.loads(body)
    identity = {name: reply[name] for name in _IDENTITY if name in reply}
    frame = {**identity, "object": "chat.completion.chunk"} | ({"usage": None} if usage else {})
    beside = {
        name: value
        for name, value in reply.items()
        if name not in frame and name not in ("choices", "usage", *_IDENTITY)
    }
    events = []
    for choice in reply["choices"]:
        for said in _choice_chunks(choice):
            events.append(event({**frame, "choices": [said], **beside}))
            beside = {}
    if isinstance(reply.get("usage"), dict):
        events.append(event({**frame, "choices": [], "usage": reply["usage"]}))
    return [*events, DONE]


def _choice_chunks(choice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What the chunks of one choice say, in their order."""
    message = choice.get("message") or {}
    index = choice.get("index", 0)
    results = {name: value for name, value in choice.items() if name not in _OWN}
    logprobs = choice.get("logprobs")

    def chunk(delta: dict[str, Any], reason: Any = None, **more: Any) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason} | more

    text = message.get("content")
    others = {name: value for name, value in message.items() if name not in _SPOKEN}
    yield chunk({"role": "assistant", "content": "" if isinstance(text, str) else text, **others})
    deltas = list(_deltas(message))
    for place, delta in enumerate(deltas):
        yield chunk(delta, **results, **({} if place else {"logprobs": logprobs}))
    yield chunk({}, choice.get("finish_reason"), **results)


def _deltas(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a message adds to its role, piece by piece."""
    for name in ("content", "refusal"):
        if isinstance(message.get(name), str):
            yield from ({name: piece} for piece in _pieces(message[name]))
    for place, call in enumerate(message.get("tool_calls") or ()):
        kind = next((name for name in ("function", "custom") if isinstance(call.get(name), dict)), None)
        if kind is None:
            yield {"tool_calls": [{**call, "index": place}]}
            continue
        given = "arguments" if kind == "function" else "input"
        yield {"tool_calls": [{**call, "index": place, kind: {**call[kind], given: ""}}]}
        yield from (
            {"tool_calls": [{"index": place, kind: {given: piece}}]}
            for piece in _pieces(call[kind].get(given) or "")
        )
    if isinstance(function := message.get("function_call"), dict):
        yield {"function_call": {**function, "arguments": ""}}
        yield {"function_call": {"arguments": function.get("arguments") or ""}}


def _pieces(text: str) -> Iterator[str]:
    """A text in pieces: two at least where it has two characters, and not very many."""
    size = max(_PIECE, -(-len(text) // _MOST_PIECES))
    size = min(size, -(-len(text) // 2)) or 1
    return (text[start : start + size] for start in range(0, len(text), size))
