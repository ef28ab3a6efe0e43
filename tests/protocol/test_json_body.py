"""Request bodies: strict to read, and rewritten without touching what need not change."""

import contextlib
import json
import tracemalloc
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from gateway.errors import BadRequest
from gateway.protocol.json_body import parse, parse_steps, splice
from gateway.protocol.json_bounds import MAX_ESCAPES, MAX_SPACES, MAX_VALUES
from gateway.protocol.json_walk import MAX_DEPTH, MAX_KEY, drained, walk

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
@examples(50)
def test_the_text_around_a_changed_value_stays_as_it_was(text):
    body = parse(text.encode())
    raw = text.encode()
    changed = body.replaced({"a": "dep-a"}, {})
    for member in drained(walk(raw)):
        if member.key == "a" and json.loads(raw[member.value_start : member.end]) != "dep-a":
            assert raw[: member.value_start] + b'"dep-a"' + raw[member.end :] == changed


def test_numbers_keys_and_escapes_reach_upstream_as_written():
    raw = b'{ "temperature":1.0,"n": 12345678901234567890123,"model":"gpt", "x":"\\u00e9\\/", "x":1e5 }'
    assert raw.replace(b'"gpt"', b'"dep-a"') == parse(raw).replaced({"model": "dep-a"}, {})


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b'{"model":"one","model":"two"}', b'{"model":"two"}'),
        (b'{"model":"one","a":1,"model":"two"}', b'{"a":1,"model":"two"}'),
        (b'{"model": "one", "a": 1, "model": "two"}', b'{ "a": 1, "model": "two"}'),
        (b'{ "model" : "one" , "a":1, "m\\u006fdel":"two"}', b'{  "a":1, "m\\u006fdel":"two"}'),
        (b'{"n":1,"n":2,"n":3,"x":1,"x":2}', b'{"n":3,"x":1,"x":2}'),
        (b'{"stream":true,"a":{"stream":1},"stream":false}', b'{"a":{"stream":1},"stream":false}'),
    ],
)
def test_of_a_deciding_key_that_occurs_twice_the_last_one_is_kept(raw, kept):
    assert kept == parse(raw).raw
    assert json.loads(raw) == dict(parse(raw).values)


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
        assert dict(parse(raw).values) == json.loads(raw)


@given(texts())
def test_the_walk_finds_what_the_parser_finds(text):
    raw = text.encode()
    members = drained(walk(raw))
    assert json.loads(text) == {
        member.key: json.loads(raw[member.value_start : member.end]) for member in members
    }
    assert all(json.loads(b"{" + raw[member.start : member.end] + b"}") for member in members)


def test_splicing_applies_edits_in_order():
    assert b"0aa3bb6789" == splice(b"0123456789", [(1, 3, b"aa"), (4, 6, b"bb")])


@contextlib.contextmanager
def everything_is_large():
    with mock.patch("gateway.protocol.json_body.LARGE", 0):
        yield


@given(texts())
def test_a_large_body_is_read_as_a_small_one(text):
    small = parse(text.encode())
    with everything_is_large():
        large = parse(text.encode())
    assert (small.raw, set(small.values)) == (large.raw, set(large.values))
    for key, value in small.values.items():
        found = large.values[key]
        assert value == json.loads(found.body[found.start : found.end])
    changes, defaults = {"model": "dep", "stream_options": {"include_usage": True}}, {"b": 1}
    assert json.loads(small.replaced(changes, defaults)) == json.loads(large.replaced(changes, defaults))


@given(st.binary(max_size=40))
def test_what_is_refused_small_is_refused_large(raw):
    def refused():
        try:
            parse(raw)
        except BadRequest as error:
            return error.message
        return None

    expected = refused()
    with everything_is_large():
        assert expected == refused()


MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    "inside",
    [
        lambda: b"[" + b"{}," * 3 * MEGABYTE + b"{}]",
        lambda: b"[" + b'"",' * MEGABYTE + b'""]',
        lambda: b'"' + b"\\n" * 5 * MEGABYTE + b'"',
        lambda: b'"' + b"\\ud83d\\ude00" * 3 * MEGABYTE + b'"',
        lambda: b"1" + b" " * 17 * MEGABYTE,
        lambda: b'{"a":1' + b',"b":1' * MEGABYTE + b"}",
        lambda: b"[" * 200_000,
    ],
    ids=["objects", "strings", "escapes", "surrogates", "spaces", "members", "depth"],
)
def test_a_body_beyond_its_bounds_is_refused_before_it_is_built(inside):
    with pytest.raises(BadRequest):
        parse(b'{"model":"gpt","x":' + inside() + b"}")


@pytest.mark.parametrize(
    "inside",
    [
        # 10 of what is counted stand around it, and 1 before it.
        b"[" + b"1," * (MAX_VALUES - 11) + b"1]",
        b'"' + b"\\n" * MAX_ESCAPES + b'"',
        b"1" + b" " * MAX_SPACES,
        b"9" * 1_000_000,
    ],
    ids=["values", "escapes", "spaces", "a number"],
)
def test_a_body_at_the_edge_of_its_bounds_is_read(inside):
    raw = b'{"model":"gpt","x":' + inside + b"}"

    assert raw == parse(raw).raw


@pytest.mark.parametrize(
    "inside",
    [
        b"[" + b"1," * (MAX_VALUES - 10) + b"1]",
        b'"' + b"\\n" * (MAX_ESCAPES + 1) + b'"',
        b"1" + b" " * (MAX_SPACES + 1),
    ],
    ids=["values", "escapes", "spaces"],
)
def test_a_body_one_beyond_the_edge_is_refused(inside):
    # What is counted in the last step is too little to be looked at, unless much of it comes.
    with pytest.raises(BadRequest, match="more values, escapes or white space"):
        parse(b'{"model":"gpt","x":' + inside + b',"y":"' + b"," * 2000 + b'"}')


def nested(levels: int, opening: bytes, *, large: bool) -> bytes:
    """A body that has so many levels, its own one included."""
    closing = b"]" if opening == b"[" else b"}"
    inside = opening * (levels - 1) + (b"1" if opening != b"[" else b"") + closing * (levels - 1)
    return b'{"pad":"%s","tools":%s}' % (b"[" * 100_000 if large else b'{\\"[[', inside)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'], ids=["arrays", "objects"])
def test_a_body_at_the_edge_of_its_depth_is_read_and_one_beyond_it_refused(opening, large):
    assert parse(nested(MAX_DEPTH, opening, large=large)).raw
    with pytest.raises(BadRequest, match="deeper than 500 levels"):
        parse(nested(MAX_DEPTH + 1, opening, large=large))


def test_what_was_read_at_the_edge_of_its_depth_can_be_built_and_rewritten_deep_in_the_stack():
    body = parse(nested(MAX_DEPTH, b"[", large=False))

    def below(frames):
        return below(frames - 1) if frames else body.replaced({"tools": [body.values["tools"]]}, {})

    changed = below(300)
    assert (b"[" * MAX_DEPTH in changed, b"[" * (MAX_DEPTH + 1) in changed) == (True, False)


@pytest.mark.parametrize("count", [1, 9_999])
def test_a_large_body_at_the_edge_of_its_members_is_read(count):
    raw = b'{"x":"' + b"a" * 100_000 + b'"' + b"".join(b',"k%d":1' % number for number in range(count)) + b"}"
    assert count + 1 == len(parse(raw).values)


@pytest.mark.parametrize("size", [MAX_KEY, MAX_KEY + 1, 10 * MAX_KEY])
def test_a_members_name_is_read_up_to_its_bound(size):
    """The quotes are counted, too."""
    raw = b'{"pad":"%s","%s":1}' % (b"a" * 100_000, b"k" * (size - 2))
    if size == MAX_KEY:
        assert 2 == len(parse(raw).values)
    else:
        with pytest.raises(BadRequest, match="a member whose name is longer than 65536 bytes"):
            parse(raw)


