"""Server-sent events: cut at any boundary, told apart, never re-serialised."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.sse import (
    DONE,
    LONGEST_EVENT,
    MOST_BREAKS,
    EventSplitter,
    EventTooLong,
    error_event,
    event_data,
    event_json,
    is_whole,
)


def split(*chunks):
    """The events of a stream, and what is left over."""
    splitter = EventSplitter()
    events = [event for piece in chunks for event in splitter.feed(piece)]
    return events, splitter.rest()


ENDS = ["\n", "\r\n", "\r"]
SAMPLE = 'data: {"a":"é😀"}~~: comment~~event: x~data: 1~data: 2~~data: [DONE]~~'


@pytest.mark.parametrize("end", ENDS, ids=["lf", "crlf", "cr"])
def test_every_boundary_gives_the_same_events(end):
    # What follows shows that a closing CR is not half of a CRLF.
    whole = SAMPLE.replace("~", end).encode() + b"data"
    expected = split(whole)
    assert 4 == len(expected[0])
    for position in range(len(whole) + 1):
        assert expected == split(whole[:position], whole[position:])


@pytest.mark.parametrize("end", ENDS, ids=["lf", "crlf", "cr"])
def test_every_pair_of_boundaries_gives_the_same_events(end):
    whole = f"data: é{end}{end}data: 2{end}{end}x".encode()
    expected = split(whole)
    for first, second in itertools.combinations(range(len(whole) + 1), 2):
        assert expected == split(whole[:first], whole[first:second], whole[second:])


@pytest.mark.parametrize("end", ENDS, ids=["lf", "crlf", "cr"])
def test_single_bytes_give_the_same_events(end):
    whole = SAMPLE.replace("~", end).encode()
    assert split(whole) == split(*(bytes([byte]) for byte in whole))


def test_line_ends_may_be_mixed():
    assert ([b"a\r\n\n", b"b\n\r", b"c\r\n\r\n"], b"d") == split(b"a\r\n\nb\n\rc\r\n\r\nd")


def test_a_closing_cr_waits_for_its_lf():
    splitter = EventSplitter()
    assert [] == splitter.feed(b"data: 1\r\n\r")
    assert [b"data: 1\r\n\r\n"] == splitter.feed(b"\n")


def test_an_event_leaves_as_soon_as_its_empty_line_is_there():
    splitter = EventSplitter()
    assert [b"data: 1\n\n"] == splitter.feed(b"data: 1\n\ndata: 2")
    assert b"data: 2" == splitter.rest()
    assert [b"data: 2\r\r"] == splitter.feed(b"\r\r")


@pytest.mark.parametrize(
    ("rest", "ends"),
    [(b"", False), (b"data: [DON", False), (b"data: [DONE]", True), (b"id: 1\ndata:[DONE]\r\n", True)],
)
def test_done_ends_a_stream_before_its_empty_line(rest, ends):
    splitter = EventSplitter()
    assert [] == splitter.feed(rest)
    assert ends is splitter.ends()


PIECES = st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"data: ", "é".encode(), b"\n\n", b"\r\n\r\n"]), max_size=20
)


@given(PIECES, st.data())
def test_no_byte_is_lost_and_no_split_matters(pieces, data):
    whole = b"".join(pieces)
    positions = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    chunks = [whole[a:b] for a, b in itertools.pairwise([0, *positions, len(whole)])]
    events, rest = split(*chunks)
    assert whole == b"".join(events) + rest
    assert (events, rest) == split(whole)


def test_an_event_of_200_kilobytes_in_small_pieces_takes_no_quadratic_time():
    def seconds(size):
        event = b"data: " + b"x" * size + b"\n\n"
        started = time.process_time()
        events, _ = split(*(event[i : i + 7] for i in range(0, len(event), 7)))
        assert [event] == events
        return time.process_time() - started

    small, large = (min(seconds(size) for _ in range(3)) for size in (25_000, 200_000))
    # Eight times as long; quadratic would be 64 times the time.
    assert large < 24 * small, (small, large)


def test_data_lines_are_joined_and_a_single_space_is_dropped():
    assert b"1\n 2\n" == event_data(b"event: x\ndata:1\ndata:  2\nid: 3\ndata:\n\n")


@pytest.mark.parametrize(
    "event", [b"", b": waiting\n\n", DONE, b"data: [1]\n\n", b"data: {\n\n", b"data: " + b"[" * 200_000]
)
def test_an_event_without_an_object_has_none(event):
    assert {} == event_json(event)


def test_an_object_over_several_lines_is_read():
    assert {"a": 1} == event_json(b'data: {"a":\r\ndata: 1}\r\n\r\n')


@pytest.mark.parametrize(
    ("event", "whole"),
    [
        (b"data: [DONE]", True),
        (b'data: {"a":1}', True),
        (b'data: {"a":', False),
        (b"", False),
        (b"da", False),
    ],
)
def test_what_no_empty_line_ended_may_be_whole(event, whole):
    assert whole == is_whole(event)


@pytest.mark.parametrize(
    "body", [b'{"error":{"code":"x"}}', b'{\n "error": {\r\n  "code": "x"\n}\n}', b'{"error":\r{"code":"x"}}']
)
def test_an_error_object_becomes_one_event_even_if_written_on_several_lines(body):
    event = error_event(body)
    assert ([event], b"") == split(event)
    assert {"error": {"code": "x"}} == event_json(event)


def test_an_event_that_never_ends_is_given_up():
    splitter = EventSplitter()
    piece = b"data: " + b"a" * (LONGEST_EVENT // 4)
    with pytest.raises(EventTooLong):
        assert [] == [event for _ in range(6) for event in splitter.feed(piece)]


@pytest.mark.parametrize(("breaks", "ends"), [(MOST_BREAKS, True), (MOST_BREAKS + 1, False)])
@pytest.mark.parametrize("line", [b"data: a\n", b"data: a\r\n"], ids=["lf", "crlf"])
def test_an_event_of_many_lines_is_given_up(line, breaks, ends):
    splitter = EventSplitter()
    each = line.count(b"\n") + line.count(b"\r")
    splitter.feed(b"data: a")
    splitter.feed(b"\n" * (breaks % each) + b"a" + line * (breaks // each))
    if ends:
        assert 1 == len(splitter.feed(line[-1:] + b"x"))
    else:
        with pytest.raises(EventTooLong):
            splitter.feed(b"x")


def test_breaks_of_events_that_have_ended_are_not_counted():
    splitter = EventSplitter()
    for _ in range(MOST_BREAKS // 2):
        assert 1 == len(splitter.feed(b"data: a\r\n\r\nd"))
        splitter.feed(b"")
        assert 1 == len(splitter.feed(b"\r\n\r\nx"))


def test_an_event_of_the_longest_length_passes():
    splitter = EventSplitter()
    event = b"data: " + b"a" * (LONGEST_EVENT - 8) + b"\n\n"
    assert [] == splitter.feed(event[:-1])
    assert [event] == splitter.feed(event[-1:])
