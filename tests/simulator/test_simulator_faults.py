"""Faults: answers that fail, and answers that break on their way."""

import json
import socket
import time

import pytest
from pydantic import ValidationError

from simulator.faults import Fault, FaultQueue
from simulator.ports import closed_port

CHAT = "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
BODY = json.dumps({"messages": [{"role": "user", "content": "x"}]}).encode()
STREAM = json.dumps({"messages": [{"role": "user", "content": "é x"}], "stream": True}).encode()


def receive_all(connection):
    """Everything until the connection ends, and whether it ended with RST."""
    data = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return data, True
        if not piece:
            return data, False
        data += piece


def receive_until_silence(connection):
    """What comes until the connection's time-out passes without a byte."""
    data = b""
    while True:
        try:
            piece = connection.recv(65536)
        except TimeoutError:
            return data
        assert piece, data
        data += piece


@pytest.fixture
def exchange(simulate, connect, raw):
    """Send one raw request under a fault; gives the connection and the simulator."""

    def send(fault, body=BODY):
        client = simulate({"faults": [fault]})
        connection = connect(client.running.url)
        connection.sendall(raw(CHAT, body))
        return connection, client

    return send


@pytest.mark.parametrize(
    ("preset", "status", "code"),
    [
        ("server_error", 500, None),
        ("timeout", 408, "Timeout"),
        ("no_capacity", 429, "NoCapacity"),
        ("call_limit", 429, "RateLimitReached"),
        ("token_limit", 429, "RateLimitReached"),
        ("network_403", 403, "403"),
        ("rbac_401", 401, "PermissionDenied"),
        ("key_rotated", 401, "401"),
        ("quota_exhausted", 429, "insufficient_quota"),
    ],
)
def test_a_preset_is_the_error_it_names(simulate, preset, status, code):
    reply = simulate({"faults": [{"preset": preset}]}).chat()

    assert (status, code) == (reply.status_code, reply.json()["error"]["code"])


def test_the_edge_answers_html_and_an_empty_503(simulate):
    client = simulate({"faults": [{"preset": "bad_gateway_html"}, {"preset": "unavailable_empty"}]})
    gateway, unavailable = client.chat(), client.chat()

    assert (502, "text/html") == (gateway.status_code, gateway.headers["content-type"])
    assert gateway.text.startswith("<html>")
    assert (503, b"") == (unavailable.status_code, unavailable.content)


def test_a_token_that_is_refused_has_the_flat_body(simulate, recordings):
    reply = simulate({"faults": [{"preset": "token_401"}]}).chat()

    assert recordings["azure_errors"]["401_token"]["body"] == reply.json()


def test_a_redirect_points_to_another_host(simulate):
    reply = simulate({"faults": [{"preset": "redirect"}]}).chat()

    assert (302, "http://127.0.0.1:9/openai/elsewhere") == (reply.status_code, reply.headers["location"])


def test_a_rotated_key_is_refused_from_now_on(simulate):
    client = simulate({"faults": [{"preset": "key_rotated", "times": 0, "skip": 1}]})

    assert [200, 401, 401, 401] == [client.chat().status_code for _ in range(4)]


def test_a_key_rotated_on_the_platform_is_refused_in_its_words(simulate):
    client = simulate({"faults": [{"preset": "key_rotated"}]}, kind="openai")
    body = {"model": "gpt", "messages": []}
    reply = client.post("/v1/chat/completions", body, headers=[("Authorization", "Bearer k")])

    assert "invalid_api_key" == reply.json()["error"]["code"]


def test_an_answer_can_be_spelt_out(simulate):
    fault = {"status": 418, "reason": "Odd", "headers": {"X-Odd": "1"}, "body": {"a": 1}}
    reply = simulate({"faults": [fault, {"status": 200, "body": "not json"}]}).chat()

    assert (418, "Odd", "1", '{"a":1}') == (
        reply.status_code,
        reply.reason_phrase,
        reply.headers["x-odd"],
        reply.text,
    )


