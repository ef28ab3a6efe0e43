"""Chat replies whose answer the content filter withheld: every choice gets a message, and no other byte changes."""

import json

import pytest

from gateway.protocol.filtered_chat import completed

MESSAGE = {"role": "assistant", "content": None}


def test_a_withheld_choice_without_a_message_gets_one_and_nothing_else_changes():
    body = (
        b'{ "choices" : [ {"finish_reason" : "content_filter","n":1.0 } ],\n "usage":{"total_tokens":1} }\n'
    )
    expected = body.replace(b'{"finish', b'{"message":{"role":"assistant","content":null},"finish')
    assert expected == completed(body)


def test_each_of_several_choices_is_judged_by_itself():
    choices = [
        {"index": 0, "finish_reason": "content_filter"},
        {"index": 1, "finish_reason": "stop", "message": {"content": "x"}},
        {"index": 2, "finish_reason": "content_filter", "message": {"content": ""}},
        {"index": 3, "finish_reason": "content_filter"},
        {"index": 4, "finish_reason": "stop"},
    ]
    found = json.loads(completed(json.dumps({"choices": choices}).encode()))["choices"]
    assert [MESSAGE, {"content": "x"}, {"content": ""}, MESSAGE, None] == [
        one.get("message") for one in found
    ]


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices":[{"finish_reason":"stop"}]}',
        b'{"choices":[{"message":{"content":"\\"finish_reason\\":\\"content_filter\\""}}]}',
        b'{"choices":[{"finish_reason":"content_filter","message":null}]}',
        b'{"choices":{"finish_reason":"content_filter"}}',
        b'{"choices":["x",{"x":{"finish_reason":"content_filter"}}]}',
        b'{"choices":[{"finish_reason":"content_filter"',
        b'["finish_reason","content_filter",{"finish_reason":"content_filter"}',
        b'"finish_reason":"content_filter"',
        b'{"\xff":1,"finish_reason":"content_filter"}',
        b'{"finish_reason":"content_filter","x":' + b"[" * 100_000,
    ],
)
def test_anything_else_keeps_its_bytes(body):
    assert body == completed(body)
