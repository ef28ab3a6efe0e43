"""Embeddings: vectors that follow from a hash of the input."""

from __future__ import annotations

import array
import hashlib
import json
import math
import struct
from base64 import b64encode
from typing import Any

from simulator.calls import Call

DIMENSIONS = {"text-embedding-3-large": 3072}
DEFAULT_DIMENSIONS = 1536


def embed(call: Call) -> dict[str, Any]:
    """The body of an embeddings answer."""
    body = call.body
    size = body.get("dimensions") or DIMENSIONS.get(call.deployment.model, DEFAULT_DIMENSIONS)
    as_base64 = body.get("encoding_format") == "base64"
    data = []
    for index, item in enumerate(inputs_of(body["input"])):
        values = vector(json.dumps(item), size)
        embedding: Any = b64encode(struct.pack(f"<{size}f", *values)).decode() if as_base64 else values
        data.append({"embedding": embedding, "index": index, "object": "embedding"})
    tokens = call.prompt_tokens
    return {
        "object": "list",
        "data": data,
        "model": call.deployment.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def inputs_of(value: Any) -> list[Any]:
    """The inputs of a request: strings, or lists of token numbers."""
    if isinstance(value, str) or (value and isinstance(value[0], int)):
        return [value]
    return list(value)


def vector(text: str, size: int) -> list[float]:
    """A vector of length 1, always the same for the same text."""
    raw = array.array("h", hashlib.shake_256(text.encode()).digest(2 * size))
    norm = math.sqrt(sum(value * value for value in raw)) or 1.0
    return [round(value / norm, 8) for value in raw]
