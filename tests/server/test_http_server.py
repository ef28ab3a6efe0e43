"""The embedded host as a process: how it ends, what it refuses, what it writes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time

import pytest
from support import http
from support.calls import PATIENCE, connect, head, read_all, read_until, refuses, wait_for
from support.hosts import PROGRAMS, find_functions_python, start_embedded_host
from support.loops import LOOPS, runner
from support.processes import ROOT
from support.sample_app import SAMPLE_APP, seen

from gateway.server.http_process import accept, listen

pytestmark = pytest.mark.system


def send(host, request: bytes) -> tuple[int, bytes]:
    """Status and body of the reply to raw bytes."""
    with connect(host.port) as connection:
        connection.sendall(request)
        reply = read_until(connection, b"\r\n\r\n")
        headers, _, body = reply.partition(b"\r\n\r\n")
        body = body or connection.recv(65536)
    return int(headers.split()[1]), body


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_a_stream_finish(number):
    with (
        start_embedded_host(SAMPLE_APP, grace_seconds=600) as host,
        connect(host.port) as connection,
        connect(host.port) as idle,
    ):
        connection.sendall(head("GET", "/api/events?count=6&gap=0.1"))
        read_until(connection, b"data: 0")
        host.process.send_signal(number)
        rest = read_all(connection)

        assert rest.endswith(b"data: 5\n\n\r\n0\r\n\r\n")
        # Long before the grace is over.
        assert 0 == host.process.wait(PATIENCE)
        assert b"" == read_all(idle)
        assert "" == host.log()


def test_no_connection_is_accepted_after_the_first_signal():
    with start_embedded_host(SAMPLE_APP, grace_seconds=600) as host, connect(host.port) as connection:
        connection.sendall(head("GET", "/api/events?count=1000&gap=0.1"))
        read_until(connection, b"data: 0")
        host.process.send_signal(signal.SIGTERM)

        assert wait_for(lambda: refuses(host.port))
        # The stream under way still has its grace.
        assert host.process.poll() is None


def test_connections_without_a_whole_request_do_not_use_the_grace():
    with (
        start_embedded_host(SAMPLE_APP, grace_seconds=600) as host,
        connect(host.port) as idle,
        connect(host.port) as half,
    ):
        idle.sendall(head("GET", "/api/json"))
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 ")
        half.sendall(b"POST /api/js")
        host.process.terminate()

        assert (b"", b"") == (read_all(idle), read_all(half))
        assert 0 == host.process.wait(PATIENCE)


def test_what_takes_longer_than_the_grace_is_cut():
    with start_embedded_host(SAMPLE_APP, grace_seconds=0.5) as host, connect(host.port) as connection:
        connection.sendall(head("GET", "/api/events?count=1000&gap=0.1"))
        read_until(connection, b"data: 0")
        host.process.send_signal(signal.SIGTERM)
        rest = read_all(connection)

        assert not rest.endswith(b"0\r\n\r\n")
        assert 0 == host.process.wait(PATIENCE)
        # By the host's own clock: an event each 0.1 s.
        assert rest.count(b"data: ") < 20
        assert "Traceback" not in host.log()


@pytest.mark.parametrize("python", ["this", "functions"])
def test_the_second_signal_ends_everything_at_once(python):
    """Also on the newer Python, whose asyncio.Server waits for its connections."""
    interpreter = sys.executable if python == "this" else find_functions_python()
    with (
        start_embedded_host(SAMPLE_APP, grace_seconds=600, python=interpreter) as host,
        connect(host.port) as connection,
    ):
        connection.sendall(head("GET", "/api/events?count=10000&gap=0.1"))
        read_until(connection, b"data: 0")
        host.process.send_signal(signal.SIGINT)
        # Two signals before it has looked are one to it.
        assert wait_for(lambda: refuses(host.port))
        host.process.send_signal(signal.SIGINT)

        # By itself the first would have left the stream ten minutes.
        assert 0 == host.process.wait(PATIENCE)
        assert "Traceback" not in host.log()


def test_a_taken_port_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, str(PROGRAMS / "embedded_host.py"), str(SAMPLE_APP), str(port)]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE, check=False
        )

    assert (1, "") == (done.returncode, done.stdout)
    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use\n" == done.stderr


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head("GET", "/api/json?" + "a" * 9000), 414),
        (head("GET", "/api/json", "x-long: " + "a" * 33000), 431),
        (head("GET", "/api/json", *(f"x-{n}: 1" for n in range(101))), 431),
        (head("GET", "/api/json", *(f"x-{n}:" for n in range(5000))), 431),
        (head("GET", "/api/json", "x-endless: " + "a" * 400_000)[:-4], 431),
        (b"GET /api/json\r\n\r\n", 400),
        (b"GET /api/json HTTP/1.1\r\n\r\n", 400),
        (head("GET", "/api/json", "host: second"), 400),
        (head("CONNECT", "test:80"), 400),
        (head("OPTIONS", "*"), 404),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (head("GET", "/api/\xff".encode("latin-1").decode("latin-1")), 400),
        (head("GET", "/api/json", "no colon"), 400),
        (head("POST", "/api/json", "content-length: 1", "content-length: 2"), 400),
        (head("POST", "/api/json", "content-length: many"), 400),
        (head("POST", "/api/json", "transfer-encoding: chunked") + b"zz\r\n", 400),
    ],
)
def test_a_head_that_cannot_be_served_is_the_clients_fault(embedded_host, request_head, status):
    found, body = send(embedded_host, request_head)

    assert (status, "invalid_request_error") == (found, json.loads(body)["error"]["type"])


def test_http_1_0_needs_no_host(embedded_host):
    assert 200 == send(embedded_host, b"GET /api/json HTTP/1.0\r\n\r\n")[0]


def test_a_large_body_after_a_small_head_is_no_large_head(embedded_host):
    with connect(embedded_host.port) as connection:
        for _ in range(2):
            body = b"x" * 300_000
            connection.sendall(head("POST", "/api/upload", f"content-length: {len(body)}")[:-2])
            time.sleep(0.05)
            connection.sendall(b"\r\n" + body)

            assert read_until(connection, b"}").endswith(b'{"total":300000,"whole":false}')


def test_a_large_body_is_not_counted_as_part_of_the_next_head(embedded_host):
    body = b"x" * 100_000
    with connect(embedded_host.port) as connection:
        connection.sendall(head("POST", "/api/upload", f"content-length: {len(body)}"))
        time.sleep(0.05)
        connection.sendall(body + b"GET /api/mod")
        time.sleep(0.05)
        connection.sendall(b"els/a HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        replies = read_all(connection)

    assert b'{"total":100000,"whole":false}' in replies
    assert replies.endswith(b'"params":{"model":"a"}}')


def test_an_offer_of_another_protocol_is_ignored_and_the_body_kept(embedded_host):
    """As Java's HTTP client sends it with every request."""
    headers = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB"]

    status, body = send(embedded_host, head("POST", "/api/json", *headers, "content-length: 7") + b'{"a":1}')

    assert (200, {"method": "POST", "body": '{"a":1}'}) == (status, json.loads(body))


