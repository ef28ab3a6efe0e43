"""The text of requests and answers, without a tokenizer: a token is four characters in, one word out."""

from __future__ import annotations

import json
import math
import re
from typing import Any

WORDS = (
    "the", "gateway", "forwards", "every", "request", "to", "one", "of", "its", "deployments", "and",
    "relays", "what", "it", "answers", "while", "a", "second", "region", "waits", "until", "it", "is",
    "needed",
)  # fmt: skip

#: A word with the space before it, or a run of other space.
TOKEN = re.compile(r" ?\S+|\s+")

#: Levels of a schema that an example value goes down to.
MAX_DEPTH = 8

#: Seen in a prompt: answer with a call of the first tool.
TOOL_MARK = "[[tool]]"


def prompt_texts(body: dict[str, Any]) -> list[str]:
    """All texts of a prompt: messages, prompt or input, whatever its form."""
    if "messages" in body:
        return [text_of(message.get("content")) for message in as_messages(body["messages"])]
    return [text_of(body.get("prompt", body.get("input")))]


def prompt_characters(body: dict[str, Any]) -> int:
    """Characters of a prompt; a token given by number counts as four."""
    value = body.get("prompt", body.get("input"))
    numbers = count_numbers(value) if isinstance(value, list) else 0
    return sum(map(len, prompt_texts(body))) + 4 * numbers


def count_numbers(values: list[Any]) -> int:
    """Token numbers in a list or a list of lists."""
    return sum(
        count_numbers(value) if isinstance(value, list) else isinstance(value, int) for value in values
    )


def last_user_text(body: dict[str, Any]) -> str:
    """The text of the last message."""
    messages = as_messages(body.get("messages"))
    return text_of(messages[-1].get("content")) if messages else ""


def as_messages(value: Any) -> list[dict[str, Any]]:
    """The messages that are objects; none where there is no list."""
    return [message for message in value if isinstance(message, dict)] if isinstance(value, list) else []


def text_of(content: Any) -> str:
    """The text in a content: a string, or the text parts and strings of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(text for text in map(text_of, content) if text)
    if isinstance(content, dict):
        return text_of(content.get("text"))
    return ""


def count_tokens(characters: int) -> int:
    """Tokens of so many characters."""
    return math.ceil(characters / 4)


def tokens_of(text: str) -> list[str]:
    """A text in pieces that a stream sends one by one."""
    return TOKEN.findall(text)


def answer_tokens(prompt: str, *, fixed: str | None, length: int | None, where: str) -> list[str]:
    """The pieces of an answer: `fixed` or a sentence about the prompt, brought to `length` pieces."""
    text = fixed if fixed is not None else f"This is {where}, simulated. You said: {prompt[:1000]}"
    tokens = tokens_of(text)
    if length is None:
        return tokens
    padding = [f" {WORDS[index % len(WORDS)]}" for index in range(length - len(tokens))]
    return (tokens + padding)[:length]


def instance(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """A small value that fits a JSON Schema of the kind used for tools and structured outputs.

    A schema that contains itself ends in null after MAX_DEPTH levels.
    """
    root = schema if root is None else root
    if not isinstance(schema, dict):
        return {}
    if depth > MAX_DEPTH:
        return None
    if "$ref" in schema:
        target = root
        for part in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
            target = target.get(part, {}) if part and isinstance(target, dict) else target
        return instance(target, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return instance(schema[choice][0], root, depth + 1)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        return {name: instance(part, root, depth + 1) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [instance(schema.get("items"), root, depth + 1)] if depth < MAX_DEPTH else []
    scalars: dict[Any, Any] = {"string": "text", "integer": 1, "number": 1.5, "boolean": True}
    return scalars.get(kind)


def structured_answer(body: dict[str, Any]) -> str | None:
    """The JSON text that `response_format` asks for; None where plain text is wanted."""
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") not in ("json_object", "json_schema"):
        return None
    schema = wanted.get("json_schema")
    value = instance(schema.get("schema")) if isinstance(schema, dict) else {"answer": "text"}
    return json.dumps(value)


def tool_call(body: dict[str, Any]) -> tuple[str, str] | None:
    """Name and arguments of the tool to call; None where the answer is text.

    A tool is called when the request insists on one or the prompt holds TOOL_MARK.
    """
    tools = body.get("tools")
    functions = [
        tool["function"]
        for tool in (tools if isinstance(tools, list) else [])
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
    ]
    choice = body.get("tool_choice")
    if not functions or choice == "none":
        return None
    named = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    if named is None and choice != "required" and TOOL_MARK not in last_user_text(body):
        return None
    function = next((item for item in functions if item.get("name") == named), functions[0])
    return str(function.get("name")), json.dumps(instance(function.get("parameters", {})))
