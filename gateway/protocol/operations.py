"""The operations that deployments serve, one value each."""

from __future__ import annotations

import re

from gateway.protocol import filtered_chat
from gateway.protocol.operation import BodyFields, Operation, Streaming
from gateway.protocol.usage import UsageFields
from gateway.protocol.whole_replies import has_choices, has_data, has_results

_AZURE_AND_OPENAI = frozenset(("azure", "openai"))
_TOKENS = UsageFields("prompt_tokens", "completion_tokens")
_CHOICE_ENDS = re.compile(rb'"finish_reason"\s*:\s*"')
_CHAT_CHUNKS = Streaming(
    _CHOICE_ENDS,
    b'"choices"',
    _TOKENS,
    usage_option=True,
    deltas=True,
    keep_alive=(
        b'data: {"id":%b,"object":"chat.completion.chunk","created":%b,"model":%b,'
        b'"choices":[{"index":0,"delta":{},"finish_reason":null}]}\n\n'
    ),
)
_TEXT_CHUNKS = Streaming(
    _CHOICE_ENDS,
    b'"choices"',
    _TOKENS,
    usage_option=True,
    keep_alive=(
        b'data: {"id":%b,"object":"text_completion","created":%b,"model":%b,'
        b'"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":null}]}\n\n'
    ),
)

CHAT = Operation(
    "chat",
    "chat/completions",
    azure_name="chatCompletion",
    providers=_AZURE_AND_OPENAI,
    modes=("chat",),
    body_fields=BodyFields(
        numbers=frozenset(
            (
                "frequency_penalty",
                "max_completion_tokens",
                "max_tokens",
                "n",
                "presence_penalty",
                "seed",
                "temperature",
                "top_logprobs",
                "top_p",
                # Sampling of compatible servers.
                "top_k",
            )
        ),
        flags=frozenset(("logprobs", "parallel_tool_calls", "store")),
        others=frozenset(
            (
                "audio",
                "function_call",
                "functions",
                "logit_bias",
                "messages",
                "metadata",
                "modalities",
                "moderation",
                "prediction",
                "prompt_cache_key",
                "prompt_cache_options",
                "prompt_cache_retention",
                "reasoning_effort",
                "response_format",
                "safety_identifier",
                "service_tier",
                "stop",
                "tool_choice",
                "tools",
                "user",
                "verbosity",
                "web_search_options",
                # Azure's own: on your data, vision enhancements.
                "dataSources",
                "data_sources",
                "enhancements",
            )
        ),
    ),
    prompt_fields=(
        ("messages", "messages"),
        ("tools", "json"),
        ("functions", "json"),
        ("response_format", "json"),
    ),
    completion_fields=("max_completion_tokens", "max_tokens"),
    choices_fields=("n",),
    is_answer=has_choices,
    streaming=_CHAT_CHUNKS,
    usage_fields=_TOKENS,
    repaired=filtered_chat.completed,
)

COMPLETIONS = Operation(
    "text_completion",
    "completions",
    azure_name="completion",
    providers=_AZURE_AND_OPENAI | {"azure_text"},
    modes=("completion",),
    body_fields=BodyFields(
        numbers=frozenset(
            (
                "best_of",
                "frequency_penalty",
                "logprobs",
                "max_tokens",
                "n",
                "presence_penalty",
                "seed",
                "temperature",
                "top_p",
                # Sampling of compatible servers.
                "top_k",
            )
        ),
        flags=frozenset(("echo",)),
        others=frozenset(("logit_bias", "prompt", "stop", "suffix", "user")),
    ),
    prompt_fields=(("prompt", "texts"),),
    completion_fields=("max_tokens",),
    choices_fields=("n", "best_of"),
    is_answer=has_choices,
    streaming=_TEXT_CHUNKS,
    usage_fields=_TOKENS,
)

EMBEDDINGS = Operation(
    "embeddings",
    "embeddings",
    azure_name="embeddings",
    providers=_AZURE_AND_OPENAI,
    modes=("embedding",),
    body_fields=BodyFields(
        numbers=frozenset(("dimensions",)), others=frozenset(("encoding_format", "input", "user"))
    ),
    prompt_fields=(("input", "texts"),),
    is_answer=has_data,
    usage_fields=_TOKENS,
)

SPEECH = Operation(
    "speech",
    "audio/speech",
    azure_name="speech",
    providers=_AZURE_AND_OPENAI,
    modes=("audio_speech",),
    body_fields=BodyFields(
        numbers=frozenset(("speed",)),
        others=frozenset(("input", "instructions", "response_format", "voice")),
    ),
    prompt_fields=(("input", "texts"),),
    # Dated paths serve speech in preview versions only.
    default_api_version="2025-04-01-preview",
    # Sound is relayed as it comes, and told from pages by its first bytes.
    is_answer=bool,
    whole_reply=False,
    streaming=Streaming(
        re.compile(rb'"type"\s*:\s*"speech\.audio\.done"'),
        b'"type"',
        UsageFields("input_tokens", "output_tokens"),
        answer_type=b"speech.audio.",
        field="stream_format",
        value="sse",
    ),
)

#: Azure has content filters of its own and does not offer it. (https://platform.openai.com/docs/api-reference/moderations)
MODERATIONS = Operation(
    "moderations",
    "moderations",
    azure_name="moderations",
    providers=frozenset(("openai",)),
    modes=("moderation",),
    body_fields=BodyFields(others=frozenset(("input",))),
    prompt_fields=(("input", "texts"),),
    is_answer=has_results,
    default_model="omni-moderation-latest",
)

#: What deployments serve.
OPERATIONS = (CHAT, COMPLETIONS, EMBEDDINGS, SPEECH, MODERATIONS)
