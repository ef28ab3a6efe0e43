"""Request bodies: strict to read, and rewritten without touching what need not change."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.protocol.json_body import parse, scan_object, splice

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.sampled_from(["model", "a", "b", 'q"', "\\", "é", "stream_options"]), VALUES)


@st.composite
def texts(draw):
    """A JSON object, with spaces and escapes as some client might write it."""
    value = draw(OBJECTS)
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")]))
    text = json.dumps(value, separators=separators, ensure_ascii=draw(st.booleans()))
    return draw(st.sampled_from(["", " ", "\n\t"])) + text + draw(st.sampled_from(["", "\r\n"]))


@given(texts())
def test_a_body_in_which_nothing_changes_keeps_its_bytes(text):
    body = parse(text.encode())
    same = {key: value for key, value in body.values.items() if key == "model"}
    assert text.encode() == body.replaced(same, {"a": 0} if "a" in body.values else {})


@given(texts(), VALUES)
def test_a_change_changes_one_member_and_nothing_else(text, value):
    body = parse(text.encode())
    written = body.replaced({"model": "dep-a"}, {"b": value})
    assert {"b": value, **body.values, "model": "dep-a"} == json.loads(written)


@given(texts())
@settings(max_examples=50)
def test_the_text_around_a_changed_value_stays_as_it_was(text):
    body = parse(text.encode())
    members, _ = scan_object(text, text.index("{"))
    changed = body.replaced({"a": "dep-a"}, {}).decode()
    for member in members:
        if member.key == "a" and member.value != "dep-a":
            assert text[: member.start] + '"dep-a"' + text[member.end :] == changed


def test_numbers_keys_and_escapes_reach_upstream_as_written():
    raw = b'{ "temperature":1.0,"n": 12345678901234567890123,"model":"gpt", "x":"\\u00e9\\/", "x":1e5 }'
    assert raw.replace(b'"gpt"', b'"dep-a"') == parse(raw).replaced({"model": "dep-a"}, {})


def test_a_key_that_occurs_twice_is_changed_twice():
    raw = b'{"model":"one","model":"two"}'
    assert b'{"model":"dep","model":"dep"}' == parse(raw).replaced({"model": "dep"}, {})


def test_an_escaped_key_is_changed_too():
    assert b'{"m\\u006fdel":"dep"}' == parse(b'{"m\\u006fdel":"gpt"}').replaced({"model": "dep"}, {})


def test_a_nested_member_of_the_same_name_is_left_alone():
    raw = b'{"a":{"model":"gpt"},"model":"gpt"}'
    assert b'{"a":{"model":"gpt"},"model":"dep"}' == parse(raw).replaced({"model": "dep"}, {})


def test_defaults_are_added_only_where_the_client_is_silent():
    body = parse(b'{"temperature":0}')
    assert {"temperature": 0, "top_p": 0.5} == json.loads(body.replaced({}, {"temperature": 1, "top_p": 0.5}))


def test_a_change_wins_over_a_default():
    assert {"model": "dep"} == json.loads(parse(b"{}").replaced({"model": "dep"}, {"model": "default"}))


def test_a_null_counts_as_said():
    assert b'{"user":null}' == parse(b'{"user":null}').replaced({}, {"user": "x"})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello",
        b"[]",
        b'"text"',
        b"null",
        b"{",
        b'{"a":1}x',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\\ud800"}',
        b'{"\\uDFFF":1}',
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":' + b"[" * 200_000,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
    ids=lambda raw: raw[:12],
)
def test_what_is_not_one_json_object_is_refused(raw):
    with pytest.raises(BadRequest) as caught:
        parse(raw)
    assert (400, None) == (caught.value.status, caught.value.code)
    assert caught.value.message.startswith("We could not parse the JSON body of your request.")


def test_surrogates_in_pairs_are_characters():
    assert {"a": "😀"} == parse(b'{"a":"\\ud83d\\uDE00"}').values


@given(st.binary(max_size=40))
def test_any_bytes_are_parsed_or_refused(raw):
    with contextlib.suppress(BadRequest):
        assert isinstance(parse(raw).values, dict)


@given(texts())
def test_the_scanner_finds_what_the_parser_finds(text):
    start = text.index("{")
    members, end = scan_object(text, start)
    assert json.loads(text) == {member.key: member.value for member in members}
    assert [json.loads(text[member.start : member.end]) for member in members] == [
        member.value for member in members
    ]
    assert text[start:end] == text.strip()


@pytest.mark.parametrize("text", ["{", '{"a"', '{"a" 1}', '{"a":1', '{"a":1;', "{1:2}", '{"a":1,}', '{"a":}'])
def test_the_scanner_refuses_torn_objects(text):
    with pytest.raises((ValueError, StopIteration)):
        scan_object(text, 0)


def test_splicing_applies_edits_in_order():
    assert "0aa3bb6789" == splice("0123456789", [(1, 3, "aa"), (4, 6, "bb")])
