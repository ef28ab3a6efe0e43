"""Request bodies: parsing, and the errors for parameters that are missing, unknown or wrong."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NoReturn

from simulator import model_errors
from simulator.config import Deployment, Kind

CHAT_KEYS = frozenset({
    "data_sources", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "messages", "model", "n", "parallel_tool_calls",
    "presence_penalty", "response_format", "seed", "stop", "stream", "temperature", "tool_choice",
    "tools", "top_logprobs", "top_p", "user",
})  # fmt: skip
#: Chat parameters that came with later versions, by the first date that takes them.
LATER_CHAT_KEYS = {
    "stream_options": "2024-09-01",
    "reasoning_effort": "2024-12-01",
    "store": "2024-12-01",
    "metadata": "2024-12-01",
    "prediction": "2024-12-01",
    "audio": "2025-01-01",
    "modalities": "2025-01-01",
}
#: Chat parameters of the extensions' path.
EXTENSION_KEYS = frozenset({"dataSources", "enhancements"})
#: Chat parameters that v1 paths and OpenAI's platform take besides.
V1_CHAT_KEYS = frozenset({
    "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "verbosity",
    "web_search_options",
})  # fmt: skip
COMPLETION_KEYS = frozenset({
    "best_of", "echo", "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "model", "n",
    "presence_penalty", "prompt", "seed", "stop", "stream", "stream_options", "suffix", "temperature",
    "top_p", "user",
})  # fmt: skip
EMBEDDING_KEYS = frozenset({
    "dimensions", "encoding_format", "input", "input_type", "model", "user",
})  # fmt: skip
SPEECH_KEYS = frozenset({
    "input", "instructions", "model", "response_format", "speed", "stream_format", "voice",
})  # fmt: skip

MODERATION_KEYS = frozenset({"input", "model"})

INTEGERS = {"max_tokens": 0, "max_completion_tokens": 0, "n": 1, "best_of": 1, "dimensions": 1}
NUMBERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "speed")
BOOLEANS = ("stream", "echo")

#: What a reasoning model refuses whatever the value, and what it takes with the default only.
REASONING_UNSUPPORTED = ("max_tokens", "logprobs", "top_logprobs", "logit_bias")
REASONING_FIXED = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}

AUDIO_FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
MAX_SPEECH_CHARACTERS = 4096
MAX_EMBEDDING_INPUTS = 2048


def read_body(body: bytes) -> dict[str, Any]:
    """The request's JSON object; raises the Refusal for what is none."""
    try:
        document = json.loads(body.decode(), parse_constant=refuse_constant)
        if b"\\ud" in body or b"\\uD" in body:
            # Python takes lone surrogates, JSON parsers elsewhere do not.
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise model_errors.not_json() from None
    if not isinstance(document, dict):
        raise model_errors.not_json()
    return document


def refuse_constant(name: str) -> NoReturn:
    """NaN and Infinity are no JSON."""
    raise ValueError(name)


def check(
    kind: Kind, body: dict[str, Any], deployment: Deployment, version: str, *, extensions: bool = False
) -> None:
    """Raise the Refusal for the first parameter that the deployment does not take."""
    known = known_keys(kind, version)
    refuse_unknown(body, {*known, *EXTENSION_KEYS} if extensions else known)
    if kind == "chat":
        check_messages(body)
    elif kind in ("embeddings", "moderations"):
        check_input(body)
    elif kind == "speech":
        check_speech(body, deployment)
    check_types(body)
    if deployment.reasoning:
        check_reasoning(body, deployment)


def known_keys(kind: Kind, version: str) -> Collection[str]:
    """Top-level parameters of an operation in an api-version."""
    if kind == "completions":
        return COMPLETION_KEYS
    if kind == "embeddings":
        return EMBEDDING_KEYS
    if kind == "speech":
        return SPEECH_KEYS
    if kind == "moderations":
        return MODERATION_KEYS
    if not version[:2].isdigit():
        return CHAT_KEYS | LATER_CHAT_KEYS.keys() | V1_CHAT_KEYS
    return CHAT_KEYS | {key for key, since in LATER_CHAT_KEYS.items() if version[:10] >= since}


def refuse_unknown(body: dict[str, Any], known: Collection[str]) -> None:
    """Raise the Refusal for arguments that do not exist."""
    unknown = [key for key in body if key not in known]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise model_errors.model_error(
            f"Unrecognized request argument{plural} supplied: {', '.join(unknown)}"
        )


