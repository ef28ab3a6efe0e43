"""What goes over the wire in all measurements: one chat request, Azure's answer to it, whole and as a stream.

The shapes, key order included, are those of Azure's recorded replies. Made once; sent without another look.
"""

from __future__ import annotations

import json
from typing import Any

MODEL = "gpt-4o"
DEPLOYMENT = "gpt-4o-bench"
CLIENT_KEY = "sk-bench-client"
UPSTREAM_KEY = "bench-upstream-key"

PATH = "/v1/chat/completions"
#: Where floor programs send, and the gateway by its configuration.
UPSTREAM_PATH = f"/openai/deployments/{DEPLOYMENT}/chat/completions?api-version=2024-10-21"

#: Events of a stream that carry text, before the two that end it.
CHUNKS = 50
#: Seconds between the events of a stream.
PAUSE = 0.01

_MESSAGES = [
    {
        "role": "system",
        "content": "You are a helpful assistant. Answer in the language of the question. " * 4,
    },
    {"role": "user", "content": "What is the tallest building in the world, and since when? " * 4},
]
_HEADERS = (
    "apim-request-id: f79a886f-f58b-46e3-9627-5b4f03016468\r\n"
    "strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n"
    "x-content-type-options: nosniff\r\n"
    "x-ms-region: East US 2\r\n"
    "x-ratelimit-limit-requests: 10000\r\n"
    "x-ratelimit-limit-tokens: 1000000\r\n"
    "x-ratelimit-remaining-requests: 9999\r\n"
    "x-ratelimit-remaining-tokens: 999900\r\n"
    "x-ms-deployment-name: gpt-4o-bench\r\n"
    "date: Tue, 24 Nov 2026 12:00:00 GMT\r\n"
)
_SAFE = {"filtered": False, "severity": "safe"}
_FILTERS = {"hate": _SAFE, "self_harm": _SAFE, "sexual": _SAFE, "violence": _SAFE}
_USAGE = {
    "completion_tokens": 158,
    "completion_tokens_details": {
        "accepted_prediction_tokens": 0,
        "audio_tokens": 0,
        "reasoning_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
    "prompt_tokens": 120,
    "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 0},
    "total_tokens": 278,
}


def request(path: str, *, stream: bool) -> bytes:
    """A client's whole HTTP request, as the official client would send it (about 900 bytes)."""
    body = json.dumps({"model": MODEL, "messages": _MESSAGES, "stream": stream}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        "Accept: application/json\r\n"
        "Content-Type: application/json\r\n"
        "User-Agent: OpenAI/Python 3.57.0\r\n"
        f"Authorization: Bearer {CLIENT_KEY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def chat_reply() -> bytes:
    """Upstream's whole HTTP reply to a chat call."""
    body = _json(
        {
            "choices": [
                {
                    "content_filter_results": _FILTERS,
                    "finish_reason": "stop",
                    "index": 0,
                    "logprobs": None,
                    "message": {
                        "annotations": [],
                        "content": "The tallest building in the world is the Burj Khalifa in Dubai. " * 8,
                        "refusal": None,
                        "role": "assistant",
                    },
                }
            ],
            "created": 1774963446,
            "id": "chatcmpl-bench0123456789",
            "model": "gpt-4o-2024-11-20",
            "object": "chat.completion",
            "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _FILTERS}],
            "system_fingerprint": "fp_b6f445fc1c",
            "usage": _USAGE,
        }
    )
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{_HEADERS}\r\n"
    )
    return head.encode() + body


def stream_parts(*, usage: bool) -> list[bytes]:
    """Upstream's HTTP reply to a streamed chat call: the head with the first event, then event by event.

    With `usage` as Azure does when asked for it: `"usage": null` in every event, and one more event
    with the figures.
    """
    nothing: dict[str, Any] = {"usage": None} if usage else {}
    events = [
        _event([_choice({"content": "", "refusal": None, "role": "assistant"}, None)], nothing),
        *(_event([_choice({"content": " building"}, None)], nothing) for _ in range(CHUNKS - 2)),
        _event([_choice({}, "stop")], nothing),
    ]
    if usage:
        events.append(_event([], {"usage": _USAGE}))
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n{_HEADERS}\r\n"
    )
    parts = [chunk(event) for event in events]
    parts[0] = head.encode() + parts[0]
    parts[-1] += chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    return parts


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked HTTP body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _choice(delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {
        "content_filter_results": _FILTERS if delta.get("content") else {},
        "delta": delta,
        "finish_reason": finish_reason,
        "index": 0,
        "logprobs": None,
    }


def _event(choices: list[dict[str, Any]], more: dict[str, Any]) -> bytes:
    """A stream's event as Azure sends it."""
    data = {
        "choices": choices,
        "created": 1774963446,
        "id": "chatcmpl-bench0123456789",
        "model": "gpt-4o-2024-11-20",
        "obfuscation": "rQfgHceruk3Vwx",
        "object": "chat.completion.chunk",
        "system_fingerprint": "fp_b6f445fc1c",
        **more,
    }
    return b"data: " + _json(data) + b"\n\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
