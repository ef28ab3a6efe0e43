"""HTTP on raw sockets, the request log, and what the simulator can be asked while it runs."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from support.calls import wait_for

from simulator.clock import ManualClock
from simulator.config import ConfigError, load, parse
from simulator.ports import free_port
from simulator.testing import serve
from simulator.wire import Connection

ROOT = Path(__file__).parents[2]
CHAT = "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
BODY = json.dumps({"messages": [{"role": "user", "content": "x"}]}).encode()
END_OF_BODY = b"}}"


def test_a_connection_is_kept_and_serves_one_request_after_the_other(simulate, connect, raw, until):
    client = simulate()
    connection = connect(client.running.url)
    for _ in range(3):
        connection.sendall(raw(CHAT, BODY))
        assert until(connection, END_OF_BODY).startswith(b"HTTP/1.1 200 OK\r\n")

    assert 1 == len({entry["peer_port"] for entry in client.running.log})


def test_pipelined_requests_are_answered_in_order(simulate, connect, raw, until):
    client = simulate({"faults": [{"delay_s": 0.1, "status": 500, "body": "first"}]})
    connection = connect(client.running.url)
    connection.sendall(raw(CHAT, BODY) + raw(CHAT, BODY))
    data = until(connection, END_OF_BODY)

    assert data.startswith(b"HTTP/1.1 500")
    assert b"firstHTTP/1.1 200 OK" in data


def test_a_connection_closes_when_the_client_says_so(simulate, connect, raw):
    connection = connect(simulate().running.url)
    connection.sendall(raw(CHAT, BODY, lines=["Connection: close"]))
    data = b""
    while piece := connection.recv(65536):
        data += piece

    assert b"\r\nConnection: close\r\n" in data


def test_a_chunked_upload_is_put_together(simulate, connect, until):
    client = simulate()
    connection = connect(client.running.url)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\napi-key: k\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    connection.sendall(head + b"5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (BODY[:5], len(BODY) - 5, BODY[5:]))

    assert until(connection, END_OF_BODY).startswith(b"HTTP/1.1 200")
    assert BODY.decode() == client.running.log[0]["body"]


def test_a_client_that_waits_to_be_told_to_go_on_is_told(simulate, connect, raw, until):
    connection = connect(simulate().running.url)
    connection.sendall(raw(CHAT, BODY, lines=["Expect: 100-continue"]).removesuffix(BODY))

    assert b"HTTP/1.1 100 Continue\r\n\r\n" == until(connection, b"\r\n\r\n")
    connection.sendall(BODY)
    assert until(connection, END_OF_BODY).startswith(b"HTTP/1.1 200")


def test_a_refusal_does_not_wait_for_the_body_and_the_connection_lives_on(simulate, connect, raw, until):
    client = simulate()
    connection = connect(client.running.url)
    connection.sendall(raw(CHAT, BODY, key="wrong").removesuffix(BODY))

    assert until(connection, END_OF_BODY).startswith(b"HTTP/1.1 401 PermissionDenied")
    connection.sendall(BODY)
    connection.sendall(raw(CHAT, BODY))
    assert until(connection, END_OF_BODY).startswith(b"HTTP/1.1 200")
    assert [BODY.decode()] * 2 == [entry["body"] for entry in client.running.log]


@pytest.fixture
def find_connection(monkeypatch):
    """Finds the simulator's side of a connection, once a condition holds of it."""
    made = []

    class Watched(Connection):
        def connection_made(self, transport):
            super().connection_made(transport)
            made.append(self)

    monkeypatch.setattr("simulator.server.Connection", Watched)

    def find(condition):
        found = wait_for(lambda: next(filter(condition, made), None))
        assert found is not None
        return found

    return find


def test_a_stream_waits_for_a_client_that_does_not_read(simulate, connect, raw, until, find_connection):
    client = simulate({"answer": " ".join(["x" * 100_000] * 100), "content_filter": "off"})
    connection = connect(client.running.url)
    connection.sendall(raw(CHAT, BODY.replace(b"}]}", b'}],"stream":true}')))
    connection_of_server = find_connection(lambda item: item.writable is not None)
    held = connection_of_server.transport.get_write_buffer_size()
    data = until(connection, b"0\r\n\r\n")

    assert held < 1_000_000 < len(data)


def test_small_writes_are_not_held_back(simulate, connect, find_connection):
    connection = connect(simulate().running.url)
    port = connection.getsockname()[1]
    found = find_connection(lambda item: item.transport.get_extra_info("peername")[1] == port)

    assert found.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_answer_that_nobody_waits_for_any_more_is_given_up(simulate, connect, raw, find_connection):
    client = simulate({"faults": [{"delay_s": 600}]})
    connection = connect(client.running.url)
    port = connection.getsockname()[1]
    connection.sendall(raw(CHAT, BODY))
    served = find_connection(
        lambda item: item.transport.get_extra_info("peername")[1] == port and item.task is not None
    ).task
    connection.close()

    assert wait_for(served.cancelled)
    assert client.running.log[0]["completed"] is None
    assert client.running.log[0]["disconnected"] >= client.running.log[0]["arrived"]


