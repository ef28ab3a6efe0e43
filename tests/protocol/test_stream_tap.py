"""The tap on a stream: what it learns from events, and what it hides."""

import json
import tracemalloc

import pytest

from gateway.protocol.json_walk import MAX_KEY, MAX_WIDTH
from gateway.protocol.operations import CHAT, COMPLETIONS, SPEECH
from gateway.protocol.sse import DONE
from gateway.protocol.stream_tap import StreamTap
from gateway.protocol.usage import Usage


def chat(**members):
    return b"data: " + json.dumps({"id": "c", **members}, separators=(",", ":")).encode() + b"\n\n"


def test_an_event_of_200_kilobytes_passes_the_tap_unchanged():
    event = chat(choices=[{"delta": {"content": "y" * 200_000}}])
    assert event == StreamTap(CHAT.streaming, hide_usage=True).watch(event)


def marks(event):
    return sum(map(event.count, (b",", b":", b"[", b"{")))


def wide(values):
    """An event of 100 KB with so many separators and brackets, and a choice without a delta."""
    event = chat(pad="a" * 100_000, x=[0], choices=[{"finish_reason": "stop"}], usage=USAGE)
    return event.replace(b"[0]", b"[0" + b",0" * (values - marks(event)) + b"]")


def test_an_event_of_many_values_is_passed_on_as_it_came_and_what_it_says_is_learnt():
    """To walk through one of 10 MB took 56 s and 1.8 GB."""
    edge, beyond = wide(MAX_WIDTH), wide(MAX_WIDTH + 1)
    assert (MAX_WIDTH, MAX_WIDTH + 1) == (marks(edge), marks(beyond))

    taps = [StreamTap(CHAT.streaming, hide_usage=True) for _ in range(2)]
    sent = [tap.watch(event) for tap, event in zip(taps, (edge, beyond), strict=True)]

    assert (False, True) == (b"usage" in sent[0], sent[1] == beyond)
    assert [(Usage(3, 4), True, True, False)] * 2 == [
        (tap.usage, tap.answered, tap.finished, tap.failed) for tap in taps
    ]


@pytest.mark.parametrize("inside", [b"{},", b'{"delta":{}},', b"[],"], ids=["objects", "deltas", "arrays"])
@pytest.mark.parametrize("choices", [1, 2])
def test_an_event_of_a_megabyte_costs_about_its_bytes_whatever_it_holds(inside, choices):
    event = b'data: {"choices":[' + inside * (1_000_000 // len(inside)) + b'{"finish_reason":"stop"}]}\n\n'
    tap = StreamTap(CHAT.streaming, hide_usage=True, choices=choices)
    tracemalloc.start()
    try:
        assert event == tap.watch(event)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert tap.answered
    assert peak < 5 * len(event)


def test_an_error_event_of_many_values_is_one():
    tap = StreamTap(CHAT.streaming, hide_usage=True)
    tap.watch(b'data: {"error":{"x":[' + b"{}," * 100_000 + b"{}]}}\n\n")
    assert tap.failed


def test_names_that_are_too_long_to_be_looked_at_leave_an_event_as_it_is():
    event = chat(choices=[{"delta": {}}], usage=USAGE, **{"n" * (MAX_KEY + 1): 1})
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


@pytest.mark.parametrize(
    "end",
    [
        b',\t"usage" : null}\n\n',
        b',"usage":null}\n\n',
        b',"usage":null}\r\n\r\n',
        b',"usage":null }\n\n',
        b',"usage":null,"object":"a"}\n\n',
    ],
)
def test_the_null_usage_of_other_chunks_is_hidden_too(end):
    tap = StreamTap(CHAT.streaming, hide_usage=True)
    text = b'data: {"choices":[{"delta":{"content":"a ,\\"usage\\":null}"}}]'
    left = end.partition(b"null")[2]
    assert text + left == tap.watch(text + end)


def test_the_null_usage_is_hidden_where_it_comes_first():
    tap = StreamTap(CHAT.streaming, hide_usage=True)
    assert b'data: {"choices":[{"delta":{}}]}\n\n' == tap.watch(
        b'data: {"usage": null, "choices":[{"delta":{}}]}\n\n'
    )


def test_the_null_usage_stays_where_it_was_asked_for():
    event = chat(choices=[{"delta": {}}], usage=None)
    assert event == StreamTap(CHAT.streaming, hide_usage=False).watch(event)


@pytest.mark.parametrize("hide_usage", [True, False])
def test_a_chunk_with_usage_and_an_answer_loses_at_most_its_usage(hide_usage):
    tap = StreamTap(CHAT.streaming, hide_usage=hide_usage)
    answer = {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}
    event = chat(**answer, usage=USAGE)
    assert (chat(**answer) if hide_usage else event) == tap.watch(event)
    assert (Usage(3, 4), True) == (tap.usage, tap.finished)


def test_words_of_the_answer_are_no_keys():
    tap = StreamTap(CHAT.streaming, hide_usage=True)
    text = 'data: [DONE] ,"usage":null "usage":{} "finish_reason":"stop" {"error":{}}'
    event = chat(choices=[{"delta": {"content": text}, "finish_reason": None}])
    assert event == tap.watch(event)
    assert (None, False, False, False) == (tap.usage, tap.finished, tap.done, tap.failed)


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (chat(choices=[{"delta": {}, "finish_reason": "stop"}]), "finished"),
        (b'data: {"choices":[{"delta":{},"finish_reason" : "length"}],"usage":null}\n\n', "finished"),
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


def watched(*events, hide_usage=True, operation=CHAT, choices=1):
    """What a client gets of `events`, and the tap."""
    tap = StreamTap(operation.streaming, hide_usage=hide_usage, choices=choices)
    return [tap.watch(event) for event in events], tap


TEXT = chat(choices=[{"index": 0, "delta": {"content": "a"}}])
RESULTS = [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}]


