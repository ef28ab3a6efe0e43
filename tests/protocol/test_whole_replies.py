"""What a whole reply must have to be an answer, and what sound must not be."""

import json
import tracemalloc

import pytest

from gateway.protocol.audio import is_sound
from gateway.protocol.chat_as_text import CHAT_AS_TEXT
from gateway.protocol.emulated_stream import events_of
from gateway.protocol.operations import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS
from gateway.protocol.whole_replies import value_of

NO_ANSWERS = {
    "nothing": b"{}",
    "null": b'{"choices":null,"data":null,"results":null}',
    "no list": b'{"choices":{},"data":"x","results":1}',
    "no objects": b'{"choices":[1],"data":["x"],"results":[null]}',
    "a page's": b'{"html-message":"<p>"}',
    "an error in words": b'{"error":"text","choices":[{}],"data":[],"results":[]}',
    "an error beside": b'{"choices":[{}],"data":[{}],"results":[{}],"error":{"message":"x"}}',
    "typed": b'{"type":"error","error":{"message":"x"}}',
    "an object": b'{"object":"error","message":"x"}',
    "detail": b'{"detail":"x"}',
    "status": b'{"statusCode":500,"message":"x"}',
    "envoy": b'{"message":"no healthy upstream"}',
    "cut": b'{"choices":[{"index":0}],"data":[{"index":0}],"results":[{"a":1}',
    "cut in a string": b'{"choices":[{"a":"x',
    "invalid": b'{"choices":[{"a":01}],"data":[{"a":01}],"results":[{"a":01}]}',
    "more behind": b'{"choices":[{}],"data":[{}],"results":[{}]}{}',
    "no UTF-8": b'{"choices":[{"a":"\xff"}],"data":[{"a":"\xff"}],"results":[{"a":"\xff"}]}',
    "deep": b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "blank": b"  ",
}


@pytest.mark.parametrize("name", NO_ANSWERS)
@pytest.mark.parametrize(
    "operation", [CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS], ids=lambda each: each.name
)
def test_what_lacks_what_the_schema_requires_is_no_answer(operation, name):
    assert not operation.is_answer(NO_ANSWERS[name])


@pytest.mark.parametrize(
    ("operation", "name"),
    [(CHAT, b"choices"), (COMPLETIONS, b"choices"), (EMBEDDINGS, b"data"), (MODERATIONS, b"results")],
    ids=lambda each: getattr(each, "name", ""),
)
def test_a_reply_of_many_values_costs_about_its_bytes(operation, name):
    """64 MB of empty objects took 850 MB to be told from no answer, and a minute to be left as it was."""
    inside = b'{"finish_reason":"content_filter","message":{}}' + b",{}" * 1_000_000
    for answers, first in ((True, b""), (False, b"1,")):
        body = b'{"%b":[%b%b]}' % (name, first, inside)
        tracemalloc.start()
        try:
            assert answers == operation.is_answer(body)
            assert body == CHAT.repaired(body)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 3 * len(body)


def test_a_reply_of_too_many_values_is_not_turned_into_another():
    body = b'{"choices":[{"text":"a","message":{"content":"a"}}],"x":[' + b"0," * 1_000_000 + b"0]}"
    assert body == CHAT_AS_TEXT.repaired(body)
    with pytest.raises(ValueError, match="too many values"):
        events_of(body, usage=False)


ANSWER = {"choices": [{"index": 0}], "data": [{"index": 0}], "results": [{"flagged": False}], "error": None}


@pytest.mark.parametrize("blank", [b"", b" " * 64, b"\r\n\t " * 50])
@pytest.mark.parametrize(
    "operation", [CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS], ids=lambda each: each.name
)
def test_white_space_around_json_is_white_space_and_an_error_of_null_is_none(operation, blank):
    assert operation.is_answer(blank + json.dumps(ANSWER, ensure_ascii=False).encode() + blank)
    assert operation.is_answer(b"\xef\xbb\xbf" + json.dumps(ANSWER | {"x": "é"}, ensure_ascii=False).encode())


@pytest.mark.parametrize(
    "first", [b"ID3\x04", b"\xff\xf3\x84", b"RIFF....WAVE", b"OggS", b"fLaC", bytes(16), b"\x01\x00\x02\x00"]
)
@pytest.mark.parametrize("media_type", ["audio/mpeg", "application/octet-stream", ""])
def test_sound_of_every_format_is_sound(first, media_type):
    assert is_sound(first, media_type)


@pytest.mark.parametrize("media_type", ["application/json", "text/plain"])
def test_sound_is_sound_under_a_wrong_type(media_type):
    assert is_sound(b"ID3\x04", media_type)


@pytest.mark.parametrize(
    ("first", "media_type"),
    [
        (b"", "audio/mpeg"),
        (b" \r\n", "audio/mpeg"),
        (b'{"error":{"message":"x"}}', "audio/mpeg"),
        (b"\n { }", "application/octet-stream"),
        (b"<!DOCTYPE html>", ""),
        (b"<html>", "audio/mpeg"),
        (b"upstream connect error", "text/plain"),
        (b"[1]", "application/json"),
        (b"\x00", "application/problem+json"),
        (b"no healthy upstream", "application/octet-stream"),
        (b"upstream connect error or disconnect/reset before headers. reset reason: overflow", "audio/mpeg"),
        (b'["an", "error"]', ""),
    ],
)
def test_pages_and_objects_are_no_sound(first, media_type):
    assert not is_sound(first, media_type)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": [1, -0.5, 1e5, null, true, "\xc3\xbc"], "a": {"b": "\\u00fc\\n"}}',
        b'{"created": 123456789012345678901234567890, "score": 1e400}',
        b'{"content": "half a character: \\ud83d"}',
    ],
)
def test_the_value_of_an_answer_is_that_of_the_standard_library(body):
    assert json.loads(body) == value_of(body)