def test_what_is_no_http_is_refused(simulate, connect):
    connection = connect(simulate().running.url)
    connection.sendall(b"nonsense\r\n\r\n")

    assert connection.recv(65536).startswith(b"HTTP/1.1 400 Bad Request")


def test_a_defect_of_the_simulator_ends_the_connection_and_is_logged(simulate, connect, raw, caplog):
    client = simulate()
    client.running.simulator.places = None
    connection = connect(client.running.url)
    connection.sendall(raw(CHAT, BODY))

    assert b"" == connection.recv(65536)
    assert ["The simulator failed."] == [record.message for record in caplog.records]


def test_the_log_holds_the_request_as_it_came(simulate, connect, raw, until, http):
    client = simulate()
    connection = connect(client.running.url)
    body = b'{"messages":[{"role":"user","content":"x"}],  "temperature":1.0}'
    connection.sendall(raw(CHAT, body, lines=["X-Mixed-Case: A  b", "x-mixed-case: again"]))
    until(connection, END_OF_BODY)
    entry = http.get(f"{client.running.url}/__log").json()[0]

    assert body.decode() == entry["body"]
    assert ["Host", "api-key", "Content-Length", "X-Mixed-Case", "x-mixed-case"] == [
        name for name, _ in entry["headers"]
    ]
    assert ("POST", "api-version=2024-10-21") == (entry["method"], entry["query"])
    assert ("a", "gpt", 200, None) == tuple(
        entry[key] for key in ("account", "deployment", "status", "disconnected")
    )
    assert entry["completed"] >= entry["arrived"]
    assert entry == client.running.log[0]


def test_a_body_that_is_no_text_is_logged_as_base64(simulate):
    client = simulate()
    client.post(CHAT, content=b"\xff")

    assert "/w==" == client.running.log[0]["body_base64"]


def test_the_log_can_be_read_from_a_number_on_and_is_bounded(http):
    config = {"log_size": 2, "accounts": [{"name": "a", "deployments": []}]}
    with serve(config) as running:
        for _ in range(3):
            http.post(f"{running.url}/x")

        assert [2, 3] == [entry["number"] for entry in running.log]
        assert [3] == [entry["number"] for entry in http.get(f"{running.url}/__log?after=2").json()]
        assert {"requests": 3} == http.get(f"{running.url}/__stats").json()


def test_reset_goes_back_to_the_beginning(simulate, http):
    client = simulate({"limits": {"rpm": 1}, "faults": [{"status": 500}]})
    before = [client.chat().status_code for _ in range(3)]
    http.post(f"{client.running.url}/__reset")
    after = [client.chat().status_code for _ in range(3)]

    assert [500, 200, 429] == before == after
    assert [1, 2, 3] == [entry["number"] for entry in client.running.log]


def test_the_manual_clock_is_moved_over_http(http):
    config = {
        "clock": "manual",
        "accounts": [
            {"name": "a", "keys": ["k"], "deployments": [{"name": "gpt", "model": "m", "limits": {"rpm": 1}}]}
        ],
    }
    with serve(config) as running:
        statuses = []
        for advance in (0, 59, 1):
            http.post(f"{running.url}/__clock", json={"advance": advance})
            reply = http.post(running.url + CHAT, content=BODY, headers={"api-key": "k"})
            statuses.append(reply.status_code)
        http.post(f"{running.url}/__clock", json={"now": 1_000_000_000})
        created = http.post(running.url + CHAT, content=BODY, headers={"api-key": "k"}).json()["created"]

    assert [200, 429, 200] == statuses
    assert 1_000_000_000 == created


def test_the_systems_clock_cannot_be_moved(simulate, http):
    assert 400 == http.post(f"{simulate().running.url}/__clock", json={"advance": 1}).status_code


def test_unknown_routes_of_the_simulator_itself_are_refused(simulate, http):
    assert 400 == http.get(f"{simulate().running.url}/__nope").status_code


def conversation(seed):
    account = {
        "name": "a",
        "keys": ["k"],
        "deployments": [{"name": "gpt", "model": "gpt-4o", "limits": {"tpm": 1000}}],
    }
    with (
        serve({"seed": seed, "accounts": [account]}, clock=ManualClock()) as running,
        httpx.Client(timeout=120) as client,
    ):
        for path, body in (
            (CHAT, BODY),
            (CHAT, BODY.replace(b"}]}", b'}],"stream":true}')),
            ("/nowhere", b""),
        ):
            reply = client.post(running.url + path, content=body, headers={"api-key": "k"})
            yield reply.content, [line for line in reply.headers.raw if line[0] != b"Date"]


def test_the_same_seed_and_clock_give_the_same_bytes():
    assert list(conversation(7)) == list(conversation(7))


def test_another_seed_gives_other_ids():
    assert list(conversation(7)) != list(conversation(8))


# Canned answers


CANNED = {"answer_tokens": 50, "canned": True}


def test_a_canned_answer_is_that_of_the_deployment_without_any_check(simulate):
    client = simulate(CANNED)
    replies = [client.post(CHAT, content=b"no json", key=None) for _ in range(2)]

    assert replies[0].content == replies[1].content
    assert 50 == replies[0].json()["usage"]["completion_tokens"]
    assert 0 == len(client.running.log)
    assert 2 == client.running.simulator.requests


