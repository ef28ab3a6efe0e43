"""The operations the gateway serves, as data: one value per operation.

Knows names, upstream paths and what differs between operations; knows no HTTP, client or limit.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Newest dated api-version that is generally available (Microsoft publishes none after it).
DEFAULT_API_VERSION = "2024-10-21"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the OpenAI API."""

    #: Our name, also OpenTelemetry's `gen_ai.operation.name` where it has one.
    name: str
    #: Path below the base URL, the same at OpenAI and behind Azure's deployment path.
    path: str
    #: Dated api-version for Azure when the configuration names none.
    default_api_version: str = DEFAULT_API_VERSION
    #: Whether a stream can be asked to report its usage (`stream_options.include_usage`).
    streams_usage: bool = False
    #: Whether the reply is JSON (else it is copied as it comes).
    json_reply: bool = True


CHAT = Operation("chat", "chat/completions", streams_usage=True)
COMPLETIONS = Operation("text_completion", "completions", streams_usage=True)
EMBEDDINGS = Operation("embeddings", "embeddings")
#: Dated paths serve speech in preview versions only.
SPEECH = Operation("speech", "audio/speech", default_api_version="2025-04-01-preview", json_reply=False)

#: Answered by the gateway itself: the list of models, or one of them.
MODELS = Operation("models", "models")
#: Answered by the gateway itself, for its operator: the state of each deployment.
DEPLOYMENTS = Operation("deployments", "gateway/deployments")

#: What deployments serve.
OPERATIONS = (CHAT, COMPLETIONS, EMBEDDINGS, SPEECH)
