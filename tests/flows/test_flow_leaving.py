"""Clients that leave: upstream's connection closes long before its answer, whatever it was doing."""

from __future__ import annotations

import json
import time

import pytest
from support.calls import MESSAGES, call, chat, connect, head, post, read_until, reset, wait_for


def entry_of(pool, model):
    """The one request upstream got for `model`, once it is there."""
    return wait_for(lambda: pool.log(*model.deployments))[0]


def disconnected(pool, model):
    """Whether upstream's connection was closed; its answer would take ten minutes, or never end."""
    return wait_for(lambda: entry_of(pool, model)["disconnected"])


@pytest.mark.parametrize("leave", [lambda connection: connection.close(), reset], ids=["fin", "rst"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_before_the_reply_ends_the_call_upstream(gateway, pool, stream, leave):
    model = pool.solo({"delay_s": 600})
    connection = connect(gateway.port)
    connection.sendall(
        post("/v1/chat/completions", {"model": model.name, "messages": MESSAGES, "stream": stream})
    )
    assert entry_of(pool, model)["disconnected"] is None

    leave(connection)

    assert disconnected(pool, model)
    assert [1] == pool.counts(model)


@pytest.mark.parametrize("leave", [lambda connection: connection.close(), reset], ids=["fin", "rst"])
def test_a_client_that_leaves_a_stream_under_way_ends_it_upstream(gateway, pool, leave):
    model = pool.solo({"cut": {"after": 4, "how": "stall"}})
    connection = connect(gateway.port)
    connection.sendall(
        post("/v1/chat/completions", {"model": model.name, "messages": MESSAGES, "stream": True})
    )
    read_until(connection, b"\n\n")

    leave(connection)

    assert disconnected(pool, model)


def test_a_client_that_leaves_while_a_whole_reply_trickles_in_ends_it_upstream(gateway, pool):
    model = pool.solo({"cut": {"after": 100, "how": "stall"}})
    connection = connect(gateway.port)
    connection.sendall(post("/v1/chat/completions", {"model": model.name, "messages": MESSAGES}))
    assert entry_of(pool, model)

    connection.close()

    assert disconnected(pool, model)


def test_a_client_that_leaves_audio_under_way_ends_it_upstream(gateway, pool, simulator):
    before = len(pool.log("deployment-slow-speech"))
    connection = connect(gateway.port)
    body = {"model": "slow-speech", "input": "hello " * 200, "voice": "alloy"}
    connection.sendall(post("/v1/audio/speech", body))
    read_until(connection, b"\xff\xfb")

    connection.close()

    assert wait_for(lambda: pool.log("deployment-slow-speech")[before]["disconnected"])


def test_a_client_that_leaves_a_late_stream_ends_it_upstream(impatient, pool):
    model = pool.solo({"delay_s": 600})
    connection = connect(impatient.port)
    connection.sendall(
        post("/v1/chat/completions", {"model": model.name, "messages": MESSAGES, "stream": True})
    )
    read_until(connection, b'"delta":{}')

    connection.close()

    assert disconnected(pool, model)


def test_a_client_that_leaves_between_two_tries_stops_them(gateway, pool):
    # The wait that a lone deployment asks for is the time in which the client leaves.
    model = pool.solo({"status": 503, "headers": {"retry-after": "7"}, "times": 0})
    connection = connect(gateway.port)
    body = json.dumps({"model": model.name, "messages": MESSAGES}).encode()
    lines = [f"content-length: {len(body)}", f"x-request-id: left-between-{gateway.host}"]
    connection.sendall(head("POST", "/v1/chat/completions", *lines) + body)
    assert entry_of(pool, model)

    connection.close()

    # The line is the request's end: no other try follows it.
    (line,) = gateway.lines(f"left-between-{gateway.host}")
    assert (499, 1, [1]) == (line["status"], line["attempts"], pool.counts(model))


def test_a_client_that_leaves_during_its_upload_reaches_no_upstream(gateway, pool, simulator):
    before = len(simulator.log)
    content = post("/v1/chat/completions", {"model": pool.solo().name, "messages": MESSAGES})
    with connect(gateway.port) as connection:
        connection.sendall(content[:-5])

    assert 200 == chat(gateway.port, "gpt-4o").status
    assert before + 1 == len(simulator.log)


def test_a_client_that_left_is_logged_as_499(gateway, pool):
    model = pool.solo({"delay_s": 600})
    connection = connect(gateway.port)
    body = json.dumps({"model": model.name, "messages": MESSAGES}).encode()
    lines = [f"content-length: {len(body)}", f"x-request-id: left-{gateway.host}"]
    connection.sendall(head("POST", "/v1/chat/completions", *lines) + body)
    assert entry_of(pool, model)

    connection.close()

    (line,) = gateway.lines(f"left-{gateway.host}")
    assert (499, model.name, 1) == (line["status"], line["gen_ai.request.model"], line["attempts"])


def test_a_stream_whose_client_left_is_logged(gateway, pool):
    model = pool.solo({"cut": {"after": 4, "how": "stall"}})
    connection = connect(gateway.port)
    body = json.dumps({"model": model.name, "messages": MESSAGES, "stream": True}).encode()
    lines = [f"content-length: {len(body)}", f"x-request-id: left-stream-{gateway.host}"]
    connection.sendall(head("POST", "/v1/chat/completions", *lines) + body)
    read_until(connection, b"\n\n")

    connection.close()

    assert wait_for(lambda: gateway.lines(f"left-stream-{gateway.host}"))


def test_clients_that_leave_do_not_disturb_the_others(gateway, pool):
    model = pool.solo({"delay_s": 600, "times": 20})
    leaving = []
    for _ in range(20):
        connection = connect(gateway.port)
        connection.sendall(post("/v1/chat/completions", {"model": model.name, "messages": MESSAGES}))
        leaving.append(connection)
    assert wait_for(lambda: pool.counts(model) == [20])

    for connection in leaving:
        connection.close()

    assert [200] * 5 == [chat(gateway.port, "gpt-4o").status for _ in range(5)]
    assert wait_for(lambda: all(entry["disconnected"] for entry in pool.log(*model.deployments)))


def test_a_connection_is_used_for_one_request_after_another(gateway):
    request = post("/v1/chat/completions", {"model": "gpt-4o", "messages": MESSAGES})
    with connect(gateway.port) as connection:
        for _ in range(3):
            connection.sendall(request)
            assert read_until(connection, b"}}").startswith(b"HTTP/1.1 200 ")


@pytest.mark.only_on("functions", reason="only there two messages make a request")
def test_an_invocation_whose_request_never_arrives_ends_within_its_bound(impatient):
    before = impatient.state()

    began = time.monotonic()
    answer = call(impatient.port, "POST", "/v1/chat/completions", {}, headers={"x-host-fault": "no-request"})

    # By default GATEWAY_ARRIVAL_TIMEOUT is 20 seconds.
    assert (500, True) == (answer.status, time.monotonic() - began < 20)
    assert wait_for(lambda: impatient.state()["entries"] == before["entries"])
    assert 0 == impatient.state()["running"]


@pytest.mark.only_on("functions", reason="only there two messages make a request")
def test_others_are_answered_while_an_invocation_waits_for_its_request(impatient):
    with connect(impatient.port) as waiting:
        waiting.sendall(head("POST", "/v1/chat/completions", "x-host-fault: no-request", "content-length: 0"))
        assert wait_for(lambda: impatient.state()["running"] == 1)

        assert [200] * 5 == [chat(impatient.port, "gpt-4o").status for _ in range(5)]
    assert wait_for(lambda: impatient.state()["running"] == 0)


@pytest.mark.only_on("functions", reason="only there two messages make a request")
def test_a_request_whose_invocation_never_comes_is_answered(impatient):
    headers = {"x-host-fault": "no-invocation"}

    answer = call(impatient.port, "POST", "/v1/chat/completions", {}, headers=headers)

    assert (500, {"message", "type", "param", "code"}) == (answer.status, set(answer.error))