def test_a_canned_stream_has_its_events_at_their_pace(simulate, parse_events):
    client = simulate(CANNED | {"latency": {"token_ms": [2, 2]}})
    start = time.monotonic()
    events = parse_events(client.post(CHAT, content=b'{"stream": true}').text)

    assert time.monotonic() - start >= 0.1
    assert "[DONE]" == events[-1]
    assert 50 == sum(event != "[DONE]" and "content" in str(event["choices"]) for event in events[2:-3])
    assert 50 == events[-2]["usage"]["completion_tokens"]


def test_a_canned_stream_without_pace_comes_at_once(simulate, parse_events):
    assert "[DONE]" == parse_events(simulate(CANNED).post(CHAT, content=b'{"stream":true}').text)[-1]


def test_a_canned_answer_can_take_its_time(simulate):
    client = simulate(CANNED | {"latency": {"first_ms": [50, 50]}})
    start = time.monotonic()
    client.chat()

    assert time.monotonic() - start >= 0.05


def test_leaving_a_canned_stream_stops_its_timers(simulate, connect, raw, caplog):
    client = simulate(CANNED | {"latency": {"token_ms": [5, 5]}})
    connection = connect(client.running.url)
    connection.sendall(raw(CHAT, b'{"stream":true}'))
    connection.recv(100)
    connection.close()
    time.sleep(0.05)

    assert 200 == client.chat().status_code
    assert [] == caplog.records


def test_canned_audio_and_v1_paths_are_served(simulate):
    client = simulate(
        {"name": "gpt", **CANNED},
        {"name": "tts", "kind": "speech", "canned": True, "latency": {"token_ms": [1, 1]}},
    )

    assert 200 == client.post("/openai/v1/chat/completions").status_code
    assert client.post("/openai/deployments/tts/audio/speech").content.startswith(b"\xff\xfb")


# Configuration and command line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bogus": 1}, "bogus: Extra inputs are not permitted"),
        ({"accounts": [{"name": "a", "deployments": [{"name": "x", "model": "m", "kind": "chatt"}]}]}, "accounts[0].deployments[0].kind: "),
        ({"accounts": [{"name": "a", "deployments": [{"name": "x", "model": "m"}] * 2}]}, "given twice: x"),
        ({"accounts": [{"name": "a", "deployments": [{"name": "x", "model": "m", "spillover": "y"}]}]}, "y does not exist"),
        ({"accounts": [{"name": "a", "deployments": [{"name": "x", "model": "m", "latency": {"first_ms": [2, 1]}}]}]}, "accounts[0].deployments[0].latency: "),
        ({"accounts": [{"name": "a", "path": "x/", "deployments": []}]}, "accounts[0].path: "),
        ({"accounts": [{"name": "a", "deployments": [{"name": "x", "model": "m", "faults": [{"cut": {"after": -1}}]}]}]}, "faults[0].cut.after: "),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_refused_with_its_place(change, message):
    with pytest.raises(ConfigError) as caught:
        parse({"accounts": []} | change)

    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("[]", "a mapping is needed"), ("a: [", "while parsing")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)

    assert message in str(caught.value)


def test_the_demonstration_holds_what_the_gateways_does(http):
    config = load(ROOT / "simulator" / "demo.yaml")

    assert {
        "eastus2": [
            "gpt-5.4-mini-eastus2",
            "gpt-4o-eastus2",
            "gpt-35-turbo-instruct",
            "text-embedding-3-small",
            "tts-1",
        ],
        "swedencentral": ["gpt-5.4-mini-swedencentral", "gpt-4o-swedencentral"],
        "platform": ["gpt-4o-mini"],
    } == {account.name: [item.name for item in account.deployments] for account in config.accounts}


def simulator_process(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_a_signal(number):
    with simulator_process("--port", "0") as process:
        line = process.stdout.readline()
        assert line.startswith("simulator: http://127.0.0.1:")
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)

    assert (0, "") == (process.returncode, errors)


def test_a_taken_port_is_one_line():
    with serve({"accounts": [{"name": "a", "deployments": []}]}) as running:
        port = running.url.rpartition(":")[2]
        with simulator_process("--port", port) as process:
            _, errors = process.communicate(timeout=120)

    assert (1, 1) == (process.returncode, errors.count("\n"))
    assert errors.startswith("simulator: ")


def test_a_wrong_configuration_file_ends_the_command(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("accounts: 5")
    with simulator_process("--port", "0", "--config", str(path)) as process:
        _, errors = process.communicate(timeout=120)

    assert (1, "simulator: accounts: Input should be a valid tuple\n") == (process.returncode, errors)


def test_a_thread_takes_the_port_it_is_given_and_says_when_it_is_taken():
    config = {"accounts": [{"name": "a", "deployments": []}]}
    port = free_port()
    with serve(config, port=port) as running:
        assert f"http://127.0.0.1:{port}" == running.url
        with pytest.raises(OSError, match="in use"), serve(config, port=port):
            pass
