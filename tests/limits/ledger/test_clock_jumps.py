"""The clock jumps and is right again a moment later: within seconds all limits are what they were before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.limits import NOW, Instance, deployment

from gateway.limits.caps.cap import Cap
from gateway.limits.ledger.view import View
from gateway.limits.tokens.outcome import Outcome, Result

HOUR = 3600.0


def cap(view: View, rpm: int = 5) -> Cap:
    return Cap("u:d", rpm, None, view, strict=False)


def written(view: View, now: float):
    rows = view.rows(now, {})
    for row in rows:
        view.written(row)
    return rows


@given(st.floats(6, 100_000), st.integers(1, 5))
def test_calls_counted_by_a_clock_that_ran_ahead_leave_their_cap(ahead, calls):
    limit = cap(View("aaaaaa"))
    for _ in range(calls):
        limit.reserve(10, NOW + ahead)

    assert (calls * 10, calls) == limit.used(NOW + ahead)
    assert (0, 0) == limit.used(NOW)


@given(st.floats(0, 5))
def test_a_clock_that_is_set_back_by_seconds_empties_no_cap(back):
    limit = cap(View("aaaaaa"))
    limit.reserve(10, NOW)

    assert (10, 1) == limit.used(NOW - back)


def test_a_call_that_left_its_cap_so_changes_nothing_when_it_ends():
    limit = cap(View("aaaaaa"))
    place = limit.reserve(10, NOW + HOUR)
    limit.used(NOW)
    limit.settle(place, 500)

    assert (0, 0) == limit.used(NOW)


def test_others_calls_fill_a_cap_after_the_clock_ran_ahead():
    writer, reader = View("aaaaaa"), View("reader")
    theirs, ours = cap(writer), cap(reader)
    ours.used(NOW + HOUR)
    for _ in range(5):
        theirs.reserve(10, NOW + 3)
    reader.merge(written(writer, NOW + 3), NOW + 3)

    assert (50, 5) == ours.used(NOW + 3)
    assert "requests" == ours.full(10, NOW + 4)


def test_others_calls_still_fill_a_cap_after_the_clock_was_set_back_for_a_moment():
    writer, reader = View("aaaaaa"), View("reader")
    theirs, ours = cap(writer), cap(reader)
    for _ in range(5):
        theirs.reserve(10, NOW)
    reader.merge(written(writer, NOW), NOW)
    ours.used(NOW - HOUR)
    reader.tidy(NOW - HOUR)

    assert (50, 5) == ours.used(NOW + 3)
    assert (0, 0) == ours.used(NOW + 60)


def test_a_charge_follows_the_others_after_the_clock_ran_ahead():
    one, other = Instance(deployment("a", tpm=1000)), Instance(deployment("a", tpm=1000), name="bbbbbb")
    other.choose(NOW)
    other.charge("a", NOW + HOUR)
    one.send(NOW + 3, 700)
    other.balancer.merge(one.flush(NOW + 3), NOW + 3)

    assert 700 == other.charge("a", NOW + 3)


@pytest.mark.parametrize("result", [Result.LIMITED, Result.OPERATOR])
def test_a_deployment_that_was_refused_while_the_clock_ran_ahead_is_back_when_it_is_right(result):
    instance = Instance(deployment("a"))
    place = instance.send(NOW + HOUR)
    instance.balancer.settle(place, Outcome(result, retry_after=30.0), NOW + HOUR)

    assert instance.choose(NOW + HOUR + 1).deployment is None
    assert instance.choose(NOW + 3).deployment is not None


def test_others_rests_are_heard_again_once_the_clock_is_right():
    one, other = Instance(deployment("a")), Instance(deployment("a"), name="bbbbbb")
    failed = other.send(NOW + HOUR)
    other.balancer.settle(failed, Outcome(Result.OPERATOR), NOW + HOUR)
    probe = other.send(NOW + HOUR + 31)
    other.balancer.answered(probe, None, NOW + HOUR + 31)
    refused = one.send(NOW + 3)
    one.balancer.settle(refused, Outcome(Result.LIMITED, retry_after=30.0), NOW + 3)
    other.balancer.merge(one.flush(NOW + 3), NOW + 3)

    assert other.choose(NOW + 4).deployment is None


def test_an_instance_whose_clock_runs_ahead_does_not_keep_the_others_away():
    wrong, right = Instance(deployment("a")), Instance(deployment("a"), name="bbbbbb")
    place = wrong.send(NOW + 20)
    wrong.balancer.settle(place, Outcome(Result.LIMITED, retry_after=30.0), NOW + 20)
    right.balancer.merge(wrong.flush(NOW + 20), NOW)

    assert right.choose(NOW).deployment is not None
