"""Removes the operator's topology from upstream's error bodies. Pure.

All other bytes stay as upstream wrote them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from gateway.config.deployment import Deployment

_CALLSTACK = "callstack"
#: A string of a JSON text, and the colon behind it where the string is a key.
_STRING = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:\s*)?')
_COMMA = re.compile(r"\s*,\s*")

_decoder = json.JSONDecoder()
#: What is searched for, and the template that replaces it.
Pattern = tuple[re.Pattern[str], str]


def redacted(body: bytes, deployment: Deployment, requested_model: str) -> bytes:
    """`body` without call stacks. Hosts become "upstream", the deployment becomes the requested model.

    Empty where something must be removed and the body is no JSON.
    """
    hosts = {urlsplit(target.url).netloc.lower() for target in deployment.targets.values()}
    lowered = body.lower()
    suspicious = [*(host.encode() for host in hosts), deployment.name.lower().encode(), _CALLSTACK.encode()]
    if not any(mark in lowered for mark in suspicious):
        return body
    patterns = [
        (re.compile(rf"(?:https?://)?{re.escape(host)}", re.IGNORECASE), "upstream") for host in hosts
    ]
    if deployment.name != requested_model:
        word = rf"(?<![\w.-]){re.escape(deployment.name)}(?![\w-]|\.\w)"
        patterns.append((re.compile(word), requested_model.replace("\\", r"\\")))
    try:
        text = body.decode()
        json.loads(text)
        return _rename(_without_callstacks(text), patterns).encode()
    except (ValueError, RecursionError):
        return b""


def _without_callstacks(text: str) -> str:
    """`text` (JSON) without the members that hold call stacks."""
    position = 0
    while match := _STRING.search(text, position):
        position = match.end()
        if match[2] is None or json.loads(match[1]) != _CALLSTACK:
            continue
        _, end = _decoder.raw_decode(text, match.end())
        before, after = text[: match.start()], text[end:]
        if comma := _COMMA.match(after):
            after = after[comma.end() :]
        else:
            stripped = before.rstrip()
            before = stripped.removesuffix(",")
        text, position = before + after, len(before)
    return text


def _rename(text: str, patterns: Sequence[Pattern]) -> str:
    """`text` (JSON) with `patterns` replaced in its string values. Keys stay: they are the protocol's own."""

    def renamed(match: re.Match[str]) -> str:
        if match[2] is not None:
            return match[0]
        value = changed = json.loads(match[1])
        for pattern, replacement in patterns:
            changed = pattern.sub(replacement, changed)
        return match[0] if changed == value else json.dumps(changed, ensure_ascii=False)

    return _STRING.sub(renamed, text)