def test_the_headers_of_a_preset_can_be_replaced(simulate):
    fault = {"preset": "no_capacity", "headers": {"Retry-After": "3", "retry-after-ms": "2500"}}
    reply = simulate({"faults": [fault]}).chat()

    assert ["3", "2500"] == [reply.headers["retry-after"], reply.headers["retry-after-ms"]]


def test_the_queue_serves_each_entry_as_often_as_it_says():
    first, second = Fault(status=500, times=2), Fault(status=503, skip=1)
    queue = FaultQueue([first, second])

    assert [500, 500, None, 503, None] == [queue.take().status for _ in range(5)]


@pytest.mark.parametrize(
    "fault", [{"preset": "timeout", "status": 500}, {"body": "x"}, {"bogus": 1}, {"preset": "bogus"}]
)
def test_a_fault_that_makes_no_sense_is_refused(fault):
    with pytest.raises(ValidationError):
        Fault(**fault)


def test_faults_can_be_set_while_the_simulator_runs(simulate, http):
    client = simulate()
    url = f"{client.running.url}/__faults"
    accepted = http.post(url, json={"deployment": "gpt", "faults": [{"status": 500}]})

    assert 200 == accepted.status_code
    assert [500, 200] == [client.chat().status_code for _ in range(2)]
    assert 400 == http.post(url, json={"deployment": "other", "faults": []}).status_code
    assert 400 == http.post(url, json={"deployment": "gpt", "faults": [{"bogus": 1}]}).status_code
    assert 400 == http.post(url, json={}).status_code


def test_an_answer_can_be_delayed(simulate):
    client = simulate({"faults": [{"delay_s": 0.1}]})
    start = time.monotonic()

    assert 200 == client.chat().status_code
    assert time.monotonic() - start >= 0.1


def test_the_head_can_come_slowly(exchange):
    start = time.monotonic()
    connection, _ = exchange({"slow_headers_s": 0.5})
    first = connection.recv(65536)
    begun = time.monotonic() - start
    while b"\r\n\r\n" not in first:
        first += connection.recv(65536)

    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert begun < 0.4
    assert time.monotonic() - start >= 0.4


@pytest.mark.parametrize("when", ["headers", "request"])
def test_the_connection_can_be_reset_instead_of_an_answer(exchange, when):
    connection, client = exchange({"reset": when})

    assert (b"", True) == receive_all(connection)
    assert "reset" == client.running.log[0]["error"]


def test_a_reset_on_headers_does_not_wait_for_the_body(simulate, connect, raw):
    client = simulate({"faults": [{"reset": "headers"}]})
    connection = connect(client.running.url)
    connection.sendall(raw(CHAT, BODY).removesuffix(BODY))

    assert (b"", True) == receive_all(connection)


def test_a_connection_to_a_closed_port_is_refused():
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", closed_port()))


@pytest.mark.parametrize(("how", "is_reset"), [("reset", True), ("eof", False)])
def test_a_stream_can_be_cut_after_some_events(exchange, how, is_reset):
    data, was_reset = receive_all(exchange({"cut": {"after": 3, "how": how}}, STREAM)[0])

    assert 3 == data.count(b"data: ")
    assert is_reset == was_reset
    assert not data.endswith(b"0\r\n\r\n")


def test_a_stream_can_end_properly_and_too_early(exchange, until):
    connection, _ = exchange({"cut": {"after": 3, "how": "end"}}, STREAM)
    data = until(connection, b"0\r\n\r\n")

    assert (3, 0) == (data.count(b"data: "), data.count(b"[DONE]"))


def test_a_stream_can_stall_until_the_client_leaves(exchange):
    connection, client = exchange({"cut": {"after": 2, "how": "stall"}}, STREAM)
    connection.settimeout(0.2)
    data = receive_until_silence(connection)
    connection.close()
    deadline = time.monotonic() + 2
    while client.running.log[0]["disconnected"] is None and time.monotonic() < deadline:
        time.sleep(0.01)

    assert 2 == data.count(b"data: ")
    assert client.running.log[0]["disconnected"] is not None
    assert client.running.log[0]["completed"] is None


