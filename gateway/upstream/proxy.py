"""The network as the environment describes it: a proxy for https addresses, and the certificates to trust.

A proxy is asked for a tunnel (CONNECT, RFC 9110 section 9.3.6), within which TLS is spoken to upstream
itself. Plain http, which is for this machine alone, never goes through one.
"""

from __future__ import annotations

import asyncio
import base64
import re
import socket
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

#: Bytes of a proxy's reply within which its head must have ended.
_MAX_HEAD = 16_384
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")


@dataclass(frozen=True, slots=True)
class Network:
    """How https addresses are reached."""

    #: http://[USER:PASSWORD@]HOST[:PORT]; None for no proxy.
    proxy: str | None = field(default=None, repr=False)
    #: Hosts that are reached without it: names with all below them, addresses, each with a port if wanted; *.
    bypass: tuple[str, ...] = ()
    #: A file of certificates to trust in place of the system's.
    verify: str | None = None

    def proxy_for(self, host: str, port: int) -> tuple[str, int] | None:
        """Host and port of the proxy for `host`; None where it is reached without one."""
        if self.proxy is None or any(_matches(entry, host, port) for entry in self.bypass):
            return None
        parts = urlsplit(self.proxy)
        return parts.hostname or "", parts.port or 80

    def authorization(self) -> bytes:
        """The header line with which the proxy lets us in, if it wants one."""
        parts = urlsplit(self.proxy or "")
        if not parts.username:
            return b""
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        return b"proxy-authorization: Basic " + base64.b64encode(pair) + b"\r\n"


async def open_tunnel(connection: socket.socket, host: str, port: int, network: Network) -> None:
    """Make a connection to the proxy one to `host`. Raises OSError where the proxy refuses."""
    loop = asyncio.get_running_loop()
    name = f"[{host}]" if ":" in host else host
    target = f"{name}:{port}".encode("idna" if not name.isascii() else "ascii")
    head = b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (target, target, network.authorization())
    await loop.sock_sendall(connection, head)
    reply = b""
    while b"\r\n\r\n" not in reply:
        # One byte at a time: what follows the head is upstream's.
        piece = await loop.sock_recv(connection, 1)
        reply += piece
        if not piece or len(reply) > _MAX_HEAD:
            raise OSError("the proxy gave no answer")
    status = _STATUS.match(reply)
    if status is None or not status[1].startswith(b"2"):
        raise OSError("the proxy refuses the tunnel")


def _matches(entry: str, host: str, port: int) -> bool:
    name, _, wanted = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
    if wanted and wanted != str(port):
        return False
    name, host = name.lstrip(".").lower(), host.lower()
    return name in {"*", host} or host.endswith(f".{name}")
