"""How long those have to wait that come too fast."""

from __future__ import annotations

from gateway.server.pace import Pace


def test_some_pass_at_once_and_the_others_one_after_the_other():
    pace = Pace(0.5, at_once=3)

    assert [0, 0, 0, 0.5, 1.0] == [pace.wait(10.0) for _ in range(5)]


def test_who_comes_no_faster_than_one_passes_never_waits():
    pace = Pace(0.5)

    assert {0} == {pace.wait(0.5 * number) for number in range(100)}


def test_a_pause_gives_everything_back():
    pace = Pace(0.5, at_once=3)
    waits = [pace.wait(10.0) for _ in range(5)]

    # The last one passes at 11.0; one more would at 11.5.
    assert [*waits, 0, 0, 0, 0.5] == [*waits, *(pace.wait(12.5) for _ in range(4))]


def test_nobody_waits_longer_than_the_longest_however_many_come():
    pace = Pace(0.5, at_once=3, longest=2.0)

    assert 2.0 == max(pace.wait(10.0) for _ in range(10_000))
    # As much is due as after those that could wait.
    assert [1.0, 1.5, 2.0, 2.0] == [pace.wait(11.0) for _ in range(4)]


def test_who_leaves_before_its_turn_gives_it_to_those_who_come():
    pace = Pace(0.5)
    waits = [pace.wait(10.0) for _ in range(1000)]
    for _ in waits[2:]:
        pace.give_back()

    assert [1.0, 1.5] == [pace.wait(10.0) for _ in range(2)]


def test_a_turn_that_was_given_back_lets_nobody_pass_earlier_than_one_after_the_other():
    pace = Pace(0.5)
    pace.wait(10.0), pace.wait(10.0)
    pace.give_back()

    assert [0, 0.5] == [pace.wait(20.0) for _ in range(2)]
