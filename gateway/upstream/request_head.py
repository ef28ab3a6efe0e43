"""The head of a request to an upstream, and where it goes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from gateway import __version__
from gateway.upstream.connections import Origin

#: Sent with every request. Without `accept-encoding` a coded reply would be lawful.
_HEADERS = (
    "accept: */*\r\naccept-encoding: identity\r\ncontent-type: application/json\r\n"
    f"user-agent: azure-functions-openai-gateway/{__version__}\r\n"
)


@lru_cache(maxsize=1024)
def addressed(url: str) -> tuple[Origin, bytes]:
    """Where requests to `url` go, and the lines that all of them begin with.

    `url` is one that the configuration has checked: ASCII, without user, fragment or spaces.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    usual = 443 if secure else 80
    host, port = parts.hostname or "", parts.port or usual
    named = f"[{host}]" if ":" in host else host
    shown = named if port == usual else f"{named}:{port}"
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    beginning = f"POST {target} HTTP/1.1\r\nhost: {shown}\r\n{_HEADERS}"
    return Origin(host, port, secure), beginning.encode("ascii")


def request_head(beginning: bytes, headers: Mapping[str, str], length: int) -> bytes:
    """The whole head of a request with a body of `length` bytes; `beginning` is that of `addressed`."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return b"%b%bcontent-length: %d\r\n\r\n" % (beginning, lines.encode(), length)
