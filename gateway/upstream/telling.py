"""The values of a configuration that no client may learn. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from gateway.config.deployment import (
    ApiKey,
    ClientSecret,
    Config,
    Deployment,
    FederatedToken,
    ManagedIdentity,
    StaticToken,
)

#: Words of upstream's own texts. A resource or a deployment that is called so cannot be told from them.
_COMMON = frozenset(
    [
        "api",
        "assistant",
        "audio",
        "azure",
        "chat",
        "completion",
        "completions",
        "content",
        "default",
        "deployment",
        "embedding",
        "embeddings",
        "error",
        "function",
        "gateway",
        "message",
        "messages",
        "model",
        "openai",
        "operation",
        "prompt",
        "request",
        "resource",
        "speech",
        "system",
        "test",
        "text",
        "token",
        "tokens",
        "tool",
        "user",
        "www",
    ]
)
#: Members of a request default, such as `data_sources`, that name what is the operator's, or open it.
_NAMES = re.compile(
    r"index|configuration|deployment|resource|database|container|account|server|collection|fields_mapping",
    re.IGNORECASE,
)
_SECRETS = re.compile(r"key|token|secret|password|connection|credential", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s/?#]+", re.IGNORECASE)
#: Domains of Azure's resources, whose first label is the resource's name.
_AZURE = re.compile(r"\.(azure|azure-api|windows|cognitive|microsoft|chinacloudapi|usgovcloudapi)\b")
#: Shorter ones are found in upstream's own words.
SHORTEST_SECRET = 6
_SHORTEST_NAME = 3
_SHORTEST_BASE64 = 12


@dataclass(frozen=True, slots=True)
class TellingValues:
    """What no client may learn, all in lower case."""

    #: Hosts, without port.
    hosts: set[str] = field(default_factory=set)
    #: Names of Azure resources: the first label of their hosts.
    resources: set[str] = field(default_factory=set)
    #: Names of deployments, search indexes and the like.
    names: set[str] = field(default_factory=set)
    #: Keys and tokens.
    secrets: set[str] = field(default_factory=set, repr=False)


def telling_values(config: Config) -> TellingValues:
    """Every host, resource, deployment, index and key of `config`."""
    values = TellingValues()
    for deployment in (each for group in config.models.values() for each in group):
        _read(deployment, values)
    if config.master_key:
        values.secrets.add(config.master_key.lower())
    public = {name.lower() for name in (*config.models, *config.aliases)}
    values.names.difference_update(public, _COMMON)
    values.resources.difference_update(_COMMON)
    for texts, shortest in (
        (values.secrets, SHORTEST_SECRET),
        (values.names, _SHORTEST_NAME),
        (values.resources, _SHORTEST_NAME),
    ):
        texts.difference_update([text for text in texts if len(text) < shortest])
    return values


def _read(deployment: Deployment, values: TellingValues) -> None:
    values.names.add(deployment.name.lower())
    for target in deployment.targets.values():
        _add_url(target.url, values)
    telling: tuple[str, ...] = ()
    match deployment.credential:
        case ApiKey(key=secret) | StaticToken(token=secret):
            telling = (secret,)
        case ClientSecret(tenant_id, client_id, secret) | FederatedToken(tenant_id, client_id, secret):
            # The last is the path of a file for a federated token.
            telling = (tenant_id, client_id, secret)
        case ManagedIdentity(client_id):
            telling = (client_id,)
    for text in telling:
        values.secrets.update(each.lower() for each in (text, *_in_base64(text)))
    if deployment.organization:
        values.secrets.add(deployment.organization.lower())
    values.secrets.update(value.lower() for value in deployment.headers.values())
    for key, default in (*deployment.defaults.items(), *deployment.extra_body.items()):
        for name, text in _texts(key, default):
            _add_text(name, text, values)


def _in_base64(text: str) -> Iterator[str]:
    """What base64 makes of `text` wherever it stands in a longer text, as in basic authentication."""
    for begin in range(3):
        part = text.encode()[begin:]
        coded = base64.b64encode(part[: len(part) // 3 * 3]).decode()
        if len(coded) >= _SHORTEST_BASE64:
            yield coded


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text within `value`, and the key that it stands under."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(str(name), inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(key, inner)


def _add_text(key: str, text: str, values: TellingValues) -> None:
    for url in _URL.findall(text):
        _add_url(url, values)
    if _SECRETS.search(key):
        values.secrets.add(text.lower())
    elif _NAMES.search(key) and not _URL.match(text):
        values.names.add(text.lower())


def _add_url(url: str, values: TellingValues) -> None:
    try:
        host = (urlsplit(url).hostname or "").lower()
    except ValueError:
        return
    if ":" in host:
        # An address of IPv6 is no word.
        values.secrets.add(host)
    elif host:
        values.hosts.add(host)
    if _AZURE.search(host):
        values.resources.add(host.partition(".")[0])