def test_a_chunk_with_filter_results_and_usage_loses_its_usage_only():
    event = chat(choices=[], usage=USAGE, prompt_filter_results=RESULTS)
    (seen,), tap = watched(event)
    assert chat(choices=[], prompt_filter_results=RESULTS) == seen
    assert Usage(3, 4) == tap.usage


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (
            [{"index": 0, "content_filter_offsets": {}}],
            [{"delta": {}, "index": 0, "content_filter_offsets": {}}],
        ),
        ([{"index": 0, "delta": None}], [{"index": 0, "delta": {}}]),
        ([{}], [{"delta": {}}]),
        (
            [{"index": 0, "delta": {"content": "delta"}}, {"index": 1}],
            [{"index": 0, "delta": {"content": "delta"}}, {"delta": {}, "index": 1}],
        ),
    ],
)
def test_a_choice_without_delta_gets_an_empty_one_and_nothing_else_changes(choices, expected):
    (_, seen), _ = watched(TEXT, chat(choices=choices))
    assert chat(choices=expected) == seen


def test_a_choice_gets_its_delta_in_any_form_of_event():
    event = b'id: 7\r\ndata: {"choices":[\r\ndata: {"index":0}]}\r\n\r\n'
    (_, seen), _ = watched(TEXT, event)
    assert b'id: 7\ndata: {"choices":[ {"delta":{},"index":0}]}\n\n' == seen
    (_, seen), _ = watched(TEXT, b'id: 7\r\ndata: {"choices":[{"index":0}]}\r\n\r\n')
    assert b'id: 7\r\ndata: {"choices":[{"delta":{},"index":0}]}\r\n\r\n' == seen


def test_completions_have_no_deltas():
    event = chat(choices=[{"index": 0, "text": "a"}])
    assert [event] == watched(event, operation=COMPLETIONS)[0]


@pytest.mark.parametrize(
    "event",
    [b"\n\n", b": waiting\n\n", b"retry: 3\n\n", b"event: ping\n\n", b"event: odd\nid: 7\ndata: {}\n\n"],
)
def test_what_says_nothing_passes_unchanged(event):
    assert [TEXT, event] == watched(TEXT, event)[0]


def end(index, **more):
    return chat(choices=[{"index": index, "delta": {}, "finish_reason": "stop"}], **more)


def test_a_stream_of_several_choices_ends_when_all_have():
    _, tap = watched(TEXT, end(1), end(1), choices=2)
    assert not tap.complete
    tap.watch(end(0))
    assert tap.complete


def test_several_choices_may_end_in_one_event():
    ends = [{"index": index, "delta": {}, "finish_reason": "stop"} for index in range(3)]
    assert watched(TEXT, chat(choices=ends), choices=3)[1].finished


@pytest.mark.parametrize(
    ("first", "named"),
    [
        (
            chat(model="gpt-é", created=12, choices=[{"delta": {}}]),
            {"id": "c", "model": "gpt-é", "created": 12},
        ),
        (b"", {"id": "", "model": "", "created": 0}),
    ],
)
def test_a_keep_alive_is_a_chunk_of_the_stream_that_says_nothing(first, named):
    _, tap = watched(*filter(None, [chat(choices=[], id=""), first, TEXT if first else b""]))
    (data,) = [line for line in tap.keep_alive().decode().splitlines() if line]
    choice = {"index": 0, "delta": {}, "finish_reason": None}
    assert {**named, "object": "chat.completion.chunk", "choices": [choice]} == json.loads(data[6:])


def test_a_keep_alive_of_completions_has_an_empty_text():
    _, tap = watched(chat(choices=[{"text": "a"}], created=1, model="m"), operation=COMPLETIONS)
    choice = {"index": 0, "text": "", "logprobs": None, "finish_reason": None}
    event = {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}
    assert event == json.loads(tap.keep_alive()[6:])


def test_speech_has_no_keep_alive():
    assert b"" == StreamTap(SPEECH.streaming, hide_usage=False).keep_alive()
