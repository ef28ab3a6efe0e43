"""How much of a limit one instance sends before it looks what the others did."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.limits import NOW, Instance, deployment

from gateway.config.access import ClientLimits, Limit
from gateway.limits.ledger.share import Share
from gateway.limits.ledger.view import View
from gateway.limits.tokens.estimate import Estimate
from gateway.limits.tokens.outcome import Outcome, Result


class Others:
    """Instances that make themselves known by a call each."""

    def __init__(self, count):
        self.instances = [
            Instance(deployment("a", rpm=10_000), name=f"other{number:03d}") for number in range(count)
        ]

    def tell(self, instance, now=NOW):
        rows = []
        for each in self.instances:
            each.send(now)
            rows += each.flush(now)
        instance.balancer.merge(rows, now)


def sent_before_looking(instance, tokens=10, most=200):
    """Calls at the same moment until the next should wait for news."""
    for count in range(most):
        choice = instance.choose(NOW, tokens)
        if choice.sync_first:
            return count
        instance.balancer.reserve(choice, NOW)
    return most


@pytest.mark.parametrize(
    ("limits", "others", "sent"),
    [
        ({"rpm": 20}, 0, 10),
        ({"rpm": 20}, 1, 10),
        ({"rpm": 60}, 3, 15),
        ({"tpm": 1000}, 0, 50),
        ({"tpm": 1000, "rpm": 20}, 0, 10),
        ({"tpm": 1000}, 4, 20),
        # Four at least: steady traffic of large calls must not wait each time.
        ({"rpm": 20}, 9, 4),
        ({"tpm": 100}, 0, 5),
        ({}, 3, 200),
        ({"rpm": 20, "ptu": True}, 3, 200),
    ],
)
def test_an_instance_sends_its_share_of_a_limit_and_then_looks(limits, others, sent):
    instance = Instance(deployment("a", **limits))
    Others(others).tell(instance)

    assert sent == sent_before_looking(instance)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_cap_is_shared_in_the_same_way(shuffle):
    instance = Instance(deployment("a", rpm=20), capped=True, shuffle=shuffle)

    assert 10 == sent_before_looking(instance)


def test_an_exact_cap_and_a_choice_by_weights_need_no_news():
    assert 200 == sent_before_looking(Instance(deployment("a", rpm=300, strict=True), capped=True))
    assert 200 == sent_before_looking(Instance(deployment("a", rpm=20), shuffle=True))


def test_after_hearing_of_the_others_another_share_may_be_sent():
    instance = Instance(deployment("a", rpm=60))
    assert 30 == sent_before_looking(instance)
    Others(1).tell(instance)
    choice = instance.choose(NOW)

    assert (False, "a") == (choice.sync_first, choice.deployment.id)


def test_what_is_full_as_far_as_known_is_tried_without_looking_again():
    instance = Instance(deployment("a", rpm=8))
    for _ in range(8):
        instance.send(NOW)

    choice = instance.choose(NOW)
    assert ("a", False) == (choice.deployment.id, choice.sync_first)


@pytest.mark.parametrize(
    ("limits", "others", "told", "sent"),
    [
        ({"rpm": 20}, 1, 7, 10),
        ({"rpm": 20}, 3, 3, 5),
        ({"tpm": 1000}, 1, 34, 50),
        ({"rpm": 20}, 19, 1, 1),
    ],
)
def test_a_cap_is_divided_by_what_is_left_of_it(limits, others, told, sent):
    instance = Instance(deployment("a", **limits), capped=True)
    Others(others).tell(instance)
    count = 0
    flush_now = []
    while not (choice := instance.choose(NOW)).sync_first and choice.deployment is not None:
        instance.balancer.reserve(choice, NOW)
        count += 1
        if instance.balancer.flush_now:
            flush_now.append(count)
            instance.flush(NOW)

    assert (sent, [told]) == (count, flush_now)


@pytest.mark.parametrize(("strict", "beyond"), [(False, [False] * 10 + [True]), (True, [False] * 11)])
def test_a_client_uses_its_share_of_a_cap_and_then_it_is_looked(strict, beyond):
    instance = Instance(deployment("a"))
    limits = ClientLimits(models={"m": Limit(rpm=20, strict=strict)})
    found = []
    for _ in range(11):
        found.append(instance.balancer.beyond_share("client", "m", limits, NOW))
        instance.balancer.admit("client", "m", limits, Estimate(10, 0), NOW)

    assert beyond == found


@given(st.integers(2, 40), st.integers(0, 3))
def test_instances_are_counted_by_their_rows_whichever_way_they_come(count, repeats):
    crowd = [Instance(deployment("a"), name=f"crowd{number:03d}") for number in range(count)]
    rows = []
    for each in crowd:
        each.balancer.settle(each.send(NOW), Outcome(Result.SUCCESS, 5, 5), NOW)
        rows += each.flush(NOW)
    maker, by_sum, by_rows = (
        Instance(deployment("a"), name=name) for name in ("maker00", "sum000", "rows00")
    )
    maker.balancer.merge(rows, NOW)
    assert by_sum.balancer.merge_rollup(maker.balancer.rollup(NOW), NOW)
    for _ in range(repeats + 1):
        by_rows.balancer.merge(rows, NOW)

    assert count + 1 == maker.balancer.instances == by_sum.balancer.instances == by_rows.balancer.instances


def test_who_has_written_nothing_for_more_than_a_minute_is_not_counted():
    instance = Instance(deployment("a"))
    Others(3).tell(instance)
    assert 4 == instance.balancer.instances
    instance.choose(NOW + 100)
    instance.balancer.merge([], NOW + 100)

    assert 1 == instance.balancer.instances


@given(
    st.lists(st.integers(1, 500), max_size=30),
    st.none() | st.integers(1, 50),
    st.none() | st.integers(1, 5000),
)
def test_nobody_looks_before_half_of_a_limit_is_sent(sizes, rpm, tpm):
    spending = Share(View("aaaaaa"))
    requests = tokens = 0
    for size in sizes:
        expected = requests >= 4 and bool((rpm and 2 * requests >= rpm) or (tpm and 2 * tokens >= tpm))
        assert expected == spending.beyond(rpm, tpm)
        spending.add(size)
        requests, tokens = requests + 1, tokens + size
