from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.ledger.window_sums import WindowSums

START = 1_000_000_000


def test_a_second_leaves_the_sums_after_the_span():
    ring = WindowSums(60)
    ring.advance(START)
    ring.add(START, 7, 1)
    ring.advance(START + 59)

    assert (7, 1) == (ring.tokens, ring.requests)
    ring.advance(START + 60)
    assert (0, 0) == (ring.tokens, ring.requests)


def test_a_second_is_remembered_a_moment_longer_than_it_counts():
    ring = WindowSums(60)
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
    ring = WindowSums(61)
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


@given(st.integers(0, 60))
def test_going_back_within_the_span_changes_nothing(seconds):
    ring = WindowSums(61)
    ring.advance(START)
    ring.add(START, 5, 1)
    ring.advance(START - seconds)

    assert (START, 5) == (ring.head, ring.tokens)


@given(st.integers(70, 100_000), st.integers(0, 5))
def test_after_a_clock_ran_ahead_the_present_counts_again(ahead, lasting):
    ring = WindowSums(61)
    ring.advance(START)
    ring.add(START, 5, 1)
    ring.advance(START + ahead)
    ring.add(START + ahead, 100, 1)
    for second in range(START + lasting, START + lasting + 3):
        ring.advance(second)
        ring.add(second, 7, 1)

    assert (21, 3) == (ring.tokens, ring.requests)
    ring.advance(START + lasting + 61)
    assert (14, 2) == (ring.tokens, ring.requests)


@given(st.integers(61, 100_000), st.integers(0, 30), st.integers(-70, 70))
def test_after_a_clock_was_set_back_for_a_moment_all_is_as_before(back, lasting, mark):
    ring, plain = WindowSums(61), WindowSums(61)
    for each in (ring, plain):
        each.advance(START)
        for age in range(60):
            each.add(START - age, age, 1)
        each.mark(START + mark)
    for second in range(lasting):
        ring.advance(START - back - lasting + second)
        ring.add(START - back - lasting + second, 100, 1)
    for each in (ring, plain):
        each.advance(START + lasting)

    assert [plain.at(second) for second in plain.seconds()] == [ring.at(second) for second in ring.seconds()]
    assert (plain.tokens, plain.requests, plain.marked) == (ring.tokens, ring.requests, ring.marked)


def test_what_a_clock_counted_that_ran_ahead_does_not_come_back_when_that_time_comes():
    ring = WindowSums(61)
    ring.advance(START + 100)
    ring.add(START + 100, 100, 1)
    for second in range(START, START + 101):
        ring.advance(second)
        ring.add(second, 1, 1)

    assert (61, 61) == (ring.tokens, ring.requests)
