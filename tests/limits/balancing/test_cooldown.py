from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.balancing.cooldown import Gate, Rest, unpack
from gateway.limits.balancing.health import Health

NOW = 1_000_000_000.0


def test_a_limit_is_over_when_its_time_is():
    gate = Gate()
    gate.close(7, "tokens", 100, NOW)

    assert not gate.open(NOW + 6.9)
    assert gate.open(NOW + 7)
    assert gate.rest is None


def test_a_fault_is_over_only_when_a_probe_succeeds():
    gate = Gate()
    gate.close(30, "operator", 0, NOW)

    assert gate.open(NOW + 31)
    gate.probed(NOW + 31)
    assert not gate.open(NOW + 32), "one probe at a time"
    gate.succeeded(NOW + 33)
    assert gate.open(NOW + 33)


@pytest.mark.parametrize("reason", ["tokens", "quota", "operator", "health"])
def test_a_rest_of_a_clock_that_ran_ahead_is_over_when_the_clock_is_right(reason):
    gate = Gate()
    gate.close(7, reason, 0, NOW + 3600)

    assert not gate.open(NOW + 3602)
    assert gate.open(NOW + 3)
    assert gate.rest is None


@given(st.floats(0, 5))
def test_a_clock_that_is_set_back_by_seconds_ends_no_rest(back):
    gate = Gate()
    gate.close(7, "tokens", 0, NOW)

    assert not gate.open(NOW - back)
    assert NOW + 7 == gate.rest.until


def test_a_rest_of_a_clock_that_ran_ahead_makes_the_next_one_no_longer():
    gate = Gate()
    gate.close(40, "tokens", 0, NOW + 3600)
    gate.close(7, "tokens", 0, NOW + 3)

    assert NOW + 10 == gate.rest.until
    assert gate.limited_at <= NOW + 13


def test_a_probe_of_a_clock_that_ran_ahead_does_not_keep_the_next_away():
    gate = Gate()
    gate.close(5, "health", 0, NOW)
    gate.probed(NOW + 3600)

    assert gate.open(NOW + 6)


def test_a_probe_whose_answer_takes_long_does_not_keep_all_others_away():
    gate = Gate()
    gate.close(30, "health", 0, NOW)
    gate.probed(NOW + 31)

    assert not gate.open(NOW + 36)
    assert gate.open(NOW + 36.1)


def test_each_failed_probe_doubles_the_rest_up_to_a_minute():
    gate, lengths, now = Gate(), [], NOW
    for _ in range(6):
        seconds = gate.again(5, now)
        gate.close(seconds, "health", 0, now)
        lengths.append(seconds)
        now += seconds

    assert [5, 10, 20, 40, 60, 60] == lengths


@pytest.mark.parametrize(
    ("reason", "later", "seconds"),
    [("health", 59, 20), ("health", 60, 5), ("operator", 1, 20), ("quota", 1, 5)],
)
def test_who_fails_again_soon_after_a_rest_rests_twice_as_long(reason, later, seconds):
    gate = Gate()
    gate.close(10, reason, 0, NOW)
    gate.probed(NOW + 10)
    gate.succeeded(NOW + 10)

    assert seconds == gate.again(5, NOW + 10 + later)


def test_of_two_ends_the_later_one_holds():
    gate = Gate()
    gate.close(20, "tokens", 100, NOW)
    gate.close(1, "tokens", 10, NOW + 1)

    assert NOW + 20 == gate.rest.until


rests = st.builds(
    Rest,
    st.floats(NOW - 5, NOW),
    st.floats(NOW + 1, NOW + 50),
    st.sampled_from(["tokens", "requests", "limit", "quota", "operator", "health"]),
    st.integers(0, 5000),
)


@given(st.lists(rests, min_size=1, max_size=4))
def test_others_rests_merge_in_any_order_and_the_latest_holds(some):
    ends = set()
    for order in permutations(some):
        gate = Gate()
        for rest in (*order, order[0]):
            gate.take(rest)
        ends.add(gate.rest)

    assert {max(some)} == ends


def test_a_rest_that_a_probe_ended_does_not_come_back_from_others():
    gate = Gate()
    rest = gate.close(5, "health", 0, NOW)
    gate.probed(NOW + 6)
    gate.succeeded(NOW + 6)

    assert not gate.take(rest)
    assert gate.open(NOW + 7)


@given(rests)
def test_a_rest_that_is_over_is_none(rest):
    assert unpack(rest.packed(), NOW + 51) is None


@given(rests)
def test_a_rest_survives_its_row(rest):
    found = unpack(rest.packed(), NOW)

    assert found is not None
    assert (round(rest.until, 3), rest.reason, rest.size) == (found.until, found.reason, found.size)


anything = st.none() | st.text(max_size=3) | st.floats() | st.integers() | st.booleans()


@given(anything | st.lists(anything, max_size=5))
def test_what_is_no_rest_is_ignored_and_none_lasts_for_ever(value):
    rest = unpack(value, NOW)

    assert rest is None or rest.until <= NOW + 80


def test_five_failures_in_a_row_are_too_many_and_four_are_not():
    health = Health(None)

    assert [False] * 4 + [True] == [health.failed(NOW) for _ in range(5)]


def test_failures_among_successes_are_forgiven():
    health = Health(None)
    for _ in range(20):
        health.succeeded()
        assert not health.failed(NOW)


def test_allowed_fails_are_counted_by_the_minute():
    health = Health(2)

    assert [False, False, True] == [health.failed(NOW + second) for second in range(3)]
    health = Health(2)
    assert [False] * 5 == [health.failed(NOW + 31 * step) for step in range(5)]


def test_failures_of_a_clock_that_ran_ahead_are_forgotten():
    health = Health(2)
    health.failed(NOW)
    for second in range(2):
        health.failed(NOW + 3600 + second)

    assert [False] * 4 == [health.failed(NOW + 31 * step) for step in range(4)]


def test_failures_are_counted_also_when_the_clock_is_set_back_by_a_second():
    health = Health(2)

    assert [False, False, True] == [health.failed(NOW - second) for second in range(3)]
