from __future__ import annotations

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st

from gateway.storage.clock import ClockOffset

NOW = 1_800_000_000.0


def _reply(server: float) -> str:
    return formatdate(int(server), usegmt=True)


def test_a_clock_that_may_be_right_is_left_alone():
    skew = ClockOffset()
    skew.observe(_reply(NOW + 0.9), NOW, NOW + 0.02)
    assert 0.0 == skew.offset


def test_what_is_no_date_teaches_nothing():
    skew = ClockOffset()
    for date in (None, "", "yesterday", "Tue, 99 Nov 2026 00:00:00 GMT"):
        skew.observe(date, NOW, NOW)
    assert 0.0 == skew.offset


@given(
    offset=st.floats(-600, 600),
    replies=st.lists(st.tuples(st.floats(0, 30), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40),
)
def test_after_any_reply_the_error_is_less_than_a_second_and_its_travel(offset, replies):
    skew, now = ClockOffset(), NOW
    for pause, there, back in replies:
        sent = now + pause
        now = sent + there + back
        skew.observe(_reply(sent + there + offset), sent, now)
        assert abs(skew.offset - offset) <= 1 + there + back + 1e-6


@given(offset=st.floats(-600, 600))
def test_replies_in_every_part_of_a_second_find_the_offset(offset):
    skew = ClockOffset()
    for turn in range(20):
        at = NOW + turn * 1.05
        skew.observe(_reply(at + 0.005 + offset), at, at + 0.01)
    assert abs(skew.offset - offset) < 0.1


def _answer(skew: ClockOffset, at: float, offset: float) -> None:
    skew.observe(_reply(at + offset), at, at + 0.01)


def _warm() -> ClockOffset:
    skew = ClockOffset()
    for turn in range(3):
        _answer(skew, NOW + turn, 0.0)
    return skew


@given(st.floats(8, 100_000), st.sampled_from([1, -1]), st.lists(st.floats(0, 2.9), min_size=1, max_size=9))
def test_a_date_that_is_wrong_for_a_moment_is_not_believed(jump, sign, moments):
    skew = _warm()
    for moment in sorted(moments):
        _answer(skew, NOW + 10 + moment, sign * jump)
        assert abs(skew.offset) < 1
    _answer(skew, NOW + 14, 0.0)
    _answer(skew, NOW + 15, sign * jump)

    assert abs(skew.offset) < 1


@given(st.floats(8, 100_000), st.sampled_from([1, -1]))
def test_a_clock_that_jumped_is_followed_within_seconds(jump, sign):
    skew = _warm()
    for tenth in range(42):
        _answer(skew, NOW + 10 + tenth / 10, sign * jump)

    assert abs(skew.offset - sign * jump) < 1.1


def test_replies_that_contradict_each_other_are_not_believed():
    skew = _warm()
    for turn in range(20):
        _answer(skew, NOW + 10 + turn, 3600.0 * (1 + turn % 2))

    assert abs(skew.offset) < 1


def test_a_first_reply_that_is_wrong_is_corrected_by_the_second():
    skew = ClockOffset()
    _answer(skew, NOW, 3600.0)
    _answer(skew, NOW + 0.3, 0.0)

    assert abs(skew.offset) < 1
