"""Whether a deployed gateway works: health, models, one chat, one stream."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from functools import partial
from typing import Any

from azure_cli import Refused, show, until

#: Seconds: a remote build takes one to three minutes, a new role up to ten until it holds everywhere.
BUILD_SECONDS = 300
ROLE_SECONDS = 600

#: What names of models have that are not for chat.
SPECIAL = ("embedding", "tts", "speech", "whisper", "transcribe", "image", "moderation")


def show_calls(endpoint: str, model: str) -> None:
    """Print what would be called, as a shell takes it; the variable GATEWAY_KEY stays one."""
    for path in ("/healthz", "/readyz"):
        show(["curl", "--fail", endpoint + path])
    authorization = '--header "Authorization: Bearer $GATEWAY_KEY"'
    print(f"$ curl '{endpoint}/v1/models' {authorization}")
    for body in (question(model), question(model) | {"stream": True}):
        chat = f"'{endpoint}/v1/chat/completions' {authorization} --header 'Content-Type: application/json'"
        print(f"$ curl {chat} --data '{json.dumps(body)}'")


def wait_until_ready(endpoint: str) -> None:
    """Wait until the app serves, and until it has read its configuration. Raises Refused."""
    for path, seconds, reason in (
        ("/healthz", BUILD_SECONDS, "the app does not start"),
        ("/readyz", ROLE_SECONDS, "the app has no configuration"),
    ):
        show(["curl", "--fail", f"{endpoint}{path}"])
        if not until(partial(is_ok, endpoint + path), f"waiting for {path}", seconds=seconds):
            raise Refused(f"{endpoint}{path} is not 200 after {seconds} s: {reason} (docs/deployment.md)")


def smoke_test(endpoint: str, key: str, model: str | None) -> str | None:
    """Models, one chat, one stream: the model that answered, if there is a key. Raises Refused."""
    if not key:
        status, _ = call(f"{endpoint}/v1/models")
        expect("without a key", status == 401, f"status {status}")
        print("Set GATEWAY_KEY to a client's key to try models, a chat and a stream as well.")
        return None
    status, body = call(f"{endpoint}/v1/models", key)
    expect("models", status == 200, f"status {status}: {body[:300]}")
    names = [entry["id"] for entry in json.loads(body)["data"]]
    chosen = model or next((name for name in names if not any(part in name for part in SPECIAL)), "")
    expect("a model to chat with", bool(chosen), f"only {', '.join(names)}; name one with --model")
    status, body = call(f"{endpoint}/v1/chat/completions", key, question(chosen))
    expect(f"chat with {chosen}", status == 200 and '"choices"' in body, f"status {status}: {body[:300]}")
    status, body = call(f"{endpoint}/v1/chat/completions", key, question(chosen) | {"stream": True})
    expect(
        f"stream from {chosen}", status == 200 and "data: [DONE]" in body, f"status {status}: {body[:300]}"
    )
    return chosen


def question(model: str) -> dict[str, Any]:
    """A chat that every model answers."""
    message = {"role": "user", "content": "Say hello."}
    return {"model": model, "messages": [message], "max_completion_tokens": 200}


def expect(what: str, holds: bool, otherwise: str) -> None:
    """Report a step. Raises Refused."""
    if not holds:
        raise Refused(f"Smoke test, {what}: {otherwise}")
    print(f"  ok: {what}")


def is_ok(url: str) -> bool:
    """Whether a GET of `url` is answered with 200."""
    return call(url)[0] == 200


def call(url: str, key: str = "", body: dict[str, Any] | None = None) -> tuple[int, str]:
    """Status and body of one request; status 0 where nothing answered."""
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None)  # noqa: S310 - our own endpoint
    request.add_header("Content-Type", "application/json")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own endpoint
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
