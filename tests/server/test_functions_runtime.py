"""What only the Functions runtime can get wrong: the two halves of a request, and its bookkeeping."""

from __future__ import annotations

import contextlib
import select
import time

import httpx
import pytest
from support import http
from support.calls import PATIENCE, connect, head, read_all, read_until, wait_for
from support.hosts import start_functions_host
from support.sample_app import SAMPLE_APP, seen, state

pytestmark = pytest.mark.system

#: The sample app's bound here.
WAIT_SECONDS = 3

NO_REQUEST = {"x-host-fault": "no-request"}
NO_INVOCATION = {"x-host-fault": "no-invocation"}


@pytest.fixture(scope="module")
def functions_host():
    with start_functions_host(SAMPLE_APP, {"GATEWAY_ARRIVAL_TIMEOUT": str(WAIT_SECONDS)}) as host:
        yield host


def test_the_runtime_runs_on_the_loop_that_the_worker_installs(functions_host):
    assert "uvloop" == state(functions_host)["loop"]


def timed_get(url, headers):
    began = time.monotonic()
    response = http.get(url, headers=headers)
    return response, time.monotonic() - began


@contextlib.contextmanager
def streaming(host, seconds):
    """A stream of that many seconds beside what a test does; yields what tells whether it is over."""
    with connect(host.port) as stream:
        stream.sendall(head("GET", f"/api/events?count={10 * seconds}&gap=0.1"))
        received = bytearray(read_until(stream, b"data: 0"))

        def over():
            while select.select([stream], [], [], 0)[0] and (piece := stream.recv(65_536)):
                received.extend(piece)
            return received.endswith(b"0\r\n\r\n")

        yield over


def test_an_invocation_whose_request_never_arrives_ends_within_its_bound(functions_host):
    failed = state(functions_host)["failed"]

    with streaming(functions_host, 10 * WAIT_SECONDS) as over:
        response, took = timed_get(f"{functions_host.url}/api/json", NO_REQUEST)
        assert not over()

    assert 500 == response.status_code
    assert WAIT_SECONDS <= took
    assert failed + 1 == state(functions_host)["failed"]
    assert wait_for(lambda: state(functions_host)["entries"] == 0)


def test_a_request_whose_invocation_never_comes_ends_within_its_bound(functions_host):
    with streaming(functions_host, 10 * WAIT_SECONDS) as over:
        response, took = timed_get(f"{functions_host.url}/api/json", NO_INVOCATION)
        assert not over()

    assert (500, "internal_error") == (response.status_code, response.json()["error"]["code"])
    assert WAIT_SECONDS <= took
    assert wait_for(lambda: state(functions_host)["entries"] == 0)


def test_other_requests_are_untouched_by_halves_that_wait(functions_host):
    with (
        connect(functions_host.port) as stream,
        connect(functions_host.port) as half,
        connect(functions_host.port) as other,
    ):
        stream.sendall(head("GET", "/api/events?count=20&gap=0.1"))
        half.sendall(head("GET", "/api/json", "x-host-fault: no-request"))
        other.sendall(head("GET", "/api/json", "x-host-fault: no-invocation"))
        http.get(f"{functions_host.url}/api/json")
        answered = select.select([half, other], [], [], 0)[0]
        whole = read_until(stream, b"0\r\n\r\n")

    assert [] == answered
    assert 20 == whole.count(b"data: ")


def test_the_bound_does_not_count_for_a_handler_at_work(functions_host):
    response = http.get(f"{functions_host.url}/api/wait?ticks={int(WAIT_SECONDS * 150)}")

    assert "waited" == response.text


def test_a_client_that_leaves_a_half_behind_leaves_no_entry(functions_host):
    with connect(functions_host.port) as connection:
        connection.sendall(head("GET", "/api/json", "x-host-fault: no-invocation"))
        assert wait_for(lambda: state(functions_host)["entries"] > 0)

    assert wait_for(lambda: state(functions_host)["entries"] == 0)


@pytest.mark.parametrize("path", ["before", "none", "cancelled", "after"])
def test_a_failed_handler_leaves_no_entry(functions_host, path):
    with connect(functions_host.port) as connection:
        connection.sendall(head("GET", f"/api/fail/{path}", "connection: close"))
        read_all(connection)

    assert wait_for(lambda: state(functions_host)["entries"] == 0)


def test_every_invocation_is_answered_when_clients_leave_while_handlers_run(functions_host):
    before, started = state(functions_host), seen(functions_host, "wait_started")
    connections = [connect(functions_host.port) for _ in range(20)]
    for connection in connections:
        connection.sendall(head("POST", "/api/wait", "content-length: 2") + b"{}")
    assert wait_for(lambda: seen(functions_host, "wait_started") == started + 20)

    for connection in connections:
        connection.close()

    assert wait_for(lambda: state(functions_host)["running"] == 0)
    assert before["unanswered"] == state(functions_host)["unanswered"]
    assert 0 == state(functions_host)["entries"]


def test_what_is_logged_at_the_end_of_a_stream_reaches_the_console_once(functions_host):
    http.get(f"{functions_host.url}/api/events?count=7&gap=0")

    assert wait_for(lambda: "a stream of 7 is over" in functions_host.log())
    assert 1 == functions_host.log().count("a stream of 7 is over")


def test_a_request_that_succeeds_logs_nothing_by_itself(functions_host):
    before = functions_host.log()

    http.get(f"{functions_host.url}/api/json")

    assert before == functions_host.log()


def test_nothing_grows_over_three_thousand_requests():
    """The runtime alone would keep 2 KB for each request."""
    with (
        start_functions_host(SAMPLE_APP) as host,
        httpx.Client(base_url=host.url, timeout=PATIENCE) as client,
    ):

        def work(rounds):
            for number in range(rounds):
                client.get("/api/json")
                if number % 10 == 0:
                    with connect(host.port) as connection:
                        connection.sendall(head("GET", "/api/events?count=100&gap=0.01"))
                    client.get("/api/fail/before")
            assert wait_for(lambda: state(host)["running"] == 0)
            return state(host)

        before, after = work(500), work(2500)

        assert 0 == after["entries"]
        assert before["tasks"] == after["tasks"]
        assert after["rss"] - before["rss"] < 2_000_000
