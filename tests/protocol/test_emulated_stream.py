"""Whole replies told as streams, and streams of completions as those of a chat."""

import json

import pytest

from gateway.protocol.chat_as_text import CHAT_AS_TEXT, chat_reply
from gateway.protocol.emulated_stream import events_of
from gateway.protocol.sse import DONE, event_data, event_json
from gateway.protocol.stream_events import EventKind, kind_of
from gateway.protocol.stream_tap import StreamTap

TOOLS = [
    {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"city":"Ulm"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": ""}},
]
FILTER = {"hate": {"filtered": False, "severity": "safe"}}


def reply(*messages, **more):
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "refusal": None, **message},
            "finish_reason": "tool_calls" if "tool_calls" in message else "stop",
            "content_filter_results": FILTER,
        }
        for index, message in enumerate(messages)
    ]
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "o1-2024-12-17"}
    return json.dumps(
        {**whole, "choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 4}, **more}
    ).encode()


def chunks_of(body, *, usage=False):
    events = events_of(body, usage=usage)
    assert DONE == events[-1]
    assert [EventKind.DONE] == [kind for event in events if (kind := kind_of(event, None)) is EventKind.DONE]
    return [event_json(event) for event in events[:-1]]


def deltas(chunks, index=0):
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]


@pytest.mark.parametrize(
    "text", ["Hi", "A sentence of some length that is cut in pieces.", "x" * 50_000, "日本語🙂" * 40]
)
def test_a_text_comes_after_the_role_in_pieces_and_before_its_end(text):
    chunks = chunks_of(reply({"content": text}))
    role, *pieces, end = deltas(chunks[:-1])

    assert {"role": "assistant", "content": ""} == role
    assert 2 <= len(pieces) <= 300
    assert text == "".join(piece["content"] for piece in pieces)
    assert {} == end
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]]
    assert [None] * (len(reasons) - 1) + ["stop"] == reasons


def test_all_chunks_have_one_identity():
    chunks = chunks_of(reply({"content": "Hello there"}, system_fingerprint="fp_1"))

    assert {("chatcmpl-1", "chat.completion.chunk", 5, "o1-2024-12-17", "fp_1")} == {
        tuple(chunk[key] for key in ("id", "object", "created", "model", "system_fingerprint"))
        for chunk in chunks
    }


def test_tools_come_as_deltas_with_their_index():
    role, *calls, end = deltas(chunks_of(reply({"content": None, "tool_calls": TOOLS})))

    assert (None, {}) == (role["content"], end)
    added = [call for delta in calls for call in delta["tool_calls"]]
    assert [0, 0, 0, 1] == [call["index"] for call in added]
    assert [("call_1", "f", ""), ("call_2", "g", "")] == [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in added
        if "id" in call
    ]
    assert '{"city":"Ulm"}' == "".join(call["function"]["arguments"] for call in added if call["index"] == 0)


def test_each_of_several_choices_has_a_role_a_text_and_an_end():
    chunks = chunks_of(reply({"content": "One"}, {"content": "Two"}))

    for index, text in enumerate(("One", "Two")):
        role, *pieces, end = deltas(chunks, index)
        assert ("assistant", text, {}) == (role["role"], "".join(each["content"] for each in pieces), end)


def test_what_filters_found_stays():
    chunks = chunks_of(reply({"content": "Hello"}, prompt_filter_results=[{"prompt_index": 0}]))

    assert [{"prompt_index": 0}] == chunks[0]["prompt_filter_results"]
    assert [True, True, True] == ["content_filter_results" in chunk["choices"][0] for chunk in chunks[1:-1]]


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "refusal": "I cannot."},
        {"content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"content": ""},
        {"content": [{"type": "text", "text": "a part"}]},
        {},
        {"content": "x", "audio": {"id": "a", "data": "QQ=="}, "annotations": []},
        {
            "content": None,
            "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "abc"}}],
        },
    ],
)
def test_nothing_of_a_message_is_lost(message):
    found = {}
    for delta in deltas(chunks_of(reply(message))):
        for key, value in delta.items():
            known = found.get(key)
            if key == "tool_calls":
                custom = value[0]["custom"]
                found[key] = [value[0]] if known is None else found[key]
                if known is not None:
                    found[key][0]["custom"]["input"] += custom["input"]
            elif isinstance(value, dict):
                found[key] = (
                    {**value, "arguments": (known or {}).get("arguments", "") + value["arguments"]}
                    | ({"name": known["name"]} if known else {})
                    if key == "function_call"
                    else value
                )
            else:
                found[key] = (known or "") + value if isinstance(value, str) else value
    found.get("tool_calls", [{}])[0].pop("index", None)

    assert {"content": None, **message, "role": "assistant"} == {"content": None, **found}


