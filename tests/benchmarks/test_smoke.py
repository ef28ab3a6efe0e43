"""The measurements run from end to end; their figures are judged by `make bench` only."""

from __future__ import annotations

import concurrent.futures
import contextlib
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmarks import cost, load
from benchmarks.tables import table

ROOT = Path(__file__).parents[2]


def run_quickly(*names):
    command = [sys.executable, "-m", "benchmarks", "--quick", *names]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)


@pytest.fixture(scope="module")
def quick_runs():
    """Quick runs of all measures, in two halves at the same time, for most of it is waiting."""
    halves = {"costs": ("cost", "latency"), "rest": ("coldstart", "memory", "functions")}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = {name: pool.submit(run_quickly, *names) for name, names in halves.items()}
        return {name: run.result() for name, run in runs.items()}


def test_a_quick_run_measures_the_gateway_beside_every_floor(quick_runs):
    done = quick_runs["costs"]
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    assert (0, "") == (done.returncode, done.stderr)
    assert ["gateway", "starlette-aiohttp", "starlette-httpx", "bare-aiohttp"] == rows[2:6]


def test_a_quick_run_measures_cold_start_memory_and_the_functions_runtime(quick_runs):
    done = quick_runs["rest"]
    assert (0, "") == (done.returncode, done.stderr)
    assert 3 == done.stdout.count("### ")


def test_a_quick_run_measures_callers_by_master_key_client_key_and_token():
    done = run_quickly("callers", "flood")
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    assert (0, ["master", "client", "token"]) == (done.returncode, rows[2:5]), done.stderr
    assert 3 == sum(row.startswith("the flood goes to") for row in rows)


def test_a_quick_run_measures_the_python_api_beside_the_core():
    done = run_quickly("python")
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    assert (0, ["core", "acompletion", "openai"]) == (done.returncode, rows[2:5]), done.stderr


def test_a_streamed_call_keeps_fewer_than_18_objects_of_ours_alive():
    command = [sys.executable, "-m", "benchmarks.objects"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    cells = [line.split("|")[1:-1] for line in done.stdout.splitlines()]
    (total,) = [[int(cell) for cell in row[1:]] for row in cells if row[0].strip() == "all"]
    made, alive = total
    assert alive < 18
    assert made > 0


def test_an_unknown_measure_is_refused():
    done = run_quickly("speed")
    assert (2, True) == (done.returncode, "unknown: speed" in done.stderr)


@pytest.mark.parametrize(("share", "kept"), [(1.5, True), (1.51, False)])
def test_a_broken_promise_is_reported(share, kept):
    rounds = {
        (name, case): [cost.Round(share if name == cost.GATEWAY and case == "16" else 1.0, 0.0, 0.0)] * 5
        for name in (cost.GATEWAY, cost.FLOOR)
        for case in cost.LIMITS
    }
    _, broken = cost.report([cost.GATEWAY, cost.FLOOR], rounds)
    assert ([] if kept else ["CPU per call (16): 1.51 x the floor, at most 1.5 x"]) == broken


@pytest.mark.parametrize(
    ("reply", "replies", "errors"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 2, 0),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}", 0, 2),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", 0, 1),
    ],
)
def test_the_load_generator_counts_only_whole_replies_of_status_200(scripted, reply, replies, errors):
    result = load.run(scripted(reply), b"POST / HTTP/1.1\r\n\r\n", 2, 1)
    assert (replies, errors) == (result.replies, result.errors)


@pytest.mark.parametrize(
    ("end", "replies"),
    [(b"data: [DONE]\n\n\r\n0\r\n\r\n", 1), (b"data: {}\n\n\r\n0\r\n\r\n", 0), (b"data: {", 0)],
)
def test_the_load_generator_counts_only_streams_that_come_to_their_end(scripted, end, replies):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    result = load.run(scripted(head + end), b"POST / HTTP/1.1\r\n\r\n", 1, 1, stream_bytes=20)
    assert (replies, 1 - replies) == (result.replies, result.errors)


def test_numbers_in_a_table_get_three_digits():
    assert "| a | b |\n| --- | ---: |\n| x | 0.123 |\n| y | 12.3 |" == table(
        ["a", "b"], [["x", 0.1234], ["y", 12.34]]
    )


@pytest.fixture
def scripted():
    """Starts a server that sends one reply to each request; a reply that is not whole ends the connection."""
    with contextlib.ExitStack() as stack:

        def start(reply):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            thread = threading.Thread(target=serve, args=[listener, reply])
            thread.start()
            stack.callback(thread.join, 5)
            return listener.getsockname()[1]

        yield start


def serve(listener, reply):
    connection, _ = listener.accept()
    with connection:
        while connection.recv(65536):
            connection.sendall(reply)
            if not reply.endswith((b"{}", b"\r\n")):
                return
