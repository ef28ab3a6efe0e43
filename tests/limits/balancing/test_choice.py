from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples
from support.limits import NOW, Instance, deployment

from gateway.limits.balancing.choice import ChoiceReason, pick
from gateway.limits.tokens.outcome import Outcome, Result


def drawn(instance, count=400, tokens=10):
    return Counter(instance.choose(NOW, tokens).deployment.id for _ in range(count))


def refuse(instance, name, now=NOW, *, tokens=10, retry_after=7.0, kind="tokens"):
    """A 429 of one deployment."""
    others = [each.id for each in instance.group if each.id != name]
    place = instance.send(now, tokens, tried=others)
    instance.balancer.settle(place, Outcome(Result.LIMITED, retry_after=retry_after, kind=kind), now)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=6), st.floats(0, 1, exclude_max=True))
def test_a_weight_of_nothing_is_drawn_only_when_all_are(weights, point):
    place = pick(weights, lambda: point)

    assert 0 <= place < len(weights)
    assert weights[place] > 0 or not any(weights)


@given(st.integers(2, 6), st.floats(0, 1, exclude_max=True), st.data())
def test_the_second_draw_is_another_one(size, point, data):
    weights = data.draw(st.lists(st.floats(0, 10), min_size=size, max_size=size))
    first = data.draw(st.integers(0, size - 1))
    weights[first] = 0.0

    assert first != pick(weights, lambda: point, but=first)


def test_of_two_the_emptier_is_taken():
    instance = Instance(deployment("a", tpm=1000), deployment("b", tpm=1000))
    instance.balancer.reserve(instance.choose(NOW, 300, tried=["b"]), NOW)

    assert {"b": 400} == drawn(instance)


def test_of_three_all_but_the_fullest_are_drawn():
    instance = Instance(*(deployment(name, tpm=1000) for name in "abc"))
    for name, tokens in (("a", 500), ("b", 200)):
        others = [each for each in "abc" if each != name]
        instance.balancer.reserve(instance.choose(NOW, tokens, tried=others), NOW)
    counts = drawn(instance)

    assert {"b", "c"} == set(counts)
    assert counts["c"] > counts["b"]


@examples(50)
@given(st.integers(0, 2**32), st.integers(2, 9))
def test_scaling_limits_and_uses_changes_nothing(seed, factor):
    plain = random.Random(seed)
    tpm = [plain.randint(1000, 9000) for _ in range(4)]
    uses = [plain.randint(0, 900) for _ in range(4)]
    choices = []
    for scale in (1, factor):
        group = [deployment(f"d{place}", tpm=limit * scale) for place, limit in enumerate(tpm)]
        instance = Instance(*group, seed=seed)
        for place, used in enumerate(uses):
            others = [each.id for each in group if each.id != f"d{place}"]
            instance.balancer.reserve(instance.choose(NOW, used * scale, tried=others), NOW)
        choices.append([instance.choose(NOW, 10 * scale).deployment.id for _ in range(20)])

    assert choices[0] == choices[1]


def test_equal_deployments_are_drawn_equally():
    counts = drawn(Instance(*(deployment(name, tpm=1000) for name in "abcd")), 4000)

    assert all(900 < counts[name] < 1100 for name in "abcd")


def test_without_any_limit_all_are_drawn():
    assert set("abc") == set(drawn(Instance(*(deployment(name) for name in "abc"))))


def test_an_unknown_limit_is_the_mean_of_the_known():
    counts = drawn(Instance(deployment("a", tpm=1000), deployment("b", tpm=3000), deployment("c")), 3000)

    assert counts["a"] < counts["c"] < counts["b"]


def test_weights_hold_whatever_was_used():
    instance = Instance(deployment("a", tpm=1000, weight=9), deployment("b", tpm=100_000))
    instance.balancer.reserve(instance.choose(NOW, 900, tried=["b"]), NOW)
    counts = drawn(instance, 2000)

    assert counts["a"] / 2000 == pytest.approx(0.9, abs=0.03)


def test_simple_shuffle_draws_by_rpm_whatever_was_used():
    instance = Instance(deployment("a", rpm=90), deployment("b", rpm=10), shuffle=True)
    for _ in range(60):
        instance.balancer.reserve(instance.choose(NOW, tried=["b"]), NOW)

    assert drawn(instance, 2000)["a"] / 2000 == pytest.approx(0.9, abs=0.03)


@examples(100)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), min_size=1, max_size=6))
def test_a_later_order_is_taken_only_when_no_earlier_one_has_room(members):
    """Each member: order, whether it is full, whether it was tried."""
    group = [deployment(f"d{place}", tpm=100, order=order) for place, (order, _, _) in enumerate(members)]
    instance = Instance(*group)
    for place, (_, full, _) in enumerate(members):
        if full:
            others = [each.id for each in group if each.id != f"d{place}"]
            instance.balancer.reserve(instance.choose(NOW, 95, tried=others), NOW)
    tried = [f"d{place}" for place, (_, _, was) in enumerate(members) if was]
    choice = instance.choose(NOW, 10, tried=tried)
    untried = [(order, full) for order, full, was in members if not was]
    if not untried:
        assert (None, ChoiceReason.EXHAUSTED) == (choice.deployment, choice.reason)
        return
    roomy = [order for order, full in untried if not full]
    assert choice.deployment.id not in tried
    assert choice.deployment.order == min(roomy or [order for order, _ in untried])
    assert (ChoiceReason.ROOM if roomy else ChoiceReason.OVERFLOW) == choice.reason


