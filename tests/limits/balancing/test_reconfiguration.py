"""A new configuration while calls are under way: what members keep, and what they forget."""

from __future__ import annotations

import gc
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples
from support.limits import NOW, Instance, deployment

from gateway.config.access import ClientLimits, Limit
from gateway.config.deployment import ApiKey, Config, Target
from gateway.limits.balancing.balancer import Balancer
from gateway.limits.balancing.choice import ChoiceReason
from gateway.limits.caps.clients import Admission, Refusal
from gateway.limits.tokens.estimate import Estimate
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.limits.tokens.signals import RateLimits

LEARNT = RateLimits(1000, 900, None, None)


def at(host, name="a", **fields):
    """A deployment of a host."""
    target = Target(f"https://{host}/x?api-version=1", model_in_body=False, stream_usage=True)
    return replace(deployment(name, **fields), targets={"chat": target})


def configured(instance, *group, **config):
    """The instance goes on with another configuration; its own group is what later calls use."""
    instance.balancer.configure(Config(models={"m": group}, **config))
    instance.group = group


def states(instance, now=NOW):
    return {state.id: state for state in instance.balancer.state(now)}


def end(instance, reservation, result, now=NOW, **fields):
    instance.balancer.settle(reservation, Outcome(result, **fields), now)


def test_members_keep_their_ledgers_cooldowns_and_learnt_limits_by_id():
    instance = Instance(deployment("a"), deployment("b"))
    used = instance.send(NOW, 50, tried=("b",))
    end(instance, used, Result.SUCCESS, limits=LEARNT, prompt=30, completion=10)
    refused = instance.send(NOW, 50, tried=("a",))
    end(instance, refused, Result.LIMITED, retry_after=30.0, error="429")
    before = states(instance)

    configured(instance, deployment("b", weight=2), deployment("c"), deployment("a"))

    after = states(instance)
    assert ["b", "c", "a"] == list(after)
    assert [before["a"], before["b"]] == [after["a"], after["b"]]
    assert (1000, 50, 40) == (after["a"].tpm, after["a"].charged_tokens, after["a"].used_tokens)
    assert NOW + 30 == pytest.approx(after["b"].resting_until, abs=1)


def test_changed_limits_orders_and_weights_hold_for_the_next_call():
    instance = Instance(deployment("a", order=1, tpm=1000), deployment("b", order=2, tpm=1000))
    assert "a" == instance.choose(NOW).deployment.id

    configured(instance, deployment("a", order=2, tpm=500), deployment("b", order=1, tpm=2000))

    assert "b" == instance.choose(NOW).deployment.id
    assert [500, 2000] == [state.tpm for state in instance.balancer.state(NOW)]
    configured(instance, deployment("a", weight=0.0), deployment("b", weight=1.0))
    assert {"b"} == {instance.choose(NOW).deployment.id for _ in range(20)}


def test_a_member_that_is_left_out_serves_the_requests_that_hold_it_and_no_others():
    instance = Instance(deployment("a"), deployment("b"))
    old, held = instance.group, instance.balancer.members
    under_way = instance.send(NOW, 50, tried=("b",))
    configured(instance, deployment("b"))

    end(instance, under_way, Result.SUCCESS, prompt=1, completion=1)
    choice = instance.balancer.choose(old, Estimate(10, 0), ("b",), NOW)
    assert "a" == choice.deployment.id
    end(instance, instance.balancer.reserve(choice, NOW), Result.LIMITED)
    assert instance.balancer.remaining(old, NOW) is not None
    assert ["b"] == list(states(instance))
    assert ["a", "b"] == [member.deployment.id for member in held]


def test_a_member_that_nobody_holds_is_forgotten():
    instance = Instance(deployment("a"), deployment("b"))
    old = instance.group
    configured(instance, deployment("b"))
    gc.collect()

    with pytest.raises(KeyError):
        instance.balancer.choose(old, Estimate(10, 0), (), NOW)


