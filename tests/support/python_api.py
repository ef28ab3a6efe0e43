"""What the tests of the Python API share: the simulated Azure, and deployments that no other test calls."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

from simulator.config import DATED_VERSIONS
from simulator.testing import Running

MESSAGES = [{"role": "user", "content": "Say hello"}]

KEY = "key-of-the-caller"
PLATFORM_KEY = "sk-of-the-caller"

#: Deployments that tests take one by one.
CHATS = 120


def simulator_config() -> dict[str, Any]:
    """Chats by number, and one of every other kind; deployments named as LiteLLM's page names them."""
    azure = [{"name": f"chat-{number}", "model": "gpt-4o"} for number in range(CHATS)]
    # Those of docs/python-api.md.
    azure += [
        {"name": "my-deployment", "model": "gpt-4o"},
        {"name": "my-embeddings", "model": "text-embedding-3-small", "kind": "embeddings"},
        {"name": "my-instruct", "model": "gpt-35-turbo-instruct", "kind": "completions"},
        {"name": "my-tts", "model": "tts-1", "kind": "speech"},
    ]
    # Those of LiteLLM's page.
    azure.append({"name": "chatgpt-v-2", "model": "gpt-4o"})
    old = {"api_versions": [*DATED_VERSIONS, "2023-07-01-preview"]}
    azure.append({"name": "chatgpt-functioncalling", "model": "gpt-4o"} | old)
    azure += [
        {"name": "embeddings", "model": "text-embedding-3-small", "kind": "embeddings"},
        {"name": "instruct", "model": "gpt-35-turbo-instruct", "kind": "completions"},
        {"name": "tts", "model": "tts-1", "kind": "speech"},
    ]
    reasoning = {"reasoning": True, "streams": False, "system_messages": False}
    azure.append({"name": "thinker", "model": "o1-mini", **reasoning})
    slow = {"token_ms": [60, 60]}
    azure.append({"name": "slow", "model": "gpt-4o", "latency": slow, "answer_tokens": 400})
    azure.append({"name": "late", "model": "gpt-4o", "latency": {"first_ms": [5000, 5000]}})
    platform = [{"name": name, "model": name} for name in ("gpt-4o-mini", "gpt-3.5-turbo")]
    return {
        "log_size": 100_000,
        "accounts": [
            {"name": "azure", "keys": [KEY], "deployments": azure},
            {"name": "platform", "kind": "openai", "keys": [PLATFORM_KEY], "deployments": platform},
        ],
    }


@dataclasses.dataclass
class Chat:
    """A deployment that no other test calls."""

    running: Running
    deployment: str

    @property
    def model(self) -> str:
        return f"azure/{self.deployment}"

    @property
    def url(self) -> str:
        return self.running.url

    @property
    def arguments(self) -> dict[str, Any]:
        return {"model": self.model, "api_base": self.url, "api_key": KEY}

    @property
    def log(self) -> list[dict[str, Any]]:
        """The requests that it got, oldest first."""
        return self.running.log_of(self.deployment)

    def fault(self, *faults: dict[str, Any]) -> Chat:
        self.running.fault(self.deployment, *faults)
        return self

    def entry(self, name: str = "gpt", **beside: Any) -> dict[str, Any]:
        """An entry of a Router's `model_list`."""
        return {"model_name": name, "litellm_params": self.arguments, **beside}


def token(number: int = 0) -> str:
    """An Entra token that the simulated Azure takes, another one for each number."""
    parts = ({"alg": "RS256"}, {"exp": 4_000_000_000, "number": number})
    written = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return ".".join((*written, "c2lnbmF0dXJl"))


def body(entry: dict[str, Any]) -> Any:
    """The body of a request in the simulator's log."""
    return json.loads(entry["body"])


def header(entry: dict[str, Any], name: str) -> str | None:
    """A header of a request in the simulator's log."""
    return dict(entry["headers"]).get(name)
