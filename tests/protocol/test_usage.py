"""What a reply says that it used."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.operations import CHAT, SPEECH
from gateway.protocol.usage import Usage

COUNTS = st.integers(0, 10**9)


@given(st.text(), COUNTS, COUNTS, st.booleans(), st.sampled_from([None, 1]))
def test_usage_is_found_wherever_it_stands(text, prompt, completion, last, indent):
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": 1},
    }
    rest = {"choices": [{"message": {"content": text + '"usage": {"prompt_tokens": 5}'}}], "x": '"usage"'}
    whole = {**rest, "usage": usage} if last else {"usage": usage, **rest}
    assert Usage(prompt, completion) == CHAT.usage(json.dumps(whole, indent=indent).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"usage":null}',
        b'{"usage":5}',
        b'{"usage":{',
        b'{"usage":{"prompt_tokens":"3"}}',
        b'{"a":"usage"}',
        b"",
    ],
)
def test_without_a_usage_there_is_none(body):
    assert Usage() == CHAT.usage(body)


@pytest.mark.parametrize(("words", "usage"), [(99, Usage(1, 2)), (100, Usage()), (1_000_000, Usage())])
def test_the_word_is_looked_at_a_hundred_times_from_the_end_on(words, usage):
    body = b'{"usage":{"prompt_tokens":1,"completion_tokens":2},"a":[' + b'"usage",' * words + b"0]}"
    assert usage == CHAT.usage(body)


def test_a_nested_word_before_the_real_one_is_passed_over():
    assert Usage(1, 2) == CHAT.usage(b'{"usage":{"prompt_tokens":1,"completion_tokens":2},"a":["usage"]}')


@pytest.mark.parametrize(
    ("value", "usage"),
    [
        ({"prompt_tokens": 1, "completion_tokens": 2}, Usage(1, 2)),
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(8, None)),
        ({"prompt_tokens": True, "completion_tokens": -1}, Usage()),
        ({"prompt_tokens": 1.5}, Usage()),
        ({"prompt_tokens": 10**9, "completion_tokens": 10**9 + 1}, Usage(10**9, None)),
        ({"prompt_tokens": 10**30, "completion_tokens": 2}, Usage(None, 2)),
        ({}, Usage()),
    ],
)
def test_only_counts_are_read(value, usage):
    assert usage == CHAT.usage_fields.read(value)


def test_an_operation_that_reports_no_usage_has_none():
    assert Usage() == SPEECH.usage(b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}')
