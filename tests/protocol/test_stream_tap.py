"""The tap on a stream: what it learns from events, and what it hides."""

import json

import pytest

from gateway.protocol.operations import CHAT, SPEECH
from gateway.protocol.sse import DONE
from gateway.protocol.stream_tap import StreamTap
from gateway.protocol.usage import Usage


def chat(**members):
    return b"data: " + json.dumps({"id": "c", **members}, separators=(",", ":")).encode() + b"\n\n"


def test_an_event_of_200_kilobytes_passes_the_tap_unchanged():
    event = chat(choices=[{"delta": {"content": "y" * 200_000}}])
    assert event == StreamTap(CHAT.streaming, hide_usage=True).watch(event)


USAGE = {"prompt_tokens": 3, "completion_tokens": 4}


def test_usage_is_learnt_and_shown_to_who_asked_for_it():
    tap = StreamTap(CHAT.streaming, hide_usage=False)
    event = chat(choices=[], usage=USAGE)
    assert event == tap.watch(event)
    assert Usage(3, 4) == tap.usage


def test_usage_is_learnt_and_hidden_from_who_did_not_ask():
    tap = StreamTap(CHAT.streaming, hide_usage=True)
    assert b"" == tap.watch(chat(choices=[], usage=USAGE))
    assert Usage(3, 4) == tap.usage


def test_the_null_usage_of_other_chunks_is_hidden_too():
    tap = StreamTap(CHAT.streaming, hide_usage=True)
    event = b'data: {"choices":[{"delta":{"content":"a"}}],\t"usage" : null}\n\n'
    assert b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n' == tap.watch(event)


def test_the_null_usage_stays_where_it_was_asked_for():
    event = chat(choices=[{}], usage=None)
    assert event == StreamTap(CHAT.streaming, hide_usage=False).watch(event)


def test_a_chunk_with_usage_and_an_answer_is_never_dropped():
    tap = StreamTap(CHAT.streaming, hide_usage=True)
    event = chat(choices=[{"delta": {"content": "a"}}], usage=USAGE)
    assert event == tap.watch(event)


def test_words_of_the_answer_are_no_keys():
    tap = StreamTap(CHAT.streaming, hide_usage=True)
    text = 'data: [DONE] ,"usage":null "usage":{} "finish_reason":"stop" {"error":{}}'
    event = chat(choices=[{"delta": {"content": text}, "finish_reason": None}])
    assert event == tap.watch(event)
    assert (None, False, False, False) == (tap.usage, tap.finished, tap.done, tap.failed)


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (chat(choices=[{"finish_reason": "stop"}]), "finished"),
        (b'data: {"choices":[{"finish_reason" : "length"}],"usage":null}\n\n', "finished"),
        (DONE, "done"),
        (b"data:[DONE]\r\n\r\n", "done"),
        (b'data: {"error":{"message":"x"}}\n\n', "failed"),
        (b'event: error\ndata: { "error" : {}}\n\n', "failed"),
    ],
)
def test_the_tap_knows_where_a_stream_may_end(event, state):
    tap = StreamTap(CHAT.streaming, hide_usage=False)
    assert not tap.complete
    assert event == tap.watch(event)
    assert [state] == [name for name in ("finished", "done", "failed") if getattr(tap, name)]
    assert tap.complete


def test_the_end_of_speech_is_its_own_event_which_has_its_usage():
    tap = StreamTap(SPEECH.streaming, hide_usage=False)
    tap.watch(chat(choices=[{"finish_reason": "stop"}]))
    assert not tap.complete

    tap.watch(b'data: {"type": "speech.audio.done","usage":{"input_tokens":3,"output_tokens":4}}\n\n')
    assert (True, Usage(3, 4)) == (tap.complete, tap.usage)
