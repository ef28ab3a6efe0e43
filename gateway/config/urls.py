"""Where each operation of a deployment is called: pure functions from api_base and api_version to a URL.

The URL forms are Azure's (dated path per deployment; v1 with the deployment in the body) and OpenAI's.
Addresses come from the operator, but they decide where credentials go, so they are checked before use.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit

from gateway.config.deployment import Target
from gateway.protocol.operation import Operation
from gateway.protocol.operations import OPERATIONS

OPENAI_BASE = "https://api.openai.com/v1"

#: Values of api_version that mean the v1 path; `preview` is also sent as a query.
V1_VERSIONS = frozenset(("v1", "latest", "preview"))

#: First dated version that knows `stream_options.include_usage` (as 2024-09-01-preview, then GA 2024-10-21).
STREAM_USAGE_SINCE = "2024-09-01"

_QUERY = "?api-version="
_API_VERSION = re.compile(r"api-version=([A-Za-z0-9-]{1,40})", re.ASCII)
#: Hosts of web pages that people copy an address from.
_PORTALS = frozenset(
    ("portal.azure.com", "oai.azure.com", "ai.azure.com", "ml.azure.com", "platform.openai.com")
)
#: Ends of addresses of other APIs of a resource.
_FOREIGN = re.compile(
    r"(/models|/anthropic(/v1)?|/api/projects(/[^/]*)?|/openai/(v1/)?(assistants|threads|responses|realtime)|"
    r"(?<!/openai)/v1|/chat)$",
    re.IGNORECASE,
)

#: Said of an address that is not safe.
INSECURE = (
    "must begin with https://; http:// is allowed for 127.0.0.1, ::1 and localhost only, and for others with "
    "allow_insecure: true beside it"
)

_FORM = "write it as https://HOST or https://HOST/PATH"
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+", re.ASCII)
_PATH = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*", re.ASCII)

#: Addresses whose checks are remembered: a resource stands in the entries of all its deployments.
_REMEMBERED = 64


@lru_cache(_REMEMBERED)
def check_base(base: str) -> str:
    """Return `base` without trailing slashes. Raises ValueError with what is wrong, never with the URL."""
    if not base.strip():
        raise ValueError("is empty; write the address of the resource, https://...")
    if not _VISIBLE.fullmatch(base):
        # urlsplit() drops tabs and line breaks, so they are looked for before it.
        raise ValueError(f"holds spaces, line breaks or characters outside ASCII; {_FORM}")
    if "os.environ/" in base:
        raise ValueError("holds a reference in its middle; write os.environ/NAME as the whole value")
    base, version = _without_version(base)
    if any(mark in base for mark in "?#"):
        raise ValueError("must have no query or fragment; cut the address at the ? or #")
    if "@" in base.split("://", 1)[-1].split("/", 1)[0]:
        raise ValueError("must not hold a user name or password; use api_key")
    try:
        parts = urlsplit(base)
        port = parts.port
    except ValueError:
        raise ValueError(f"is not a valid URL; {_FORM}") from None
    if parts.scheme not in ("https", "http") or not base.lower().startswith(("https://", "http://")):
        raise ValueError("must begin with https://")
    host = parts.hostname or ""
    shown = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    if not _HOST.fullmatch(shown) or port == 0 or not _PATH.fullmatch(parts.path):
        raise ValueError(f"is not a valid URL; {_FORM}")
    if any(unquote(segment) in (".", "..") for segment in parts.path.split("/")):
        raise ValueError("must have no . or .. in its path")
    if host.lower() in _PORTALS:
        raise ValueError(
            "is the address of a portal; write the resource's own, https://NAME.openai.azure.com"
        )
    base = _without_operation(base.rstrip("/"))
    if base.endswith("/openai/deployments"):
        raise ValueError("must name a deployment after /openai/deployments/, or end before /openai")
    return f"{base}{_QUERY}{version}" if version else base


@lru_cache(_REMEMBERED)
def is_safe(base: str) -> bool:
    """Tell whether what goes to `base`, which `check_base` passed, is encrypted or stays on this machine."""
    parts = urlsplit(base)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _without_version(base: str) -> tuple[str, str]:
    """Split an address as Azure's portal shows it, with `?api-version=...` at its end."""
    address, mark, query = base.partition("?")
    match = _API_VERSION.fullmatch(query)
    return (address, match[1]) if mark and match else (base, "")


