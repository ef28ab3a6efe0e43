"""The same scenarios on the embedded host and on the real Functions runtime, on each loop, with the same results."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise

import httpx
import pytest
from support import http
from support.calls import connect, head, read_all, read_until, wait_for
from support.sample_app import seen

NEUTRAL_ERROR = {
    "error": {
        "message": "The gateway failed to process the request. Quote the request id to its operator.",
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }
}


def test_json_is_answered(host):
    response = http.post(f"{host.url}/api/json", content=b'{"a": 1}')

    assert (200, "application/json") == (response.status_code, response.headers["content-type"])
    assert {"method": "POST", "body": '{"a": 1}'} == response.json()


def test_events_arrive_one_by_one(host):
    arrivals = []
    with connect(host.port) as connection:
        connection.sendall(head("GET", "/api/events?count=4&gap=0.15"))
        data = b""
        while b"data: 3" not in data:
            more = connection.recv(65536)
            arrivals += [time.monotonic()] * more.count(b"data: ")
            data += more

    gaps = [later - earlier for earlier, later in pairwise(arrivals)]

    assert 3 == len(gaps)
    assert [True] * 3 == [0.05 < gap < 0.5 for gap in gaps], gaps


def test_binary_is_not_changed(host):
    response = http.get(f"{host.url}/api/binary")

    assert "audio/mpeg" == response.headers["content-type"]
    assert bytes(range(256)) * 4096 == response.content


def test_a_handlers_status_and_headers_pass(host):
    response = http.get(f"{host.url}/api/status/418")

    assert (418, "yes") == (response.status_code, response.headers["x-sample"])


def test_no_header_tells_the_server(host):
    assert "server" not in http.get(f"{host.url}/api/json").headers


@pytest.mark.parametrize("path", ["before", "none", "cancelled"])
def test_a_handler_that_fails_is_answered_by_a_neutral_error(host, path):
    response = http.get(f"{host.url}/api/fail/{path}")

    assert (500, NEUTRAL_ERROR) == (response.status_code, response.json())
    assert response.headers["x-request-id"].startswith("req_")


def test_a_failure_is_logged_with_its_request_id_and_without_its_message(host):
    request_id = http.get(f"{host.url}/api/fail/before").headers["x-request-id"]
    assert wait_for(lambda: request_id in host.log())

    line = next(json.loads(line) for line in host.log().splitlines() if request_id in line)

    assert ("handler_failed", "ValueError") == (line["event"], line["error"])
    assert "secret text" not in host.log()


def test_a_reply_that_breaks_off_has_no_clean_end(host):
    with connect(host.port) as connection:
        connection.sendall(head("GET", "/api/fail/after"))
        reply = read_all(connection)

    assert b"data: 1\n\n" in reply
    assert b"\r\n0\r\n\r\n" not in reply
    assert b"secret text" not in reply


def test_a_waiting_handler_sees_its_client_leave(host):
    started, left = seen(host, "wait_started"), seen(host, "wait_disconnected")
    connection = connect(host.port)
    connection.sendall(head("GET", "/api/wait"))
    assert wait_for(lambda: seen(host, "wait_started") == started + 1)

    connection.close()

    assert wait_for(lambda: seen(host, "wait_disconnected") == left + 1)


def test_a_stream_is_cancelled_when_its_client_leaves(host):
    before = seen(host, "stream_cancelled")
    connection = connect(host.port)
    connection.sendall(head("GET", "/api/events?count=1000&gap=0.02"))
    read_until(connection, b"data: 2")

    connection.close()

    assert wait_for(lambda: seen(host, "stream_cancelled") == before + 1)


def test_a_client_that_leaves_at_once_does_no_harm(host):
    for _ in range(20):
        with connect(host.port) as connection:
            connection.sendall(head("POST", "/api/json", "content-length: 5") + b"hello")

    assert 200 == http.get(f"{host.url}/api/json").status_code


def test_two_hundred_streams_run_side_by_side(host):
    async def stream() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
        writer.write(head("GET", "/api/events?count=5&gap=0.1", "connection: close"))
        reply = await reader.read(-1)
        writer.close()
        return reply.count(b"data: ") if reply.endswith(b"0\r\n\r\n") else 0

    async def all_streams() -> list[int]:
        return await asyncio.gather(*(stream() for _ in range(200)))

    began = time.monotonic()
    assert 5 == asyncio.run(stream())
    alone = time.monotonic() - began
    began = time.monotonic()

    assert [5] * 200 == asyncio.run(all_streams())
    # One after the other they would take 200 times as long as one.
    assert time.monotonic() - began < 20 * alone


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("models/gpt-4o", {"model": "gpt-4o"}),
        ("MODELS/GPT-4o", {"model": "GPT-4o"}),
        ("models/gpt-4o/", {"model": "gpt-4o"}),
        ("models/a%20b%C3%A9", {"model": "a b\u00e9"}),
        ("models/a%2Fb", {"model": "a%2Fb"}),
        ("models/a%252Fb", {"model": "a%2Fb"}),
        ("models/x/../y", {"model": "y"}),
    ],
)
def test_path_parameters_arrive_decoded_but_for_slashes(host, path, params):
    # httpx resolves dot segments itself and normalises escapes.
    with connect(host.port) as connection:
        connection.sendall(head("GET", f"/api/{path}", "connection: close"))
        reply = read_all(connection)

    assert {"function": "model", "params": params} == json.loads(reply.partition(b"\r\n\r\n")[2])


def test_the_function_whose_name_sorts_first_wins(host):
    assert "model" == http.get(f"{host.url}/api/models/list").json()["function"]


def test_an_optional_parameter_may_be_absent(host):
    assert {} == http.get(f"{host.url}/api/optional").json()["params"]
    assert {"name": "x"} == http.get(f"{host.url}/api/optional/x").json()["params"]


@pytest.mark.parametrize(
    ("method", "path", "params"),
    [
        ("GET", "unknown/path", {"path": "unknown/path"}),
        ("GET", "", {}),
        ("POST", "models/gpt-4o", {"path": "models/gpt-4o"}),
        ("GET", "status/none", {"path": "status/none"}),
        ("GET", "azure%2Ftts-1/x", {"path": "azure%2Ftts-1/x"}),
    ],
)
def test_what_no_other_route_takes_reaches_the_catch_all(host, method, path, params):
    response = http.request(method, f"{host.url}/api/{path}")

    assert (404, {"function": "rest", "params": params}) == (response.status_code, response.json())


def test_nothing_answers_without_the_route_prefix(host):
    assert 404 == http.get(f"{host.url}/json").status_code


def test_head_has_no_body(host):
    response = http.head(f"{host.url}/api/echo")

    assert (200, b"") == (response.status_code, response.content)


def test_options_reaches_a_function_that_lists_it(host):
    assert "OPTIONS" == httpx.options(f"{host.url}/api/echo").json()["method"]


def test_repeated_request_headers_are_merged(host):
    headers = [("x-many", "1"), ("cookie", "a=1"), ("x-many", "2"), ("cookie", "b=2")]

    found = http.get(f"{host.url}/api/echo", headers=headers).json()["headers"]

    assert (["1, 2"], ["a=1; b=2"]) == (found["x-many"], found["cookie"])


def test_forwarding_headers_are_the_hosts(host):
    headers = {"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "gopher", "x-forwarded-host": "evil"}

    found = http.get(f"{host.url}/api/echo", headers=headers).json()["headers"]

    assert ["127.0.0.1"] == found["x-forwarded-for"]
    assert ["http"] == found["x-forwarded-proto"]
    assert [f"127.0.0.1:{host.port}"] == found["x-forwarded-host"]


def test_a_clients_invocation_id_is_not_passed_on(host):
    response = http.get(f"{host.url}/api/echo?a=1&b=%20", headers={"x-ms-invocation-id": "mine"})

    assert ["mine"] != response.json()["headers"].get("x-ms-invocation-id")
    assert "a=1&b=%20" == response.json()["query"]


def test_a_context_parameter_is_filled(host):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    found = http.get(f"{host.url}/api/context", headers={"traceparent": trace}).json()

    assert {"function": "sample_context", "trace": trace, "id": True} == found


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_is_not_held_whole(host, chunked):
    piece, count = b"x" * 65536, 320

    def pieces():
        yield from (piece for _ in range(count))

    content = pieces() if chunked else piece * count
    response = http.post(f"{host.url}/api/upload", content=content)

    assert {"total": len(piece) * count, "whole": False} == response.json()


def test_an_upload_arrives_while_the_client_still_sends(host):
    before = seen(host, "upload_began")
    with connect(host.port) as connection:
        connection.sendall(head("POST", "/api/upload", "transfer-encoding: chunked", "x-note: 1"))
        connection.sendall(b"5\r\nhello\r\n")
        began = wait_for(lambda: seen(host, "upload_began") == before + 1)
        connection.sendall(b"5\r\nworld\r\n0\r\n\r\n")
        reply = read_until(connection, b"}")

    assert began
    assert reply.endswith(b'{"total":10,"whole":false}')


def test_an_upload_that_breaks_off_does_no_harm(host):
    with connect(host.port) as connection:
        connection.sendall(head("POST", "/api/upload", "content-length: 1000000") + b"x" * 70000)

    assert 200 == http.get(f"{host.url}/api/json").status_code