def test_slashes_are_collapsed(embedded_host):
    assert "x" == http.get(f"{embedded_host.url}//api///models//x").json()["params"]["model"]


def test_an_unknown_path_is_answered_in_openais_shape(embedded_host):
    response = http.get(f"{embedded_host.url}/unknown")

    error = {
        "message": "No such route.",
        "type": "invalid_request_error",
        "param": None,
        "code": "unknown_url",
    }
    assert (404, {"error": error}) == (response.status_code, response.json())
    assert response.headers["x-request-id"]


def test_ordinary_use_writes_nothing():
    with start_embedded_host(SAMPLE_APP) as host:
        http.get(f"{host.url}/api/json")
        with connect(host.port) as connection:
            connection.sendall(head("GET", "/api/wait"))
            assert wait_for(lambda: seen(host, "wait_started") == 1)
        assert wait_for(lambda: seen(host, "wait_disconnected") == 1)
        with connect(host.port) as connection:
            connection.sendall(head("POST", "/api/upload", "content-length: 100") + b"x")
        http.get(f"{host.url}/unknown")

        assert "" == host.log()


def test_pipelined_requests_are_answered_in_order(embedded_host):
    with connect(embedded_host.port) as connection:
        connection.sendall(head("GET", "/api/models/a") + head("GET", "/api/models/b", "connection: close"))
        replies = read_all(connection)

    assert 0 < replies.index(b'{"model":"a"}') < replies.index(b'{"model":"b"}')


@pytest.mark.parametrize("loop", LOOPS)
def test_connections_that_come_at_once_are_accepted_in_a_few_turns_of_the_loop(loop):
    async def accepted_in():
        turn, turns = 0, []

        class Accepted(asyncio.Protocol):
            def connection_made(self, transport):
                turns.append(turn)

        listener = listen("127.0.0.1", 0)
        servers = await accept(listener, Accepted)
        with contextlib.ExitStack() as clients:
            for _ in range(64):
                clients.enter_context(socket.create_connection(listener.getsockname(), PATIENCE))
            while len(turns) < 64:
                await asyncio.sleep(0)
                turn += 1
        for server in servers:
            server.close()
        return len(set(turns))

    assert runner(loop)(accepted_in()) <= 32


@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_whose_client_has_vanished_is_found_out_by_the_kernel(loop):
    """Its probes are asked for once, at the listener."""

    async def probed():
        accepted = asyncio.get_running_loop().create_future()

        class Accepted(asyncio.Protocol):
            def connection_made(self, transport):
                accepted.set_result(
                    transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                )
                transport.close()

        listener = listen("127.0.0.1", 0)
        servers = await accept(listener, Accepted)
        with socket.create_connection(listener.getsockname(), PATIENCE):
            found = await accepted
        for server in servers:
            server.close()
        return found

    assert 1 == runner(loop)(probed())
