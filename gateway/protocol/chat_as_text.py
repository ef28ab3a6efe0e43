"""A chat for a model that completes texts: its messages as one prompt, the completion as a reply. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from gateway.errors import BadRequest
from gateway.protocol.body_edits import member_json
from gateway.protocol.emulated_stream import event as chunk_event
from gateway.protocol.json_body import Body, LargeValue, parse
from gateway.protocol.json_walk import MAX_BUILT, is_wide
from gateway.protocol.operation import Streaming
from gateway.protocol.operations import CHAT, COMPLETIONS
from gateway.protocol.sse import event_json

#: How the speakers are marked.
_SPEAKERS = {
    "system": "System",
    "developer": "System",
    "user": "User",
    "assistant": "Assistant",
    "tool": "Tool",
    "function": "Tool",
}
#: Fields of a chat that become others, and those without which the answer is the same.
_TAKEN = frozenset(("max_completion_tokens", "max_tokens", "messages", "metadata", "store"))
#: Values that ask for what is the case in any event.
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "response_format": ({"type": "text"},),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "tools": ([],),
    "functions": ([],),
    "logprobs": (False,),
    "parallel_tool_calls": (True, False),
}
#: Never left out: the answer would be another one.
_TOOLS = frozenset(("tools", "functions"))
#: Tokens of an answer whose length nobody bounds (the API's own default of 16 is for texts), of a context.
_ANSWER, _CONTEXT = 1024, 4096


def refusal(values: Mapping[str, Any], *, drop_params: bool) -> BadRequest | None:
    """Why a model that completes texts cannot answer this chat; None where it can.

    With `drop_params` what it does not know is left out, except tools.
    """
    name = next((each for each in _unknown(values) if each in _TOOLS or not drop_params), None)
    if name is not None:
        return BadRequest(
            f"Unsupported parameter: '{name}' is not supported with this model, which completes texts.",
            param=name,
            code="unsupported_parameter",
        )
    messages = values.get("messages")
    if isinstance(messages, LargeValue):
        return BadRequest(
            "The messages are longer than the context of this model, which completes texts.",
            param="messages",
            code="context_length_exceeded",
        )
    try:
        prompt_of(messages)
    except BadRequest as error:
        return error
    return None


def _unknown(values: Mapping[str, Any]) -> list[str]:
    """The fields of a chat that ask for something that is not known to such a model, in their order."""
    known = COMPLETIONS.body_fields
    return [
        name
        for name in values
        if name in CHAT.body_fields
        and name not in _TAKEN
        and (name not in known or name == "logprobs")
        and values[name] is not None
        and values[name] not in _PLAIN.get(name, ())
    ]


def prompt_of(messages: Any) -> str:
    """The prompt that says what `messages` do, each turn under its speaker's name. Raises BadRequest."""
    if messages is None:
        raise BadRequest(
            "Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter"
        )
    if not isinstance(messages, list) or not messages:
        raise BadRequest(
            "Invalid 'messages': expected an array of at least one message.",
            param="messages",
            code="empty_array" if messages == [] else "invalid_type",
        )
    turns = [_turn(message, f"messages[{place}]") for place, message in enumerate(messages)]
    return "\n\n".join((*turns, "Assistant:"))


def _turn(message: Any, path: str) -> str:
    role = message.get("role") if isinstance(message, dict) else None
    speaker = _SPEAKERS.get(role) if isinstance(role, str) else None
    if speaker is None:
        raise BadRequest(f"Invalid value: '{path}.role'.", param=f"{path}.role", code="invalid_value")
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    if len(texts) < len(parts) or not all(isinstance(text, str) for text in texts):
        raise BadRequest(
            "This model completes texts: the content of a message must be a text, or parts that are texts.",
            param=f"{path}.content",
            code="invalid_value",
        )
    return f"{speaker}: {''.join(map(str, texts))}"


def text_body(body: Body, configured: Mapping[str, Any]) -> Body:
    """The body of a completion for a chat's `body`, which `refusal` has passed.

    `configured` are fields that the configuration adds.
    """
    values = body.values
    left_out = {*_unknown(values), *_TAKEN, *_PLAIN}
    prompt = prompt_of(values["messages"])
    members = [("prompt", json.dumps(prompt).encode())]
    bounds = ("max_completion_tokens", "max_tokens")
    bound = next((name for name in bounds if values.get(name) is not None), None)
    if bound is not None:
        members.append(("max_tokens", member_json(body, bound)))
    elif not any(name in configured for name in bounds):
        # Hardly any text has more than a token for two characters.
        room = _CONTEXT - len(prompt) // 2
        members.append(("max_tokens", b"%d" % max(16, min(_ANSWER, room))))
    members += [(name, member_json(body, name)) for name in values if name not in left_out]
    inner = b",".join(json.dumps(name).encode() + b":" + value for name, value in members)
    return parse(b"{" + inner + b"}")


def chat_reply(body: bytes) -> bytes:
    """The chat reply that says what `body`, a whole completion, does; what is none stays as it is.

    So does one with more values than are built.
    """
    if is_wide(body, MAX_BUILT):
        return body
    try:
        reply = json.loads(body)
        choices = [_chat_choice(choice) for choice in reply["choices"]]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return body
    return json.dumps({**reply, "object": "chat.completion", "choices": choices}).encode()


def _chat_choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in choice.items() if name != "text"}
    text = (choice.get("text") or "").lstrip()
    return rest | {"message": {"role": "assistant", "content": text, "refusal": None}, "logprobs": None}


class ChatChunks:
    """Makes the events of one stream of completions into those of a chat."""

    __slots__ = ("_begun", "_spoken")

    def __init__(self) -> None:
        #: The choices that have their role, and those of whose text something was seen.
        self._begun: set[Any] = set()
        self._spoken: set[Any] = set()

    def __call__(self, event: bytes) -> bytes:
        """The chat's events for one event of a completion; what is none stays as it is."""
        chunk = event_json(event)
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            return event
        frame = {name: value for name, value in chunk.items() if name != "choices"}
        frame["object"] = "chat.completion.chunk"
        if not choices:
            return chunk_event({**frame, "choices": []})
        said = (one for choice in choices if isinstance(choice, dict) for one in self._chunks(choice))
        return b"".join([chunk_event({**frame, "choices": [one]}) for one in said])

    def _chunks(self, choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
        index = choice["index"] if isinstance(choice.get("index"), int) else 0
        rest = {name: value for name, value in choice.items() if name not in ("text", "finish_reason")}
        rest |= {"index": index, "logprobs": None}
        text, reason = choice.get("text"), choice.get("finish_reason")
        if index not in self._begun:
            self._begun.add(index)
            yield {**rest, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        if isinstance(text, str) and index not in self._spoken:
            text = text.lstrip()
        if isinstance(text, str) and text:
            self._spoken.add(index)
            yield {**rest, "delta": {"content": text}, "finish_reason": None}
        if reason is not None:
            yield {**rest, "delta": {}, "finish_reason": reason}


def _streaming() -> Streaming:
    texts, chat = COMPLETIONS.streaming, CHAT.streaming
    if texts is None or chat is None:
        raise TypeError("both operations stream")
    return replace(texts, keep_alive=chat.keep_alive, translation=ChatChunks)


#: The operation that is called where a chat is asked of a model that completes texts.
CHAT_AS_TEXT = replace(COMPLETIONS, repaired=chat_reply, streaming=_streaming())