def check_messages(body: dict[str, Any]) -> None:
    """Raise the Refusal for missing, empty or malformed messages."""
    messages = body.get("messages")
    if messages is None:
        raise model_errors.missing("messages")
    if not isinstance(messages, list):
        raise model_errors.invalid_type("messages", "an array of objects", messages)
    if not messages:
        raise model_errors.empty_array("messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise model_errors.invalid_type(f"messages[{index}]", "an object", message)
        if not isinstance(message.get("role"), str):
            raise model_errors.missing(f"messages[{index}].role")


def check_input(body: dict[str, Any]) -> None:
    """Raise the Refusal for missing, empty or too many inputs."""
    value = body.get("input")
    if value is None:
        raise model_errors.missing("input")
    if not isinstance(value, str | list):
        raise model_errors.invalid_type("input", "a string or an array", value)
    if value == []:
        raise model_errors.empty_array("input")
    is_texts = isinstance(value, list) and not isinstance(value[0], int)
    if is_texts and len(value) > MAX_EMBEDDING_INPUTS:
        raise model_errors.model_error(
            f"Invalid 'input': array too long. Expected an array with maximum length {MAX_EMBEDDING_INPUTS}, "
            f"but got an array with length {len(value)} instead.",
            code="array_above_max_length",
            param="input",
        )


def check_speech(body: dict[str, Any], deployment: Deployment) -> None:
    """Raise the Refusal for text, voice or formats that cannot be spoken."""
    for name in ("input", "voice"):
        if body.get(name) is None:
            raise model_errors.missing(name)
        if not isinstance(body[name], str):
            raise model_errors.invalid_type(name, "a string", body[name])
    if len(body["input"]) > MAX_SPEECH_CHARACTERS:
        raise model_errors.model_error(
            "Invalid 'input': string too long. Expected a string with maximum length "
            f"{MAX_SPEECH_CHARACTERS}, but got a string with length {len(body['input'])} instead.",
            code="string_above_max_length",
            param="input",
        )
    wanted = body.get("response_format", "mp3")
    if wanted not in AUDIO_FORMATS:
        raise model_errors.invalid_value("response_format", wanted, AUDIO_FORMATS)
    stream_format = body.get("stream_format", "audio")
    if stream_format not in ("audio", "sse"):
        raise model_errors.invalid_value("stream_format", stream_format, ("audio", "sse"))
    if stream_format == "sse" and deployment.model.startswith("tts-1"):
        raise model_errors.unsupported_value("stream_format", "'sse'", "Supported values are: 'audio'.")


def check_types(body: dict[str, Any]) -> None:
    """Raise the Refusal for numbers and flags of the wrong type, or below their minimum."""
    for name, minimum in INTEGERS.items():
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise model_errors.invalid_type(name, "an integer", value)
        if value < minimum:
            raise model_errors.model_error(
                f"Invalid '{name}': integer below minimum value. Expected a value >= {minimum}, but got "
                f"{value} instead.",
                code="integer_below_min_value",
                param=name,
            )
    for name in NUMBERS:
        value = body.get(name)
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
            raise model_errors.invalid_type(name, "a decimal", value)
    for name in BOOLEANS:
        value = body.get(name)
        if value is not None and not isinstance(value, bool):
            raise model_errors.invalid_type(name, "a boolean", value)
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise model_errors.invalid_type("stream_options", "an object", options)
    if options is not None and not body.get("stream"):
        raise model_errors.model_error(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )


def check_reasoning(body: dict[str, Any], deployment: Deployment) -> None:
    """Raise the Refusal for what a reasoning model does not take."""
    for name in REASONING_UNSUPPORTED:
        if body.get(name) is not None:
            hint = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
            raise model_errors.model_error(
                f"Unsupported parameter: '{name}' is not supported with this model.{hint}",
                code="unsupported_parameter",
                param=name,
            )
    for name, default in REASONING_FIXED.items():
        value = body.get(name)
        if value is not None and value != default:
            raise model_errors.unsupported_value(
                name, f"{value}", f"Only the default ({default}) value is supported."
            )
    if deployment.model.startswith("o") and body.get("parallel_tool_calls") is not None:
        raise model_errors.model_error(
            "Unsupported parameter: 'parallel_tool_calls' is not supported with this model.",
            code="unsupported_parameter",
            param="parallel_tool_calls",
        )
    for index, message in enumerate(() if deployment.system_messages else body["messages"]):
        if message["role"] in ("system", "developer"):
            name = f"messages[{index}].role"
            raise model_errors.unsupported_value(
                name, f"'{message['role']}'", "Supported values are: 'user', 'assistant'."
            )
    if body.get("stream") and not deployment.streams:
        raise model_errors.unsupported_value("stream", "true", "Supported values are: false.")
