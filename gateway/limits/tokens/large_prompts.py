"""Tokens of prompts that are too large to be built, from lengths: text counts a quarter of its bytes.

Base64 data is not text. In a prompt that large it makes up long strings, which are known by their first
bytes. Pure.
"""

from __future__ import annotations

import re

from gateway.protocol.json_body import LargeValue

#: OpenAI's published tile formula: 85 tokens for an image, 170 for each tile of a detailed one. The size
#: is not known before the image is loaded; 1024 x 1024 has four tiles.
IMAGE_LOW = 85
IMAGE_HIGH = 85 + 4 * 170
#: Audio comes as base64: about 10 tokens for a second of 24 kHz samples of two bytes.
_AUDIO_BYTES_PER_TOKEN = 4800

#: Bytes of a text for one token; of a token's number in a list, with its comma.
_TEXT = 4
_NUMBER = 6
_DATA_URL = re.compile(rb"data:(?!text/|audio/)", re.IGNORECASE)
_BASE64 = re.compile(rb"(?:data:audio/[^,]{0,100},)?(?:[A-Za-z0-9+/_-]|\\/){1024}")


def audio_tokens(size: int) -> float:
    """Tokens of `size` bytes of base64 audio."""
    return size * 0.75 / _AUDIO_BYTES_PER_TOKEN


def large_tokens(value: LargeValue) -> float:
    """Tokens of a large value of a prompt."""
    if value.body[value.start : value.start + 64].lstrip(b"[ \n\r\t")[:1].isdigit():
        return (value.end - value.start) / _NUMBER
    text = value.end - value.start
    media = 0.0
    for start, end in value.long_strings:
        if _DATA_URL.match(value.body, start):
            media += IMAGE_HIGH
        elif _BASE64.match(value.body, start):
            media += audio_tokens(end - start)
        else:
            continue
        text -= end - start
    return text / _TEXT + media
