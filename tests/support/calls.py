"""Calling a gateway as clients do, one connection per call, and watching replies arrive.

`http.client` sends paths and headers as they are given and reports a body that breaks off, which the comfortable
libraries do not.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: The demo key of the gateways under test.
KEY = "sk-gateway-test-key"
#: Seconds after which a reply or an event is given up for lost; they only end a test that hangs.
PATIENCE = 60.0

MESSAGES = [{"role": "user", "content": "Say hello"}]


@dataclass(frozen=True)
class Answer:
    """A whole reply. `broken` when the body ended before its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    broken: bool = False

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json()["error"]

    @property
    def events(self) -> list[Any]:
        """Data of the reply's events, parsed but for [DONE]; comments are left out."""
        return parse_events(self.body)

    @property
    def text(self) -> str:
        """The text that a chat stream adds up to."""
        choices = [
            event["choices"][0] for event in self.events if isinstance(event, dict) and event["choices"]
        ]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


def parse_events(body: bytes) -> list[Any]:
    assert body.endswith((b"\n\n", b"\r\n\r\n")), body[-200:]
    lines = body.decode().replace("\r\n", "\n").split("\n")
    datas = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [data if data == "[DONE]" else json.loads(data) for data in datas]


def encode(body: Any) -> bytes | None:
    return body if body is None or isinstance(body, bytes) else json.dumps(body).encode()


def fields(body: bytes | None, key: str | None, headers: Mapping[str, str]) -> dict[str, str]:
    given = {"content-type": "application/json"} if body is not None else {}
    if key is not None:
        given["authorization"] = f"Bearer {key}"
    return given | dict(headers)


@contextlib.contextmanager
def opened(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    *,
    key: str | None = KEY,
    headers: Mapping[str, str] | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """Send a request; yields its reply once the head is there, unread."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    content = encode(body)
    try:
        connection.request(method, path, content, fields(content, key, headers or {}))
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


def call(port: int, method: str, path: str, body: Any = None, **options: Any) -> Answer:
    """Send a request and read the whole reply; options as for `opened`."""
    with opened(port, method, path, body, **options) as response:
        try:
            content, broken = response.read(), False
        except http.client.IncompleteRead as error:
            content, broken = error.partial, True
        except ConnectionResetError:
            content, broken = b"", True
        return Answer(response.status, response.headers, content, broken)


def chat(port: int, model: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
    """One call of /v1/chat/completions with a small prompt."""
    return call(
        port, "POST", "/v1/chat/completions", {"model": model, "messages": MESSAGES} | more, headers=headers
    )


def head(method: str, path: str, *headers: str, key: str = KEY) -> bytes:
    """A request's head as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "host: gateway", f"authorization: Bearer {key}"]
    return "\r\n".join([*lines, "content-type: application/json", *headers, "", ""]).encode()


def post(path: str, body: Any) -> bytes:
    """A whole POST as bytes."""
    content = encode(body) or b""
    return head("POST", path, f"content-length: {len(content)}") + content


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def refuses(port: int) -> bool:
    """Whether nothing listens there any more."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        # It stopped listening while this waited to be accepted: the next one is refused.
        pass
    return False


def reset(connection: socket.socket) -> None:
    """Leave as a client does that crashes: with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    data = b""
    while mark not in data:
        more = connection.recv(65536)
        assert more, f"{mark!r} never came: {data[-500:]!r}"
        data += more
    return data


def read_all_of(connection: socket.socket) -> bytes:
    """One whole reply with a Content-Length, or everything until the other side closes."""
    data = read_until(connection, b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", data)
    end = data.index(b"\r\n\r\n") + 4 + int(length[1]) if length else sys.maxsize
    while len(data) < end and (more := connection.recv(65536)):
        data += more
    return data


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes; a reset counts as that."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(65536):
            data += more
    return data


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """The first truthy value of `condition`, else its last one."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return value