def test_a_stream_can_stall_between_its_head_and_its_first_event(exchange):
    connection, _ = exchange({"cut": {"after": 0, "how": "stall"}}, STREAM)
    connection.settimeout(0.2)
    data = receive_until_silence(connection)

    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert data.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(("how", "is_reset"), [("reset", True), ("eof", False)])
def test_a_whole_body_can_be_shorter_than_its_content_length(exchange, how, is_reset):
    data, was_reset = receive_all(exchange({"cut": {"after": 10, "how": how}})[0])
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")).split()[1])

    assert 10 == len(body)
    assert length > 10
    assert is_reset == was_reset


def test_a_whole_body_can_be_incomplete_json_in_a_proper_reply(simulate):
    reply = simulate({"faults": [{"cut": {"after": 10, "how": "end"}}]}).chat()

    assert (200, b'{"choices"') == (reply.status_code, reply.content)


def test_audio_can_be_cut_after_some_chunks(simulate, connect, raw):
    client = simulate({"kind": "speech", "model": "tts-1", "faults": [{"cut": {"after": 1, "how": "eof"}}]})
    connection = connect(client.running.url)
    body = json.dumps({"input": "x", "voice": "alloy"}).encode()
    connection.sendall(raw("/openai/deployments/gpt/audio/speech?api-version=2025-04-01-preview", body))
    data, _ = receive_all(connection)

    assert 1 == data.count(b"\r\n684\r\n")  # 4 frames of 417 bytes, as hexadecimal
    assert not data.endswith(b"0\r\n\r\n")


def test_an_error_event_ends_a_stream_without_done(simulate, parse_events):
    reply = simulate({"faults": [{"error_event_after": 3}]}).chat(stream=True)
    *events, error = parse_events(reply.text)

    assert 3 == len(events)
    assert "server_error" == error["error"]["type"]


def test_the_error_can_be_the_first_event(simulate, parse_events):
    reply = simulate({"faults": [{"error_event_after": 0}]}).chat(stream=True)

    assert ["error"] == [key for event in parse_events(reply.text) for key in event]


def test_a_stream_can_come_byte_by_byte(exchange, until):
    connection, _ = exchange({"write_size": 1}, STREAM)
    data = until(connection, b"0\r\n\r\n").partition(b"\r\n\r\n")[2]

    assert data.startswith(b"1\r\nd\r\n1\r\na\r\n")
    assert b"1\r\n\xc3\r\n1\r\n\xa9\r\n" in data  # é in two pieces


def test_a_whole_body_can_come_byte_by_byte(simulate):
    assert "stop" == simulate({"faults": [{"write_size": 1}]}).chat().json()["choices"][0]["finish_reason"]


def test_lines_of_a_stream_can_end_in_crlf(simulate, parse_events):
    text = simulate({"faults": [{"crlf": True}]}).chat(stream=True).text

    assert 2 * text.count("data: ") == text.count("\r\n") == text.count("\n")
    assert "[DONE]" == parse_events(text.replace("\r\n", "\n"))[-1]


def test_several_events_can_come_in_one_write(exchange, until):
    connection, _ = exchange({"glue": 1000}, STREAM)
    data = until(connection, b"0\r\n\r\n").partition(b"\r\n\r\n")[2]
    size = int(data.partition(b"\r\n")[0], 16)

    assert data[:-7].endswith(b"data: [DONE]\n\n")
    assert size == len(data) - len(b"%x\r\n\r\n0\r\n\r\n" % size)


def test_json_can_come_where_a_stream_was_asked_for(simulate):
    reply = simulate({"faults": [{"json_for_stream": True}]}).chat(stream=True)

    assert "application/json" == reply.headers["content-type"]
    assert "chat.completion" == reply.json()["object"]
