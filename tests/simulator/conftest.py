"""A running simulator, an HTTP client, and the recordings it is compared with."""

import json
import socket
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from simulator.testing import serve

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def recordings():
    return json.loads((DATA / "azure-fixtures.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def http():
    with httpx.Client(timeout=120) as client:
        yield client


class Client:
    """Calls one simulator as its only account."""

    def __init__(self, running, http):
        self.running = running
        self.http = http

    def post(self, path, body=None, *, key="k", headers=(), content=None):
        lines = [*([("api-key", key)] if key else []), *headers]
        options = {"content": content} if content is not None else {"json": body if body is not None else {}}
        return self.http.post(self.running.url + path, headers=lines, **options)

    def chat(self, text="hi", *, deployment="gpt", version="2024-10-21", headers=(), **options):
        body = {"messages": [{"role": "user", "content": text}], **options}
        path = f"/openai/deployments/{deployment}/chat/completions?api-version={version}"
        return self.post(path, body, headers=headers)

    def events(self, text="hi", **options):
        return events(self.chat(text, stream=True, **options).text)


def events(text):
    """Data of the server-sent events in a text."""
    assert text.endswith("\n\n")
    lines = text.removesuffix("\n\n").split("\n\n")
    assert all(line.startswith("data: ") for line in lines)
    datas = [line.removeprefix("data: ") for line in lines]
    return [data if data == "[DONE]" else json.loads(data) for data in datas]


@pytest.fixture
def simulate(http):
    """Start a simulator: `simulate({deployment}, ...)`, options of the account as keywords."""
    with ExitStack() as stack:

        def start(*deployments, clock=None, **account):
            defaults = {"name": "gpt", "model": "gpt-4o"}
            config = {
                "accounts": [
                    {
                        "name": "a",
                        "keys": ["k"],
                        "deployments": [defaults | item for item in deployments or ({},)],
                        **account,
                    }
                ]
            }
            return Client(stack.enter_context(serve(config, clock=clock)), http)

        yield start


@pytest.fixture
def connect():
    """Open raw connections to a simulator's URL; closed at the end."""
    with ExitStack() as stack:

        def open_connection(url):
            host, port = url.removeprefix("http://").split(":")
            return stack.enter_context(socket.create_connection((host, int(port)), timeout=120))

        yield open_connection


def request_bytes(path, body=b"{}", *, key="k", lines=()):
    """A POST as bytes."""
    head = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        f"api-key: {key}",
        f"Content-Length: {len(body)}",
        *lines,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@pytest.fixture(scope="session")
def raw():
    return request_bytes


def receive_until(connection, end):
    """Bytes up to and with `end`."""
    data = b""
    while not data.endswith(end):
        piece = connection.recv(65536)
        assert piece, data
        data += piece
    return data


@pytest.fixture(scope="session")
def until():
    return receive_until


@pytest.fixture(scope="session")
def parse_events():
    return events
