"""Which provider a member's `model` names, and which members are not served. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.config.deployment import Provider
from gateway.config.patterns import STAR
from gateway.config.problems import Path, Problems
from gateway.config.wildcards import is_deployment
from gateway.protocol.capabilities import SERIES
from gateway.protocol.operation import Operation
from gateway.protocol.operations import CHAT, OPERATIONS

PROVIDERS: tuple[Provider, ...] = ("azure", "azure_text", "openai")

#: What it writes there to choose another API.
_ROUTES = frozenset(("responses", "speech", "assistants", "mai", "common_cloud"))
#: How OpenAI's models are called. Anything else without a prefix is another provider's, whose key must not go
#: to OpenAI.
_OPENAI_MODEL = re.compile(
    r"(gpt|chatgpt|o\d|text-(embedding|moderation|davinci|curie|babbage|ada)|davinci|babbage|whisper|tts|dall-e|"
    r"omni-moderation|computer-use|codex|sora|ft:)",
    re.ASCII,
)

#: What `model_info.mode` narrows a member to.
MODES: Mapping[str, Operation] = {mode: operation for operation in OPERATIONS for mode in operation.modes}
#: Other spellings of the modes.
_SPELLINGS = {
    "chat_completion": "chat",
    "chat_completions": "chat",
    "completions": "completion",
    "text_completion": "completion",
    "embeddings": "embedding",
    "moderations": "moderation",
    "speech": "audio_speech",
    "tts": "audio_speech",
    "text_to_speech": "audio_speech",
}
#: LiteLLM's modes of endpoints that are not served.
_UNSERVED_MODES = frozenset(
    (
        "audio",
        "audio_transcription",
        "audio_transcriptions",
        "batch",
        "image",
        "image_edit",
        "image_generation",
        "image_generations",
        "ocr",
        "realtime",
        "rerank",
        "responses",
        "search",
        "transcription",
        "vector_store",
        "video",
        "video_generation",
    )
)

_OTHER_PROVIDER = (
    "names a provider that is not served; only azure/, azure_text/, openai/ and bare OpenAI names "
    "are (a server that speaks OpenAI's protocol: openai/<model> with its api_base)"
)
_NO_PROVIDER = "names no provider; write azure/* or openai/*, whichever of the two is meant"
_NOT_OPENAI = (
    "is no OpenAI model that is known here; write openai/<model> if it is one, azure/<deployment> "
    "for Azure (a server that speaks OpenAI's protocol: openai/<model> with its api_base)"
)


def qualified(model: str, provider: object) -> str:
    """`model` with the provider that LiteLLM's `custom_llm_provider` gives to a name without one."""
    if not isinstance(provider, str) or not provider or model.startswith(f"{provider}/"):
        return model
    return f"{provider}/{model}"


def unserved_provider(model: str) -> str | None:
    """What is wrong with a model of a provider that is not served; None where it is, or is no name at all."""
    prefix, slash, _ = model.partition("/")
    if prefix in PROVIDERS:
        return None
    if slash:
        return _OTHER_PROVIDER
    if model.startswith(STAR):
        return _NO_PROVIDER
    return None if not model or _OPENAI_MODEL.match(model) else _NOT_OPENAI


def mode_of(mode: Any) -> str | None:
    """The mode that is meant by one of its spellings; any other text is returned as it is."""
    if not isinstance(mode, str):
        return None
    plain = mode.strip().lower().replace("-", "_").replace(" ", "_").removeprefix("/v1/").replace("/", "_")
    plain = _SPELLINGS.get(plain, plain)
    return plain if plain in MODES or plain in _UNSERVED_MODES else mode


def is_unserved_mode(mode: Any) -> bool:
    """Tell whether `mode` is one of LiteLLM's for an endpoint that is not served."""
    return mode_of(mode) in _UNSERVED_MODES


def series_of(model: str) -> str | None:
    """The series that LiteLLM's way to choose a mapping of parameters names (`azure/o_series/x`), if any."""
    _, _, rest = model.partition("/")
    series, slash, _ = rest.partition("/")
    return series if slash and series in SERIES else None


def split_model(model: str | None, path: Path, problems: Problems, *, stars: int = 0) -> tuple[Provider, str]:
    """Split `azure/x`, `azure_text/x`, `openai/x` or a bare OpenAI model name into provider and name.

    `stars` is how many `*` the name may have.
    """
    if model is None:
        problems.add(path, "is missing; write azure/<deployment>, azure_text/<deployment> or openai/<model>")
        return "azure", "unset"
    prefix, slash, rest = model.partition("/")
    provider: Provider = next((known for known in PROVIDERS if known == prefix), "openai")
    name = rest if slash else model
    if provider != "openai" and (series := series_of(model)) is not None:
        name = name.removeprefix(f"{series}/")
    if (reason := unserved_provider(model)) is not None:
        problems.add(path, reason)
    elif prefix in PROVIDERS and (not slash or name in ("", ".", "..")):
        problems.add(path, f"names no deployment or model after {prefix}/")
    elif name.count(STAR) > stars:
        problems.add(path, "holds a * that model_name does not; write model_name: azure/* beside azure/*")
    elif provider != "openai" and not is_deployment(name.replace(STAR, "x")):
        problems.add(path, _not_a_deployment(name))
    return provider, name


def _not_a_deployment(name: str) -> str:
    """Word what is wrong with the deployment's name of an Azure member."""
    route, slash, _ = name.partition("/")
    if slash and route in _ROUTES:
        return f"is of another API ({route}/), which is not served; write the deployment's name alone"
    return "must name a deployment in letters, digits, -, _ and . only"


def is_mode(mode: Any) -> bool:
    """Tell whether `mode` is one of LiteLLM's, in any of its spellings."""
    return mode_of(mode) in (*MODES, *_UNSERVED_MODES)


def served(
    provider: Provider, mode: str | None, path: Path, problems: Problems, *, completes_texts: bool = False
) -> tuple[Operation, ...]:
    """Choose the operations of a member: those that its provider serves, and a mode leaves one.

    A model that `completes_texts` is called for completions where it is asked for a chat.
    """
    offered = tuple(operation for operation in OPERATIONS if provider in operation.providers)
    mode = mode_of(mode)
    if completes_texts:
        offered = tuple(operation for operation in offered if operation is not CHAT)
        mode = "completion" if mode in CHAT.modes else mode
    if mode is None:
        return offered
    if mode not in MODES:
        problems.add(path, f"is not served; use one of {', '.join(MODES)}, or remove the entry")
        return offered
    if MODES[mode] not in offered:
        modes = ", ".join(name for operation in offered for name in operation.modes)
        prefix = "azure/" if "azure" in MODES[mode].providers else "openai/"
        problems.add(path, f"contradicts {provider}/, which serves {modes} only; use {prefix} or remove mode")
    return (MODES[mode],)
