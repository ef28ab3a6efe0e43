"""What the end of a call does to a deployment, by whose fault it was."""

from __future__ import annotations

import pytest
from support.limits import NOW, Instance, deployment

from gateway.limits.balancing import notes
from gateway.limits.balancing.choice import ChoiceReason
from gateway.limits.tokens.outcome import Outcome, Result

DOUBTFUL = [Result.OPERATOR, Result.OPERATION, Result.LIMITED]
SERVICE = [Result.FAILED, Result.TIMEOUT, Result.TORN, Result.UNREACHABLE]


def pair(**options):
    """An instance whose `a` is asked first while it does not rest."""
    return Instance(deployment("a"), deployment("b", order=1), **options)


def ended(instance, result, now=NOW, *, request=1, certain=False, tried=()):
    """Send a call, end it, and learn from it what its request shows in the end."""
    place = instance.send(now, tried=tried)
    outcome = Outcome(result, error="x", certain=certain)
    if instance.balancer.settle(place, outcome, now, judged=False):
        instance.balancer.learn(place, outcome, now, request=request)
    return place


def rests(instance, now=NOW):
    return instance.choose(now, tried=("b",)).deployment is None


@pytest.mark.parametrize("result", DOUBTFUL)
def test_a_doubtful_refusal_rests_nobody_until_a_different_request_meets_it(result):
    instance = pair()
    ended(instance, result, request=1)
    ended(instance, result, NOW + 1, request=1)
    assert not rests(instance, NOW + 1)

    ended(instance, result, NOW + 2, request=2)
    assert rests(instance, NOW + 2)


@pytest.mark.parametrize("result", DOUBTFUL)
def test_a_witness_of_long_ago_is_none(result):
    instance = pair()
    ended(instance, result, request=1)
    ended(instance, result, NOW + 61, request=2)

    assert not rests(instance, NOW + 61)


@pytest.mark.parametrize("result", DOUBTFUL)
@pytest.mark.parametrize("answer", [Result.SUCCESS, Result.CALLER])
def test_an_answer_clears_a_deployment_of_what_was_suspected(result, answer):
    instance = pair()
    ended(instance, result, request=1)
    ended(instance, answer)
    ended(instance, result, NOW + 1, request=2)

    assert not rests(instance, NOW + 1)


@pytest.mark.parametrize("result", DOUBTFUL)
def test_what_is_beyond_doubt_is_known_before_its_request_has_ended(result):
    instance = pair()
    place = instance.send(NOW)
    later = instance.balancer.settle(place, Outcome(result, error="x"), NOW, judged=False)

    assert (False, True) == (later, rests(instance))


@pytest.mark.parametrize("result", SERVICE)
def test_a_failure_is_held_until_its_request_has_ended(result):
    instance = pair()
    held = []
    for _ in range(5):
        place = instance.send(NOW)
        assert instance.balancer.settle(place, Outcome(result), NOW, judged=False)
        held.append((place, Outcome(result)))
    assert not rests(instance)

    for place, outcome in held:
        instance.balancer.learn(place, outcome, NOW, request=1)
    assert rests(instance)


@pytest.mark.parametrize("result", [Result.REQUEST, Result.LOCAL])
def test_what_is_the_requests_or_ours_touches_no_deployment(result):
    instance = pair()
    for _ in range(20):
        ended(instance, result)

    assert (False, None) == (rests(instance), instance.balancer.state(NOW)[0].last_error)


@pytest.mark.parametrize("result", [*SERVICE, *DOUBTFUL])
def test_the_last_that_can_be_tried_never_rests_by_failures_or_suspicion(result):
    lone = Instance(deployment("a"))
    for request in range(20):
        ended(lone, result, request=request)
    assert lone.choose(NOW).reason is ChoiceReason.ROOM

    two = pair()
    ended(two, Result.LIMITED, certain=True, tried=("a",))
    for request in range(20):
        ended(two, result, request=request)
    assert not rests(two)