def test_a_large_body_with_more_members_is_refused():
    raw = (
        b'{"x":"' + b"a" * 100_000 + b'"' + b"".join(b',"k%d":1' % number for number in range(10_000)) + b"}"
    )
    with pytest.raises(BadRequest) as caught:
        parse(raw)
    assert "The request body has more than 10000 members." == caught.value.message


def test_a_large_body_takes_little_memory_beyond_its_bytes_and_is_read_in_steps():
    raw = (
        b'{"model":"gpt","messages":[{"role":"user","content":"'
        + "\U0001f600a".encode() * 2 * MEGABYTE
        + b'"}]}'
    )
    tracemalloc.start()
    steps = 0
    reading = parse_steps(raw)
    with contextlib.suppress(StopIteration):
        while True:
            next(reading)
            steps += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(raw) + 8 * MEGABYTE
    assert steps > len(raw) / MEGABYTE


@pytest.mark.parametrize(
    "value",
    [
        b'"%b"' % (b"x" * 4 * MEGABYTE),
        b'"%b"' % ((b"\\n" + b"x" * 1000) * 4000),
        b'"%b"' % (b"\\n" * 2 * MEGABYTE),
        b"[%b1]" % (b'"%b",' % (b"x" * 1000) * 4000),
        b"[%b1]" % (b'"%b",' % (b"x" * 60_000) * 70),
        b"[%b1]" % (b"%b," % (b"1" * 60) * 70_000),
    ],
    ids=["a text", "a few escapes", "escapes", "texts", "long texts", "numbers"],
)
def test_of_a_large_body_little_is_walked_over_in_one_step_whatever_it_holds(value):
    raw = b'{"x":%b}' % value
    steps = sum(1 for _ in walk(raw))

    assert steps >= len(raw) / (2 * 65536)


def test_a_body_of_many_members_is_read_in_steps():
    """In one step, 9,000 of them kept others waiting for 60 ms."""
    raw = b'{"x":"' + b"a" * 70_000 + b'"' + b"".join(b',"a%d":1' % n for n in range(9_000)) + b"}"
    steps = sum(1 for _ in parse_steps(raw))

    assert steps >= 9_000 / 500


@pytest.mark.parametrize(("size", "taken"), [(65_534, True), (65_535, False), (5 * MEGABYTE, False)])
def test_a_members_name_is_bounded(size, taken):
    raw = b'{"' + b"k" * size + b'":1,"x":"' + b"a" * 70_000 + b'"}'
    with contextlib.nullcontext() if taken else pytest.raises(BadRequest):
        assert 2 == len(parse(raw).values)


def test_a_number_beyond_any_computer_is_forwarded_and_not_believed():
    body = parse(b'{"model":"gpt","max_tokens":' + b"9" * 5000 + b"}")
    assert body.values["max_tokens"] is None
    assert body.raw == body.replaced({}, {"max_tokens": 1})


@pytest.mark.parametrize("before", ['"x":', '"x": ', '"x":[1,', '"x":1e', '"x":-0.'])
def test_a_number_of_megabytes_is_refused_before_it_is_parsed(before):
    raw = b'{"model":"m",' + before.encode() + b"9" * 3_000_000 + (b"]}" if "[" in before else b"}")
    with pytest.raises(BadRequest, match="holds a number longer than any model takes"):
        drained(parse_steps(raw))


@pytest.mark.parametrize("before", ["", "text", "'"])
def test_a_string_of_digits_may_be_as_long_as_any(before):
    raw = b'{"model":"m","x":"' + before.encode() + b"9" * 5_000_000 + b'"}'
    assert raw == drained(parse_steps(raw)).raw