def test_a_member_that_comes_back_while_it_is_held_keeps_its_state():
    instance = Instance(deployment("a"))
    held = instance.balancer.members
    end(instance, instance.send(NOW), Result.LIMITED, retry_after=30.0)
    configured(instance, deployment("b"))
    configured(instance, deployment("a"))

    assert held == instance.balancer.members
    assert states(instance)["a"].resting_until is not None


def test_a_request_gets_the_deployment_that_its_own_configuration_names():
    instance = Instance(at("old", timeout=1.0))
    old = instance.group
    configured(instance, at("new", timeout=2.0))

    assert old[0] is instance.balancer.choose(old, Estimate(10, 0), (), NOW).deployment
    assert instance.group[0] is instance.choose(NOW).deployment


def test_another_upstream_under_the_same_id_begins_anew():
    instance = Instance(at("old"))
    end(instance, instance.send(NOW), Result.SUCCESS, NOW + 1, limits=LEARNT)
    end(instance, instance.send(NOW), Result.LIMITED, retry_after=30.0, error="429")
    configured(instance, at("new"))

    state = states(instance)["a"]
    unknown = (state.tpm, state.resting_until, state.last_error, state.latency)
    assert (None, None, None, None) == unknown


@pytest.mark.parametrize(
    "mended", [replace(at("x"), credential=ApiKey("new")), at("x/openai?api-version=2")], ids=["key", "path"]
)
def test_what_only_the_operator_could_mend_is_tried_at_once_after_it_was(mended):
    instance = Instance(at("x"))
    end(instance, instance.send(NOW), Result.OPERATOR, error="401")
    assert instance.choose(NOW + 1).deployment is None
    told = instance.flush(NOW + 1)
    configured(instance, mended)
    instance.balancer.merge(told, NOW + 2)  # what others still tell of it

    assert mended is instance.choose(NOW + 2).deployment


def test_another_key_does_not_end_a_limits_cooldown():
    instance = Instance(at("x"))
    end(instance, instance.send(NOW), Result.LIMITED, retry_after=30.0)
    configured(instance, replace(at("x"), credential=ApiKey("new")))

    assert instance.choose(NOW + 1).deployment is None


@pytest.mark.parametrize("sent", ["before", "after"])
def test_calls_by_the_old_key_say_nothing_of_the_new_one(sent):
    instance = Instance(at("x"))
    old = instance.group
    if sent == "before":
        reservation = instance.send(NOW)
    configured(instance, replace(at("x"), credential=ApiKey("new")))
    if sent == "after":
        choice = instance.balancer.choose(old, Estimate(10, 0), (), NOW)
        reservation = instance.balancer.reserve(choice, NOW)
    end(instance, reservation, Result.OPERATOR, error="401")

    assert instance.choose(NOW + 1).deployment is not None
    assert states(instance)["a"].last_error is None


def test_cooldowns_end_where_they_are_switched_off():
    instance = Instance(deployment("a"))
    end(instance, instance.send(NOW), Result.LIMITED, retry_after=30.0)
    configured(instance, deployment("a"), disable_cooldowns=True)

    assert instance.choose(NOW + 1).deployment is not None


def test_a_changed_cap_keeps_what_was_used_of_it():
    instance = Instance(deployment("a", rpm=2), capped=True)
    for _ in range(2):
        instance.send(NOW)
    assert ChoiceReason.CAPPED is instance.choose(NOW).reason

    configured(instance, deployment("a", rpm=3), capped=True)
    instance.send(NOW)
    assert ChoiceReason.CAPPED is instance.choose(NOW).reason


def test_a_call_under_a_cap_that_is_gone_settles_where_it_was_reserved():
    instance = Instance(deployment("a", rpm=2), capped=True)
    reservation = instance.send(NOW, 50)
    configured(instance, deployment("a"))
    end(instance, reservation, Result.SUCCESS, prompt=20, completion=10)

    other = Instance(deployment("a", rpm=2), name="bbbbbb", capped=True)
    other.balancer.merge(instance.flush(NOW), NOW + 1)
    used = states(other, NOW + 1)["a"]
    assert (30, 1) == (used.used_tokens, used.used_requests)
    configured(instance, deployment("a", rpm=1), capped=True)
    assert ChoiceReason.CAPPED is instance.choose(NOW).reason


