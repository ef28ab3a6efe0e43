"""What a call used, as replies and streams report it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

#: More tokens than any reply can use. A larger count would make the row that instances share unreadable.
_MOST_TOKENS = 10**9
#: Places of the word from the end of a reply on that are looked at.
_MOST_TRIES = 100
_USAGE = re.compile(rb'"usage"\s*:\s*(?=\{)')
_decoder = json.JSONDecoder()


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one call; None where upstream did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


#: Upstream said nothing.
NO_USAGE = Usage()


class UsageFields(msgspec.Struct, frozen=True):
    """The members of an operation's usage object that count the prompt's and the completion's tokens."""

    prompt: str
    completion: str

    def read(self, value: Mapping[str, Any]) -> Usage:
        """The usage in a usage object."""
        return Usage(_count(value.get(self.prompt)), _count(value.get(self.completion)))

    def read_reply(self, body: bytes) -> Usage:
        """The usage that a JSON reply reports, found without parsing the reply as a whole.

        It stands near the end. A quote within a JSON string is escaped, so `"usage"` before a colon is a key.
        """
        position = len(body)
        for _ in range(_MOST_TRIES):
            position = body.rfind(b'"usage"', 0, position)
            if position < 0:
                break
            if match := _USAGE.match(body, position):
                text = body[match.end() : match.end() + 4096].decode(errors="replace")
                try:
                    return self.read(_decoder.raw_decode(text)[0])
                except (ValueError, RecursionError):
                    return NO_USAGE
        return NO_USAGE


def _count(value: Any) -> int | None:
    """A count of tokens; None for anything that cannot be one."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= _MOST_TOKENS else None
