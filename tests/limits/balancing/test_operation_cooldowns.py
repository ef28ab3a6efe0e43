"""Operations that a deployment does not serve: it rests for those alone."""

from __future__ import annotations

import json

import pytest
from support.limits import NOW, Instance, deployment

from gateway.limits.balancing.choice import ChoiceReason
from gateway.limits.ledger.view import View
from gateway.limits.tokens.estimate import Estimate
from gateway.limits.tokens.outcome import Outcome, Result


def choose(instance, operation, now=NOW, tried=()):
    return instance.balancer.choose(instance.group, Estimate(1, 1), tried, now, operation=operation)


def end(instance, operation, result, now=NOW):
    choice = choose(instance, operation, now)
    reservation = instance.balancer.reserve(choice, now, operation=operation)
    instance.balancer.settle(reservation, Outcome(result, error="404"), now)


def resting(instance, now=NOW):
    (state,) = instance.balancer.state(now)
    return state.resting_until, state.resting_reason, state.resting_operations


def test_the_others_go_on():
    instance = Instance(deployment("a"))
    end(instance, "speech", Result.OPERATION)

    assert "a" == choose(instance, "chat").deployment.id
    refused = choose(instance, "speech", NOW + 10)
    assert (None, ChoiceReason.UNHEALTHY, 20) == (refused.deployment, refused.reason, refused.wait.seconds)
    assert (NOW + 30, "operator", ["speech"]) == resting(instance)


def test_who_rests_for_all_is_not_back_when_the_operation_would_be():
    instance = Instance(deployment("a"))
    end(instance, "speech", Result.OPERATION)
    chat = instance.balancer.reserve(choose(instance, "chat"), NOW + 20, operation="chat")
    instance.balancer.settle(chat, Outcome(Result.LIMITED, retry_after=40.0), NOW + 20)

    assert 39 == choose(instance, "speech", NOW + 21).wait.seconds


def test_another_deployment_does_it():
    instance = Instance(deployment("a", order=0), deployment("b", order=1))
    end(instance, "speech", Result.OPERATION)

    assert ("b", "a") == tuple(choose(instance, each).deployment.id for each in ("speech", "chat"))


def test_after_a_while_one_call_finds_out():
    instance = Instance(deployment("a"))
    end(instance, "speech", Result.OPERATION)
    end(instance, "speech", Result.OPERATION, NOW + 30)
    assert choose(instance, "speech", NOW + 59).deployment is None
    probe = instance.balancer.reserve(choose(instance, "speech", NOW + 60), NOW + 60, operation="speech")
    assert choose(instance, "speech", NOW + 61).deployment is None
    instance.balancer.settle(probe, Outcome(Result.SUCCESS), NOW + 62)

    assert choose(instance, "speech", NOW + 62).deployment is not None
    assert (None, None, []) == resting(instance, NOW + 62)


def test_a_choice_that_is_not_sent_is_no_probe():
    instance = Instance(deployment("a"))
    end(instance, "speech", Result.OPERATION)

    assert ["a", "a"] == [choose(instance, "speech", NOW + 30).deployment.id for _ in range(2)]


@pytest.mark.parametrize("by_sum", [False, True])
def test_all_instances_know_and_forget(by_sum):
    one, two = (Instance(deployment("a"), name=name) for name in ("aaaaaa", "bbbbbb"))
    end(one, "speech", Result.OPERATION)

    def tell():
        if by_sum:
            assert two.balancer.merge_rollup(one.balancer.rollup(NOW + 0.1), NOW + 0.2)
        else:
            two.balancer.merge(one.flush(NOW + 0.1), NOW + 0.2)

    tell()
    assert choose(two, "speech", NOW + 29).deployment is None
    assert choose(two, "chat", NOW + 29).deployment is not None
    end(two, "speech", Result.SUCCESS, NOW + 31)
    # What is told late is older than what was found out here.
    tell()
    assert choose(two, "speech", NOW + 32).deployment is not None


@pytest.mark.parametrize(
    "told",
    [
        None,
        [1],
        {},
        {"a": None},
        {"a": {"speech": None}},
        {"a": {"speech": [NOW, NOW + 10]}},
        {"a": {"chat": [NOW, NOW + 10, "operator", 0]}},
        {"b": {"speech": [NOW, NOW + 10, "operator", 0]}},
        {"a": {"speech": [NOW, "x", "operator", 0]}},
        {"a": {"speech": [NOW - 11, NOW - 1, "operator", 0]}},
        {"a": {"speech": [NOW, NOW + 100, "operator", 0]}},
    ],
)
def test_what_no_instance_of_ours_tells_is_passed_over(told):
    instance, other = Instance(deployment("a")), View("bbbbbb")
    other.note("q:a", int(NOW), 1, 1)
    (row,) = other.rows(NOW, json.loads(json.dumps({"n": told})))
    instance.balancer.merge([row], NOW)

    assert choose(instance, "speech").deployment is not None


def test_rests_switched_off_are_off():
    instance = Instance(deployment("a"), disable_cooldowns=True)
    end(instance, "speech", Result.OPERATION)

    assert choose(instance, "speech").deployment is not None


def test_a_clock_that_jumped_bars_nothing_for_long():
    instance = Instance(deployment("a"))
    end(instance, "speech", Result.OPERATION, NOW + 3600)

    assert choose(instance, "speech", NOW).deployment is not None