def test_a_clients_changed_limit_keeps_what_was_used_of_it():
    instance = Instance(deployment("a"))
    small, large = (ClientLimits(Limit(rpm=count)) for count in (1, 2))
    admit = instance.balancer.admit
    assert isinstance(admit("master", "m", small, Estimate(1, 0), NOW), Admission)
    assert isinstance(admit("master", "m", small, Estimate(1, 0), NOW), Refusal)

    assert isinstance(admit("master", "m", large, Estimate(1, 0), NOW), Admission)
    assert isinstance(admit("master", "m", large, Estimate(1, 0), NOW), Refusal)
    assert 0 == instance.balancer.client_remaining("master", "m", large, NOW).requests_left


def test_failures_that_are_forgiven_follow_the_configuration():
    instance = Instance(deployment("a"), deployment("b", order=1), allowed_fails=0)
    configured(instance, deployment("a"), deployment("b", order=1), allowed_fails=3)
    for _ in range(3):
        end(instance, instance.send(NOW), Result.FAILED)
    assert instance.choose(NOW, tried=("b",)).deployment is not None
    end(instance, instance.send(NOW), Result.FAILED)
    assert instance.choose(NOW, tried=("b",)).deployment is None


IDS = "abcd"
#: Ends of calls that upstream refused or never saw.
GIVEN_BACK = {
    Result.LIMITED,
    Result.UNREACHABLE,
    Result.CALLER,
    Result.OPERATOR,
    Result.OPERATION,
    Result.LOCAL,
}


def some_configuration(chance):
    """A configuration of some of four deployments, with limits, orders, hosts and keys that vary."""
    group = tuple(
        replace(
            at(
                chance.choice(["x", "x", "y"]),
                name,
                order=chance.randint(0, 2),
                rpm=chance.choice([None, 2, 9]),
            ),
            credential=ApiKey(chance.choice(["one", "two"])),
        )
        for name in chance.sample(IDS, chance.randint(1, 4))
    )
    flags = {"capped": chance.random() < 0.5, "disable_cooldowns": chance.random() < 0.2}
    return group, Config(models={"m": group}, shuffle=chance.random() < 0.3, **flags)


@examples(100)
@given(st.integers(0, 2**32))
def test_whatever_changes_each_call_ends_by_its_own_configuration(seed):
    chance = random.Random(seed)
    group, config = some_configuration(chance)
    balancer = Balancer(config, "aaaaaa", chance.random)
    now, under_way, charged = NOW, [], 0
    for _ in range(60):
        now += chance.random() / 3
        step = chance.random()
        if step < 0.2:
            group, config = some_configuration(chance)
            balancer.configure(config)
            assert [each.id for each in group] == [state.id for state in balancer.state(now)]
        elif step < 0.4 and under_way:
            mine, _held, reservations = under_way.pop(chance.randrange(len(under_way)))
            for reservation in reservations:
                result = chance.choice(list(Result))
                balancer.settle(reservation, Outcome(result, 3, 4), now)
                charged -= result in GIVEN_BACK
            balancer.remaining(mine, now)
        else:
            if step < 0.7 or not under_way:
                under_way.append((group, balancer.members, []))
            mine, _held, reservations = chance.choice(under_way)
            choice = balancer.choose(mine, Estimate(chance.randint(1, 50), 0), (), now)
            if choice.deployment is not None:
                assert any(each is choice.deployment for each in mine)
                reservations.append(balancer.reserve(choice, now))
                charged += 1
    for _, _, reservations in under_way:
        for reservation in reservations:
            balancer.settle(reservation, Outcome(Result.SUCCESS, 3, 4), now)
    balancer.configure(Config(models={"m": tuple(deployment(name) for name in IDS)}))
    # All within a minute: charged is what was sent, but for what upstream has refused or never seen.
    assert charged == sum(state.charged_requests for state in balancer.state(now))