@pytest.mark.parametrize("asked", [True, False])
def test_usage_is_in_a_chunk_of_its_own(asked):
    chunks = chunks_of(reply({"content": "Hello"}), usage=asked)

    assert ([], 4) == (chunks[-1]["choices"], chunks[-1]["usage"]["completion_tokens"])
    assert [asked] * (len(chunks) - 1) == ["usage" in chunk for chunk in chunks[:-1]]
    assert {None} >= {chunk.get("usage") for chunk in chunks[:-1]}


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"choices":5}', b'{"choices":[5]}'])
def test_what_is_no_reply_is_told(body):
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        events_of(body, usage=False)


# Completions as chats

TEXT = {"id": "cmpl-1", "object": "text_completion", "created": 5, "model": "gpt-35-turbo-instruct"}


def test_a_completion_becomes_a_chats_reply():
    choice = {
        "index": 0,
        "text": "\n\nHello",
        "finish_reason": "stop",
        "logprobs": None,
        "content_filter_results": FILTER,
    }
    found = json.loads(
        chat_reply(json.dumps({**TEXT, "choices": [choice], "usage": {"prompt_tokens": 1}}).encode())
    )

    assert ("chat.completion", "cmpl-1", {"prompt_tokens": 1}) == (
        found["object"],
        found["id"],
        found["usage"],
    )
    assert [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": None,
            "content_filter_results": FILTER,
            "message": {"role": "assistant", "content": "Hello", "refusal": None},
        }
    ] == found["choices"]


def test_a_completion_without_a_text_is_an_empty_answer_and_what_is_none_stays():
    found = json.loads(chat_reply(b'{"choices":[{"index":0,"text":null,"finish_reason":"content_filter"}]}'))

    assert ("", "content_filter") == (
        found["choices"][0]["message"]["content"],
        found["choices"][0]["finish_reason"],
    )
    assert [b"{", b'{"choices":[5]}', b"[]"] == [
        chat_reply(body) for body in (b"{", b'{"choices":[5]}', b"[]")
    ]


def watched(*events, hide_usage=False, choices=1):
    tap = StreamTap(CHAT_AS_TEXT.streaming, hide_usage=hide_usage, choices=choices)
    shown = [
        tap.watch(b"data: " + json.dumps(event).encode() + b"\n\n" if isinstance(event, dict) else event)
        for event in events
    ]
    return tap, [part + b"\n\n" for part in b"".join(shown).split(b"\n\n") if part]


def text(piece, reason=None, index=0):
    return {
        **TEXT,
        "choices": [{"index": index, "text": piece, "finish_reason": reason, "logprobs": None}],
        "usage": None,
    }


def test_a_stream_of_completions_becomes_a_chats():
    usage = {**TEXT, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    tap, events = watched(
        text(""), text("\n\n"), text(" Hel"), text("lo there", "stop"), usage, DONE, hide_usage=True
    )

    assert DONE == events[-1]
    chunks = [event_json(event) for event in events[:-1]]
    assert {("cmpl-1", "chat.completion.chunk")} == {(chunk["id"], chunk["object"]) for chunk in chunks}
    assert [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo there"}, {}] == deltas(
        chunks
    )
    assert [None, None, None, "stop"] == [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert (2, True, True) == (tap.usage.completion_tokens, tap.finished, tap.done)
    assert b"chat.completion.chunk" in event_data(tap.keep_alive())


def test_usage_that_a_client_asked_for_comes_last():
    usage = {**TEXT, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    _, events = watched(text("Hello", "stop"), usage, DONE)

    last = event_json(events[-2])
    assert ("chat.completion.chunk", [], 2) == (
        last["object"],
        last["choices"],
        last["usage"]["completion_tokens"],
    )


@pytest.mark.parametrize("choice", [5, {}, {"index": [1]}, {"text": 5}, {"text": None, "finish_reason": 5}])
def test_no_choice_of_another_shape_breaks_a_stream(choice):
    _, events = watched({**TEXT, "choices": [choice]}, text("A"))

    assert "A" == deltas([event_json(event) for event in events])[-1]["content"]


def test_the_choices_of_a_stream_of_completions_each_have_a_role():
    _, events = watched(text("A"), text("B", index=1), text("", "stop"), text("", "stop", index=1), choices=2)

    chunks = [event_json(event) for event in events]
    for index, said in enumerate("AB"):
        assert [{"role": "assistant", "content": ""}, {"content": said}, {}] == deltas(chunks, index)