def test_what_the_ledger_calls_full_is_tried_nevertheless():
    instance = Instance(deployment("a", tpm=100))
    instance.send(NOW, 100)

    assert ChoiceReason.OVERFLOW == instance.choose(NOW, 100).reason


def test_a_deployment_that_refused_rests_and_the_client_is_told_how_long():
    instance = Instance(deployment("a", tpm=100))
    refuse(instance, "a", retry_after=7.0)
    choice = instance.choose(NOW + 2)

    assert (None, ChoiceReason.LIMITED, 5.0) == (choice.deployment, choice.reason, choice.wait.seconds)
    assert "a" == instance.choose(NOW + 7).deployment.id


def test_a_small_call_may_follow_a_large_one_that_was_refused():
    instance = Instance(deployment("a", tpm=1000))
    refuse(instance, "a", tokens=500)

    assert ChoiceReason.LAST_RESORT == instance.choose(NOW, 200).reason
    assert ChoiceReason.LIMITED == instance.choose(NOW, 201).reason
    assert ChoiceReason.LIMITED == instance.choose(NOW, 200, last_resorts=2).reason


def test_where_the_limiters_minute_is_known_and_has_room_any_smaller_call_is_tried():
    instance = Instance(deployment("a", tpm=1000))
    refuse(instance, "a", tokens=500)
    (member,) = instance.balancer._members.values()
    member.window.phase = 12.0

    assert ChoiceReason.LAST_RESORT == instance.choose(NOW, 450).reason
    assert ChoiceReason.LIMITED == instance.choose(NOW, 451).reason
    instance.balancer.reserve(instance.choose(NOW, 200), NOW)
    instance.balancer.reserve(instance.choose(NOW, 400), NOW)
    assert ChoiceReason.LIMITED == instance.choose(NOW, 401).reason


def test_a_request_limit_has_no_last_resort():
    instance = Instance(deployment("a", tpm=1000))
    refuse(instance, "a", tokens=500, kind="requests")

    assert ChoiceReason.LIMITED == instance.choose(NOW, 1).reason


def test_provisioned_throughput_is_tried_until_it_refuses():
    instance = Instance(deployment("ptu", ptu=True, tpm=10), deployment("paygo", tpm=1000, order=1))
    for _ in range(20):
        assert "ptu" == instance.send(NOW, 100).member.deployment.id
    refuse(instance, "ptu", retry_after=0.02)

    assert "paygo" == instance.choose(NOW + 0.9).deployment.id
    assert "ptu" == instance.choose(NOW + 1.0).deployment.id


def test_provisioned_throughput_rests_longer_where_many_come_back_at_once():
    group = deployment("ptu", ptu=True), deployment("paygo", tpm=1000, order=1)
    instance = Instance(*group)
    for number in range(10):
        other = Instance(*group, name=f"other{number:03d}")
        other.send(NOW)
        instance.balancer.merge(other.flush(NOW), NOW)
    refuse(instance, "ptu", retry_after=0.02)

    assert "paygo" == instance.choose(NOW + 1.9).deployment.id
    assert "ptu" == instance.choose(NOW + 2.0).deployment.id


def test_under_caps_what_is_full_is_not_tried():
    instance = Instance(deployment("a", rpm=2), capped=True)
    instance.send(NOW)
    instance.send(NOW + 10)
    choice = instance.choose(NOW + 20)

    assert (None, ChoiceReason.CAPPED, 40.0) == (choice.deployment, choice.reason, choice.wait.seconds)
    assert "a" == instance.choose(NOW + 60).deployment.id


def test_under_caps_a_sibling_with_room_is_taken():
    instance = Instance(deployment("a", rpm=1), deployment("b", rpm=5), capped=True)
    sent = Counter(instance.send(NOW).member.deployment.id for _ in range(6))

    assert {"a": 1, "b": 5} == sent
    assert ChoiceReason.CAPPED == instance.choose(NOW).reason


def test_under_caps_settled_usage_and_not_the_estimate_decides():
    instance = Instance(deployment("a", tpm=1000), capped=True)
    place = instance.send(NOW, 1000)

    assert ChoiceReason.CAPPED == instance.choose(NOW, 1).reason
    instance.balancer.settle(place, Outcome(Result.SUCCESS, 10, 90), NOW + 1)
    assert ChoiceReason.ROOM == instance.choose(NOW + 1, 900).reason
    assert ChoiceReason.CAPPED == instance.choose(NOW + 1, 901).reason


def test_a_strict_cap_names_what_must_be_reserved():
    instance = Instance(deployment("a/b", rpm=5, tpm=100, strict=True), capped=True)
    need = instance.choose(NOW, 500).strict

    assert (5, 100, 100) == (need.rpm, need.tpm, need.tokens)
    assert need.key.isalnum()


def test_a_client_is_told_when_the_first_of_several_is_back():
    instance = Instance(deployment("a"), deployment("b"))
    refuse(instance, "a", retry_after=20.0)
    refuse(instance, "b", retry_after=5.0)

    assert 5.0 == instance.choose(NOW).wait.seconds
