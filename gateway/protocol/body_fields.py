"""Body fields of the served operations: what `litellm_params` may carry as a request default.

The names are those of the create-params schemas of openai-python 3.54, without `model`, which the gateway
sets itself, and what asks for a stream, which is the client's choice; plus the fields of Azure and of
compatible servers that LiteLLM's page and its users name.
A client may send any field; this list only tells a default from a misspelt key.
"""

from __future__ import annotations

from collections.abc import Mapping

_SAMPLED = (
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_tokens",
    "n",
    "presence_penalty",
    "seed",
    "stop",
    "temperature",
    "top_p",
    "user",
)

#: Operation name -> the body fields it knows.
BODY_FIELDS: Mapping[str, frozenset[str]] = {
    "chat": frozenset(
        {
            *_SAMPLED,
            "audio",
            "function_call",
            "functions",
            "max_completion_tokens",
            "messages",
            "metadata",
            "modalities",
            "moderation",
            "parallel_tool_calls",
            "prediction",
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_retention",
            "reasoning_effort",
            "response_format",
            "safety_identifier",
            "service_tier",
            "store",
            "tool_choice",
            "tools",
            "top_logprobs",
            "verbosity",
            "web_search_options",
            # Azure's own (on your data, vision enhancements), and sampling of compatible servers.
            "dataSources",
            "data_sources",
            "enhancements",
            "top_k",
        }
    ),
    "text_completion": frozenset({*_SAMPLED, "best_of", "echo", "prompt", "suffix", "top_k"}),
    "embeddings": frozenset(("dimensions", "encoding_format", "input", "user")),
    "speech": frozenset(("input", "instructions", "response_format", "speed", "voice")),
}

#: Every name that is a request default somewhere.
ALL_FIELDS: frozenset[str] = frozenset().union(*BODY_FIELDS.values())

#: Fields that are numbers in every operation. (`logprobs` is a flag in chat and a number in completions.)
NUMBER_FIELDS = frozenset(
    (
        "best_of",
        "dimensions",
        "frequency_penalty",
        "max_completion_tokens",
        "max_tokens",
        "n",
        "presence_penalty",
        "seed",
        "speed",
        "temperature",
        "top_k",
        "top_logprobs",
        "top_p",
    )
)

#: Fields that are flags in every operation.
BOOLEAN_FIELDS = frozenset(("echo", "parallel_tool_calls", "store"))
