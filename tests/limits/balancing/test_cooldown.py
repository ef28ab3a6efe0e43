from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.balancing.cooldown import CircuitBreaker, Cooldown, is_moment, unpack
from gateway.limits.balancing.health import Health

NOW = 1_000_000_000.0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_moment_is_within_a_day_of_now(sign):
    """And ten seconds, by which clocks may differ."""
    edge = NOW + sign * 86_410
    assert [True, False, False] == [is_moment(each, NOW) for each in (edge, edge + sign, sign * 10**400)]


def test_a_limit_is_over_when_its_time_is():
    breaker = CircuitBreaker()
    breaker.trip(7, "tokens", 100, NOW)

    assert not breaker.allows(NOW + 6.9)
    assert breaker.allows(NOW + 7)
    assert breaker.cooldown is None


def test_a_fault_is_over_only_when_a_probe_succeeds():
    breaker = CircuitBreaker()
    breaker.trip(30, "operator", 0, NOW)

    assert breaker.allows(NOW + 31)
    breaker.probed(NOW + 31)
    assert not breaker.allows(NOW + 32), "one probe at a time"
    breaker.succeeded(NOW + 33)
    assert breaker.allows(NOW + 33)


@pytest.mark.parametrize("reason", ["tokens", "quota", "operator", "health"])
def test_a_rest_of_a_clock_that_ran_ahead_is_over_when_the_clock_is_right(reason):
    breaker = CircuitBreaker()
    breaker.trip(7, reason, 0, NOW + 3600)

    assert not breaker.allows(NOW + 3602)
    assert breaker.allows(NOW + 3)
    assert breaker.cooldown is None


@given(st.floats(0, 5))
def test_a_clock_that_is_set_back_by_seconds_ends_no_rest(back):
    breaker = CircuitBreaker()
    breaker.trip(7, "tokens", 0, NOW)

    assert not breaker.allows(NOW - back)
    assert NOW + 7 == breaker.cooldown.until


def test_a_rest_of_a_clock_that_ran_ahead_makes_the_next_one_no_longer():
    breaker = CircuitBreaker()
    breaker.trip(40, "tokens", 0, NOW + 3600)
    breaker.trip(7, "tokens", 0, NOW + 3)

    assert NOW + 10 == breaker.cooldown.until
    assert breaker.limited_at <= NOW + 13


def test_a_probe_of_a_clock_that_ran_ahead_does_not_keep_the_next_away():
    breaker = CircuitBreaker()
    breaker.trip(5, "health", 0, NOW)
    breaker.probed(NOW + 3600)

    assert breaker.allows(NOW + 6)


def test_a_probe_whose_answer_takes_long_does_not_keep_all_others_away():
    breaker = CircuitBreaker()
    breaker.trip(30, "health", 0, NOW)
    breaker.probed(NOW + 31)

    assert not breaker.allows(NOW + 36)
    assert breaker.allows(NOW + 36.1)


def test_each_failed_probe_doubles_the_rest_up_to_a_minute():
    breaker, lengths, now = CircuitBreaker(), [], NOW
    for _ in range(6):
        seconds = breaker.next_seconds(5, now)
        breaker.trip(seconds, "health", 0, now)
        lengths.append(seconds)
        now += seconds

    assert [5, 10, 20, 40, 60, 60] == lengths


@pytest.mark.parametrize(
    ("reason", "later", "seconds"),
    [("health", 59, 20), ("health", 60, 5), ("operator", 1, 20), ("quota", 1, 5)],
)
def test_who_fails_again_soon_after_a_rest_rests_twice_as_long(reason, later, seconds):
    breaker = CircuitBreaker()
    breaker.trip(10, reason, 0, NOW)
    breaker.probed(NOW + 10)
    breaker.succeeded(NOW + 10)

    assert seconds == breaker.next_seconds(5, NOW + 10 + later)


def test_of_two_ends_the_later_one_holds():
    breaker = CircuitBreaker()
    breaker.trip(20, "tokens", 100, NOW)
    breaker.trip(1, "tokens", 10, NOW + 1)

    assert NOW + 20 == breaker.cooldown.until


cooldowns = st.builds(
    Cooldown,
    st.floats(NOW - 5, NOW),
    st.floats(NOW + 1, NOW + 50),
    st.sampled_from(["tokens", "requests", "limit", "quota", "operator", "health"]),
    st.integers(0, 5000),
)


@given(st.lists(cooldowns, min_size=1, max_size=4))
def test_others_rests_merge_in_any_order_and_the_latest_holds(some):
    ends = set()
    for order in permutations(some):
        breaker = CircuitBreaker()
        for cooldown in (*order, order[0]):
            breaker.adopt(cooldown)
        ends.add(breaker.cooldown)

    assert {max(some)} == ends


def test_a_rest_that_a_probe_ended_does_not_come_back_from_others():
    breaker = CircuitBreaker()
    cooldown = breaker.trip(5, "health", 0, NOW)
    breaker.probed(NOW + 6)
    breaker.succeeded(NOW + 6)

    assert not breaker.adopt(cooldown)
    assert breaker.allows(NOW + 7)


@given(cooldowns)
def test_a_rest_that_is_over_is_none(cooldown):
    assert unpack(cooldown.packed(), NOW + 51) is None


@given(cooldowns)
def test_a_rest_survives_its_row(cooldown):
    found = unpack(cooldown.packed(), NOW)

    assert found is not None
    assert (round(cooldown.until, 3), cooldown.reason, cooldown.size) == (
        found.until,
        found.reason,
        found.size,
    )


anything = st.none() | st.text(max_size=3) | st.floats() | st.integers() | st.booleans()


@given(anything | st.lists(anything, max_size=5))
def test_what_is_no_rest_is_ignored_and_none_lasts_for_ever(value):
    cooldown = unpack(value, NOW)

    assert cooldown is None or cooldown.until <= NOW + 80


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
