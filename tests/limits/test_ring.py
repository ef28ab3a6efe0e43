from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.ring import Ring

START = 1_000_000_000


def test_a_second_leaves_the_sums_after_the_span():
    ring = Ring(60)
    ring.advance(START)
    ring.add(START, 7, 1)
    ring.advance(START + 59)

    assert (7, 1) == (ring.tokens, ring.requests)
    ring.advance(START + 60)
    assert (0, 0) == (ring.tokens, ring.requests)


def test_a_second_is_remembered_a_moment_longer_than_it_counts():
    ring = Ring(60)
    ring.advance(START)
    ring.add(START, 7, 1)
    ring.advance(START + 63)

    assert (7, 1) == ring.at(START)
    assert 0 == ring.tokens


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(-70, 60), st.integers(-50, 1000), st.integers(-1, 3)),
        max_size=60,
    ),
    st.integers(-100, 300),
)
def test_the_sums_are_those_of_a_plain_list(steps, mark):
    """Whatever is added whenever, and wherever the mark is set."""
    ring = Ring(61)
    ring.advance(START)
    ring.mark(START + mark)
    plain: list[tuple[int, int, int]] = []
    head = START
    for forward, offset, tokens, requests in steps:
        head += forward
        ring.advance(head)
        ring.add(head + offset, tokens, requests)
        if offset > -67:
            plain.append((head + offset, tokens, requests))
        kept = [each for each in plain if each[0] > head - 61]

        assert sum(each[1] for each in kept) == ring.tokens
        assert sum(each[2] for each in kept) == ring.requests
        assert sum(each[1] for each in kept if each[0] >= START + mark) == ring.marked


def test_going_back_in_time_changes_nothing():
    ring = Ring(61)
    ring.advance(START)
    ring.add(START, 5, 1)
    ring.advance(START - 500)

    assert (START, 5) == (ring.head, ring.tokens)
