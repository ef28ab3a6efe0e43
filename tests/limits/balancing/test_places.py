"""Places of deployments: never more taken than there are, none lost, the first who waits is the first to get one."""

import random

import pytest

from gateway.limits.balancing.places import Places, Waiter


class Call:
    """A call as the dispatcher makes it, which waits at some places until it has one of them."""

    def __init__(self, at):
        self.woken = False
        self.waiter = Waiter(self.wake, at)

    def wake(self):
        self.woken = True


def places(most):
    found = Places()
    found.change(most)
    return found


def test_without_a_number_there_is_always_a_place():
    found = Places()
    for _ in range(1000):
        found.take()

    assert found.free()


def test_the_first_who_waits_is_woken_first_and_holds_the_place_until_it_is_sent():
    one = places(1)
    one.take()
    first, second = Call([one]), Call([one])

    one.leave()

    assert (True, False) == (first.woken, second.woken)
    assert (False, True, False) == (one.free(), one.free(first.waiter), one.free(second.waiter))
    one.take()
    first.waiter.close()
    assert (False, False) == (one.free(), second.woken)
    one.leave()
    assert second.woken


def test_a_place_that_is_not_taken_goes_to_the_next():
    one = places(1)
    one.take()
    first, second, third = Call([one]), Call([one]), Call([one])
    first.waiter.close()

    one.leave()
    second.waiter.close()

    assert (False, True, True) == (first.woken, second.woken, third.woken)


def test_more_places_wake_those_who_wait():
    one = places(1)
    one.take()
    calls = [Call([one]) for _ in range(3)]

    one.change(3)

    assert [True, True, False] == [call.woken for call in calls]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_no_place_is_lost_and_none_is_given_twice(seed):
    dice = random.Random(seed)
    most = [dice.randint(1, 3) for _ in range(3)]
    all_places = [places(each) for each in most]
    waiting, taken = [], []
    for _ in range(500):
        action = dice.random()
        if action < 0.5:
            at = dice.sample(all_places, dice.randint(1, 3))
            free = [place for place in at if place.free()]
            if free:
                free[0].take()
                taken.append(free[0])
            else:
                waiting.append(Call(at))
        elif action < 0.6 and waiting:
            waiting.pop(dice.randrange(len(waiting))).waiter.close()
        elif taken:
            taken.pop(dice.randrange(len(taken))).leave()
        for call in [call for call in waiting if call.woken and dice.random() < 0.7]:
            place = call.waiter.place
            place.take()
            call.waiter.close()
            waiting.remove(call)
            taken.append(place)
        assert all(place.taken <= each for place, each in zip(all_places, most, strict=True))
        if any(place.free() for place in all_places):
            idle = {place for place in all_places if place.free()}
            assert [] == [call for call in waiting if not call.woken and idle & set(call.waiter._at)]
    for call in waiting:
        call.waiter.close()
    for place in taken:
        place.leave()
    assert [(True, 0)] * 3 == [(place.free(), place.taken) for place in all_places]