@pytest.mark.parametrize("shuffle", [False, True])
def test_where_all_rest_those_whose_calls_failed_are_tried_nevertheless(shuffle):
    """As after three instances that each rested another one and told the others."""
    others = [pair(name=name, shuffle=shuffle) for name in ("aaaaaa", "bbbbbb")]
    for instance, tried in zip(others, ((), ("a",)), strict=True):
        for _ in range(5):
            ended(instance, Result.FAILED, tried=tried)
    third = pair(name="cccccc", shuffle=shuffle)
    for instance in others:
        third.balancer.merge(instance.flush(NOW), NOW)

    choice = third.choose(NOW)
    assert ("a", ChoiceReason.PANIC) == (choice.deployment.id, choice.reason)
    failed = third.balancer.reserve(choice, NOW)
    third.balancer.settle(failed, Outcome(Result.FAILED), NOW)
    assert 5.0 == max(state.resting_until - NOW for state in third.balancer.state(NOW))

    answered = third.balancer.reserve(third.choose(NOW, tried=("a",)), NOW)
    third.balancer.settle(answered, Outcome(Result.SUCCESS), NOW)
    assert ("b", ChoiceReason.ROOM) == (third.choose(NOW).deployment.id, third.choose(NOW).reason)


def test_who_rests_for_a_limit_or_a_word_beyond_doubt_is_not_tried_where_all_rest():
    instance = pair()
    ended(instance, Result.LIMITED, certain=True)
    ended(instance, Result.OPERATOR, certain=True)

    assert instance.choose(NOW).deployment is None


@pytest.mark.parametrize("by_sum", [False, True])
def test_a_probes_success_ends_a_rest_in_all_instances_at_once(by_sum):
    one, two, three = (pair(name=name) for name in ("aaaaaa", "bbbbbb", "cccccc"))
    for _ in range(5):
        ended(one, Result.FAILED)
    rows = one.flush(NOW)
    for other in (two, three):
        other.balancer.merge(rows, NOW)
        assert rests(other)

    probe = one.send(NOW + 5)
    one.balancer.answered(probe, None, NOW + 5)
    assert probe.probe
    told = one.flush(NOW + 5)
    two.balancer.merge(told, NOW + 5)
    if by_sum:
        three.balancer.merge_rollup(two.balancer.rollup(NOW + 5), NOW + 5)
    else:
        three.balancer.merge(told, NOW + 5)
    for other in (two, three):
        # Old rows still tell of the rest.
        other.balancer.merge(rows, NOW + 5)
        assert [ChoiceReason.ROOM] * 3 == [other.send(NOW + 5).reason for _ in range(3)]


def test_the_end_of_an_operations_rest_is_told_too():
    one, two = (pair(name=name) for name in ("aaaaaa", "bbbbbb"))
    ended(one, Result.OPERATION, certain=True)
    two.balancer.merge(one.flush(NOW), NOW)
    assert rests(two)

    ended(one, Result.SUCCESS, NOW + 31)
    two.balancer.merge(one.flush(NOW + 31), NOW + 31)
    assert "a" == two.send(NOW + 31).member.deployment.id
    assert not rests(two, NOW + 31)


def test_an_end_is_no_news_for_a_rest_that_began_after_it():
    one, two = (pair(name=name) for name in ("aaaaaa", "bbbbbb"))
    ended(one, Result.OPERATOR, certain=True)
    ended(one, Result.SUCCESS, NOW + 31)
    told = one.flush(NOW + 31)
    ended(two, Result.OPERATOR, NOW + 32, certain=True)
    two.balancer.merge(told, NOW + 33)

    assert rests(two, NOW + 33)


@pytest.mark.parametrize(
    "told",
    [
        7,
        [],
        {"a": 7},
        {"a": {"": [1]}},
        {"a": {"": [NOW, "x"]}},
        {"a": {"": [NOW + 99, NOW]}},
        {"x": {"": [NOW, NOW]}},
    ],
)
def test_what_is_no_end_of_a_rest_ends_none(told):
    instance = pair()
    ended(instance, Result.OPERATOR, certain=True)
    notes.apply(instance.balancer._members, {"e": told}, NOW, cooldowns=True)

    assert rests(instance)


@pytest.mark.parametrize("result", SERVICE)
def test_a_probe_that_fails_prolongs_its_rest_at_once(result):
    instance = pair()
    for _ in range(5):
        ended(instance, Result.FAILED)
    place = instance.send(NOW + 5)
    later = instance.balancer.settle(place, Outcome(result), NOW + 5, judged=False)

    assert (False, 10.0) == (later, instance.choose(NOW + 5, tried=("b",)).wait.seconds)


def test_a_probe_that_says_nothing_leaves_the_next_call_to_find_out():
    instance = pair()
    ended(instance, Result.OPERATOR, certain=True)
    ended(instance, Result.LOCAL, NOW + 31)

    assert instance.send(NOW + 31).probe
