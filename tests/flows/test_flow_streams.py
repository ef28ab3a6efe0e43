"""Streams and binary replies: relayed as they arrive, never ended cleanly before their end."""

from __future__ import annotations

import re

import pytest
from support.calls import MESSAGES, call, chat, opened, parse_events, wait_for

STALL = {"how": "stall"}


def stream_of(model):
    return {"model": model, "messages": MESSAGES, "stream": True}


def test_events_arrive_while_upstream_still_sends(gateway, pool):
    before = len(pool.log("deployment-dripping"))

    with opened(gateway.port, "POST", "/v1/chat/completions", stream_of("any/dripping")) as response:
        found = b""
        while found.count(b"\n\n") < 6:
            found += response.read1()
        # The other 54 of its tokens take a quarter of a second each.
        assert None is pool.log("deployment-dripping")[before]["completed"]


# The first one is Azure's verdict on the prompt, which is held until an answer follows it.
@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_event_that_upstream_sent_arrives_while_it_is_silent(gateway, pool, count):
    model = pool.solo({"cut": STALL | {"after": count}})

    with opened(gateway.port, "POST", "/v1/chat/completions", stream_of(model.name)) as response:
        found = b""
        while found.count(b"\n\n") < count:
            found += response.read1()

        assert None is pool.log(*model.deployments)[0]["completed"]
    assert count == found.count(b"data: {")


@pytest.mark.parametrize("size", [1, 3, 17])
def test_events_torn_into_small_pieces_arrive_whole(gateway, pool, size):
    model = pool.solo({"write_size": size})

    answer = chat(gateway.port, model.name, stream=True)

    assert "[DONE]" == answer.events[-1]
    assert answer.text == chat(gateway.port, model.name, stream=True).text


def test_crlf_streams_work(gateway, pool):
    answer = chat(gateway.port, pool.solo({"crlf": True}).name, stream=True)

    assert "[DONE]" == answer.events[-1]
    assert b'"usage"' not in answer.body


def test_several_events_in_one_piece_work(gateway, pool):
    answer = chat(gateway.port, pool.solo({"glue": 100}).name, stream=True)

    assert "[DONE]" == answer.events[-1]
    assert b'"usage"' not in answer.body


def test_a_streams_headers_are_those_of_events(gateway):
    headers = chat(gateway.port, "gpt-4o", stream=True).headers

    assert ("text/event-stream; charset=utf-8", "no-cache", "no", None) == (
        headers["content-type"],
        headers["cache-control"],
        headers["x-accel-buffering"],
        headers["content-length"],
    )
    assert re.fullmatch(r"req_[0-9a-f]{32}", headers["x-request-id"])


@pytest.mark.parametrize("how", ["reset", "eof", "end"])
def test_a_stream_that_breaks_off_ends_in_an_error_event(gateway, pool, how):
    model = pool.solo({"cut": {"after": 4, "how": how}})

    answer = chat(gateway.port, model.name, stream=True)

    assert (200, False) == (answer.status, answer.broken)
    *whole, last = answer.events
    assert 4 == len(whole)
    assert {"message", "type", "param", "code"} == set(last["error"])
    assert ("upstream_error", "server_error") == (last["error"]["code"], last["error"]["type"])
    assert b"[DONE]" not in answer.body
    assert "upstream_error" == gateway.lines(answer.headers["x-request-id"])[0]["error"]


def test_an_error_event_of_upstream_passes_and_nothing_is_added(gateway, pool):
    model = pool.solo({"error_event_after": 3})

    answer = chat(gateway.port, model.name, stream=True)

    errors = [event["error"] for event in answer.events if isinstance(event, dict) and "error" in event]
    assert ["The server had an error while processing your request. Sorry about that!"] == [
        error["message"] for error in errors
    ]
    assert b"[DONE]" not in answer.body


def test_a_filter_hit_in_the_middle_of_a_stream_is_relayed(gateway):
    body = stream_of("gpt-4o") | {"messages": [{"role": "user", "content": "Say it [[filter-out:violence]]"}]}

    answer = call(gateway.port, "POST", "/v1/chat/completions", body)

    reasons = [event["choices"][0]["finish_reason"] for event in answer.events[:-1] if event["choices"]]
    assert (200, "content_filter") == (answer.status, reasons[-1])


def test_speech_arrives_chunk_by_chunk(gateway, pool):
    before = len(pool.log("deployment-slow-speech"))
    body = {"model": "slow-speech", "input": "hello " * 200, "voice": "alloy"}

    with opened(gateway.port, "POST", "/v1/audio/speech", body) as response:
        found = response.read(4)
        for _ in range(3):
            found += response.read1()
        completed = pool.log("deployment-slow-speech")[before]["completed"]

    assert ("audio/mpeg", None) == (response.headers["content-type"], completed)
    assert b"\xff\xfb\x90\xc4" == found[:4]