def _without_operation(base: str) -> str:
    """Cut the operation off a whole URL: chat/completions, embeddings and the like."""
    for path in sorted((operation.path for operation in OPERATIONS), key=len, reverse=True):
        if base.lower().endswith("/" + path):
            return base[: -len(path) - 1].rstrip("/")
    return base


def azure_base(base: str) -> tuple[str, str | None]:
    """Split what `check_base` returned for an Azure member: its address, and the version that it names.

    Raises ValueError for an address of something else than Azure OpenAI's API.
    """
    address, _, version = base.partition(_QUERY)
    path = urlsplit(address).path
    if path.endswith("/openai"):
        # The portal shows it so; what follows is ours to write.
        address = address.removesuffix("/openai")
    elif (match := _FOREIGN.search(path)) is not None:
        raise ValueError(
            f"ends in {match[0]}, which is no part of Azure OpenAI's API; write the resource's address, "
            "https://NAME.openai.azure.com or https://NAME.services.ai.azure.com"
        )
    return address, version or None


def openai_base(base: str) -> str:
    """Check what `check_base` returned for an OpenAI member. Raises ValueError."""
    if _QUERY in base:
        raise ValueError("must have no query; cut the address at the ?")
    parts = urlsplit(base)
    if (parts.hostname or "").lower() == "api.openai.com" and not parts.path:
        return base + "/v1"
    return base


def is_loopback(host: str) -> bool:
    """Tell whether `host` is this machine: localhost, 127.0.0.0/8 or ::1."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback if address.version == 4 else address == ipaddress.IPv6Address("::1")


def is_written_out(base: str) -> bool:
    """Tell whether `base` already names a deployment or the old extensions, and is used as it is."""
    path = urlsplit(base).path
    return "/openai/deployments/" in path or path.endswith("/extensions")


def azure_target(base: str, deployment: str, version: str | None, operation: Operation) -> Target:
    """Say how Azure serves `operation`; `version` None means the operation's own default version.

    `base` is one that `check_base` passed. Raises ValueError when base and version contradict each other.
    """
    if is_written_out(base):
        if version in V1_VERSIONS:
            raise ValueError(
                "v1, latest and preview need an address without a deployment; "
                "write a dated api_version here, or cut api_base before /openai"
            )
        return _dated(f"{base}/{operation.path}", version or operation.default_api_version, operation)
    if base.endswith("/openai/v1") or version in V1_VERSIONS:
        root = base if base.endswith("/openai/v1") else f"{base}/openai/v1"
        query = "?api-version=preview" if version == "preview" else ""
        return Target(
            f"{root}/{operation.path}{query}", model_in_body=True, stream_usage=operation.streams_usage
        )
    # quote() leaves no separator alone, so a deployment's name is always one segment.
    path = f"openai/deployments/{quote(deployment, safe='')}/{operation.path}"
    return _dated(f"{base}/{path}", version or operation.default_api_version, operation)


def openai_target(base: str, operation: Operation) -> Target:
    """Say how OpenAI, or a server like it at `base`, serves `operation`."""
    return Target(f"{base}/{operation.path}", model_in_body=True, stream_usage=operation.streams_usage)


def _dated(url: str, version: str, operation: Operation) -> Target:
    # Dates compare as text; the suffix does not take part.
    knows_usage = version[: len(STREAM_USAGE_SINCE)] >= STREAM_USAGE_SINCE
    return Target(
        f"{url}?api-version={version}",
        model_in_body=False,
        stream_usage=operation.streams_usage and knows_usage,
    )
