"""Deployments, calls and callers for the tests of the core's modules."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from gateway.config.deployment import ApiKey, Config, Deployment, Target
from gateway.protocol import calls
from gateway.protocol.json_body import parse
from gateway.protocol.operations import CHAT
from gateway.settings import read
from gateway.upstream.client import LONGEST_REPLY
from gateway.upstream.expected import Expected
from gateway.upstream.redaction import Scrubber

DEFAULT_BASE = "https://contoso-east.openai.azure.com"


def deployment(
    identity="a", *, base=DEFAULT_BASE, name="dep-a", operations=("chat",), **fields
) -> Deployment:
    """A member of the model "gpt"; `model_in_body` and `stream_usage` belong to its targets."""
    model_in_body = fields.pop("model_in_body", False)
    stream_usage = fields.pop("stream_usage", True)
    url = f"{base}/openai/deployments/{name}/x"
    target = Target(url, model_in_body=model_in_body, stream_usage=stream_usage)
    values: dict[str, Any] = {
        "model_name": "gpt",
        "provider": "azure",
        "credential": ApiKey("upstream-key"),
        "targets": dict.fromkeys(operations, target),
    }
    return Deployment(id=identity, name=name, **(values | fields))


def config(*deployments, **fields) -> Config:
    """A configuration with the one model "gpt", open to all where nobody has a key."""
    if not any(fields.get(name) for name in ("master_key", "clients", "entra")):
        fields.setdefault("allow_anonymous", True)
    return Config(models={"gpt": deployments}, **fields)


def settings(**environ):
    """Settings as they come from GATEWAY_...; write the rest of the name in lower case."""
    return read({f"GATEWAY_{name.upper()}": str(value) for name, value in environ.items()})


def call(operation=CHAT, *, path_model=None, **members) -> calls.Call:
    """A call of the model "gpt" whose body has `members` too."""
    body = json.dumps({"model": "gpt", **members}).encode()
    return calls.read(operation, parse(body), path_model)


@dataclass
class Caller:
    """A caller whose body is there, and who leaves when `go` is called."""

    pieces: list[bytes] = field(default_factory=list)
    leave: Any = None
    gone: bool = False

    async def chunks(self):
        for piece in self.pieces:
            yield piece

    def watch(self, leave):
        self.leave = leave

    def go(self):
        """Leave; nothing happens when nobody watches."""
        self.gone = True
        if self.leave is not None:
            self.leave()


def expected(one, member=None, *, hide_usage=False, max_reply=LONGEST_REPLY) -> Expected:
    """What is known of the reply to the call `one` of `member`."""
    member = member or deployment()
    return Expected(one, member, hide_usage, Scrubber(config(member)), max_reply)


#: What Azure says of a token limit, with the seconds to wait.
TOKEN_LIMIT = (
    "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-02-01 have exceeded "
    "token rate limit of your current OpenAI S0 pricing tier. Please retry after {} seconds."
)