def test_speech_that_breaks_off_never_ends_cleanly(gateway, pool, simulator):
    simulator.fault("deployment-octets", {"cut": {"after": 2, "how": "reset"}})

    answer = call(
        gateway.port, "POST", "/v1/audio/speech", {"model": "octets", "input": "hello", "voice": "alloy"}
    )

    assert (200, True) == (answer.status, answer.broken)
    assert "upstream_error" == gateway.lines(answer.headers["x-request-id"])[0]["error"]


def test_audio_keeps_the_type_that_upstream_gives_it(gateway):
    body = {"model": "octets", "input": "hello", "voice": "alloy"}

    assert (
        "application/octet-stream"
        == call(gateway.port, "POST", "/v1/audio/speech", body).headers["content-type"]
    )


def test_speech_as_events_reports_usage_and_may_end_without_done(gateway):
    body = {"model": "voice", "input": "hello", "voice": "alloy", "stream_format": "sse"}

    answer = call(gateway.port, "POST", "/v1/audio/speech", body)

    assert ("speech.audio.done", 200) == (answer.events[-1]["type"], answer.status)
    assert gateway.lines(answer.headers["x-request-id"])[0]["gen_ai.usage.input_tokens"] > 0


def test_the_other_operations_relay_binary_and_base64_unchanged(gateway):
    body = {"model": "embed", "input": "hello", "encoding_format": "base64"}

    assert isinstance(call(gateway.port, "POST", "/v1/embeddings", body).json()["data"][0]["embedding"], str)


def test_a_stream_that_stalls_is_kept_alive_by_empty_deltas_and_ends_in_a_time_out_event(impatient, pool):
    model = pool.solo({"cut": STALL | {"after": 3}})

    answer = chat(impatient.port, model.name, stream=True)

    assert ("upstream_timeout", False) == (answer.events[-1]["error"]["code"], answer.broken)
    # 8 seconds of silence, an event each 0.2.
    began, *alive = answer.events[2:-1]
    assert len(alive) >= 3
    choice = {"index": 0, "delta": {}, "finish_reason": None}
    named = {name: began[name] for name in ("id", "created", "model")}
    assert {**named, "object": "chat.completion.chunk", "choices": [choice]} == alive[-1] == alive[-2]
    assert [] == [line for line in answer.body.splitlines() if line and not line.startswith(b"data: {")]
    assert wait_for(lambda: pool.log(*model.deployments)[0]["disconnected"])


def test_the_headers_of_a_late_stream_come_before_its_answer(impatient, pool):
    model = pool.solo({"delay_s": 600})

    with opened(impatient.port, "POST", "/v1/chat/completions", stream_of(model.name)) as response:
        status, first = response.status, response.read1()
        answered = pool.log(*model.deployments)[0]["completed"]

    (alive,) = parse_events(first)[:1]
    assert (200, ("", "", 0, {}), None) == (
        status,
        (alive["id"], alive["model"], alive["created"], alive["choices"][0]["delta"]),
        answered,
    )


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"preset": "call_limit"}, "rate_limit_exceeded"),
        ({"preset": "rbac_401"}, "upstream_error"),
        (
            {
                "status": 400,
                "body": {"error": {"message": "Bad.", "type": "invalid_request_error", "code": "bad"}},
            },
            "bad",
        ),
    ],
)
def test_a_late_streams_failure_is_an_error_event(impatient, pool, fault, code):
    model = pool.solo(fault | {"delay_s": 2})

    answer = chat(impatient.port, model.name, stream=True)

    assert (200, code) == (answer.status, answer.events[-1]["error"]["code"])
    assert b"[DONE]" not in answer.body
    line = gateway_line(impatient, answer)
    assert (200, code) == (line["status"], line["error"])


def test_a_late_stream_may_be_answered_by_the_next_deployment(impatient, pool):
    model = pool.pair({"status": 503, "delay_s": 2})

    answer = chat(impatient.port, model.name, stream=True)

    assert ("[DONE]", [1, 1]) == (answer.events[-1], pool.counts(model))


def test_a_stream_whose_first_byte_never_comes_times_out_as_an_event(impatient, pool):
    model = pool.solo({"delay_s": 600})

    answer = chat(impatient.port, model.name, stream=True)

    assert (200, "upstream_timeout") == (answer.status, answer.events[-1]["error"]["code"])
    assert wait_for(lambda: pool.log(*model.deployments)[0]["disconnected"])


def gateway_line(gateway, answer):
    return gateway.lines(answer.headers["x-request-id"])[0]
