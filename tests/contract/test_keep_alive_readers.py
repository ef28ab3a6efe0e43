"""Keep-alives as readers of other languages see them: two readers written after their sources' rules."""

from __future__ import annotations

import json

import pytest
from support.calls import chat

from gateway.protocol.operations import CHAT, COMPLETIONS
from gateway.protocol.stream_tap import StreamTap


class GoStreamError(Exception):
    """The error with which openai-go ends a stream."""


def openai_go(body: bytes) -> list[dict]:
    """The chunks that openai-go reads, by the rules of `packages/ssestream/ssestream.go` of 1.12.0 and 3.42.0.

    A line at a time: an empty line dispatches what was gathered, *also where that is nothing*; a line is cut at its
    first colon; one without a name is a comment; of the others only `event` and `data` count, each `data` with a
    line end. `Next` then stops at `[DONE]`, ends with an error where the data has an `error`, and gives the data to
    json.Unmarshal, which fails on empty data ("unexpected end of JSON input").
    """
    chunks, data = [], b""
    for line in body.splitlines():
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                data += value.removeprefix(b" ") + b"\n"
            continue
        if data.startswith(b"[DONE]"):
            return chunks
        if not data:
            raise GoStreamError("unexpected end of JSON input")
        chunk = json.loads(data)
        if chunk.get("error") is not None:
            raise GoStreamError(f"received error while streaming: {chunk['error']}")
        chunks.append(chunk)
        data = b""
    return chunks


def accumulated(chunks: list[dict]) -> bool:
    """Whether openai-go's accumulator takes all chunks: after the first id no other one may come (streamaccumulator.go)."""
    known = ""
    for chunk in chunks:
        if known and known != chunk["id"]:
            return False
        known = known or chunk["id"]
    return True


def split_at_blank_lines(body: bytes) -> list[str]:
    """The texts that a home-made reader finds: blocks between blank lines, each of which is data."""
    blocks = [block for block in body.decode().split("\n\n") if block]
    events = [block.removeprefix("data: ") for block in blocks]
    return [
        json.loads(event)["choices"][0]["delta"].get("content", "") for event in events if event != "[DONE]"
    ]


def test_the_rules_end_a_stream_at_a_comment_as_the_reader_does():
    with pytest.raises(GoStreamError, match="unexpected end"):
        openai_go(b": keep-alive\n\ndata: [DONE]\n\n")


@pytest.mark.parametrize("operation", [CHAT, COMPLETIONS], ids=lambda each: each.name)
def test_a_reader_by_the_rules_of_openai_go_reads_through_keep_alives(operation):
    choice = {"index": 0, "delta": {"content": "a"}, "text": "a"}
    event = b"data: %s\n\n" % json.dumps({"id": "c", "choices": [choice]}).encode()
    tap = StreamTap(operation.streaming, hide_usage=False)
    early = tap.keep_alive()
    tap.watch(event)
    chunks = openai_go(
        early + early + event + tap.keep_alive() + event + tap.keep_alive() + b"data: [DONE]\n\n"
    )
    assert ["", "", "c", "c", "c", "c"] == [chunk["id"] for chunk in chunks]
    assert accumulated(chunks)


def test_a_reader_that_splits_at_blank_lines_reads_through_keep_alives():
    event = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    tap = StreamTap(CHAT.streaming, hide_usage=False)
    tap.watch(event)
    body = tap.keep_alive() + event + tap.keep_alive() + event + b"data: [DONE]\n\n"
    assert "aa" == "".join(split_at_blank_lines(body))


def test_a_real_stream_is_read_through_its_silences(impatient, pool):
    model = pool.solo({"delay_s": 2})

    chunks = openai_go(chat(impatient.port, model.name, stream=True).body)

    assert [""] == list({chunk["id"] for chunk in chunks[:2]})
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert accumulated(chunks)
