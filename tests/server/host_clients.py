"""The sample app, and HTTP over bare sockets for what no client library does: leaving early, and watching bytes arrive."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import httpx

#: The function app that the tests of the hosts run.
SAMPLE_APP = Path(__file__).parent / "sample_app"


def connect(host) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", host.port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def head(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: test", *headers, "", ""]).encode()


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    data = b""
    while mark not in data:
        more = connection.recv(65536)
        if not more:
            break
        data += more
    return data


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes; a reset counts as that."""
    data = b""
    try:
        while more := connection.recv(65536):
            data += more
    except ConnectionResetError:
        pass
    return data


def seen(host, event: str) -> int:
    """How often the sample app's handlers have noted `event`."""
    return httpx.get(f"{host.url}/api/seen").json().get(event, 0)


def state(host) -> dict[str, int]:
    """The state of the Functions worker."""
    return httpx.get(f"{host.url}/__host").json()


def wait_for(condition, seconds: float = 3) -> bool:
    """Whether `condition` came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
