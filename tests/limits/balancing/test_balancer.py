from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples
from support.limits import NOW, Instance, deployment

from gateway.config.access import ClientLimits, Limit
from gateway.errors import retry_seconds
from gateway.limits.balancing.balancer import MAX_TRIES
from gateway.limits.balancing.choice import ChoiceReason
from gateway.limits.balancing.cooldown import in_force
from gateway.limits.balancing.reservation import Reservation
from gateway.limits.balancing.room import room_in
from gateway.limits.caps.clients import Admission, Refusal
from gateway.limits.tokens.estimate import Estimate
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.limits.tokens.signals import RateLimits, Wait

#: Ends of calls that upstream refused or never saw.
GIVEN_BACK = {
    Result.LIMITED,
    Result.UNREACHABLE,
    Result.CALLER,
    Result.OPERATOR,
    Result.OPERATION,
    Result.LOCAL,
}


def end(instance, place, result, now=NOW, **fields):
    instance.balancer.settle(place, Outcome(result, **fields), now)


@pytest.mark.parametrize("result", list(Result))
def test_a_charge_is_given_back_for_refusals_and_calls_that_upstream_never_saw(result):
    instance = Instance(deployment("a", tpm=1000))
    place = instance.send(NOW, 100)
    end(instance, place, result)
    end(instance, place, result)
    kept = 0 if result in GIVEN_BACK else 100

    assert kept == instance.charge("a", NOW)
    reader = Instance(deployment("a", tpm=1000), name="reader")
    reader.balancer.merge(instance.flush(NOW + 1), NOW + 1)
    assert kept == reader.charge("a", NOW + 1)


def test_a_stream_that_breaks_after_its_head_keeps_its_charge():
    instance = Instance(deployment("a", tpm=1000))
    place = instance.send(NOW, 100)
    instance.balancer.answered(place, None, NOW)
    end(instance, place, Result.TORN, began=True)

    assert 100 == instance.charge("a", NOW)


def test_usage_is_recorded_once_also_when_the_client_leaves():
    instance = Instance(deployment("a", tpm=1000))
    for result in (Result.SUCCESS, Result.ABORTED):
        place = instance.send(NOW, 100)
        end(instance, place, result, prompt=10, completion=20)
        end(instance, place, result, prompt=10, completion=20)
    (state,) = instance.balancer.state(NOW)

    assert (60, 2) == (state.used_tokens, state.used_requests)


def test_a_call_never_sent_leaves_no_trace():
    instance = Instance(deployment("a", tpm=1000, rpm=5), capped=True)
    instance.balancer.withdraw(instance.send(NOW, 100), NOW)
    (state,) = instance.balancer.state(NOW)

    assert (0, 0, 0, 0) == (
        state.charged_tokens,
        state.charged_requests,
        state.used_tokens,
        state.used_requests,
    )


@pytest.mark.parametrize(
    ("result", "tokens"),
    [
        (Result.SUCCESS, 30),
        (Result.LIMITED, 0),
        (Result.UNREACHABLE, 0),
        (Result.LOCAL, 0),
        (Result.TORN, 0),
        (Result.FAILED, 0),
        (Result.REQUEST, 0),
        (Result.TIMEOUT, 100),
        (Result.ABORTED, 100),
    ],
)
def test_a_cap_keeps_the_request_and_settles_the_tokens(result, tokens):
    instance = Instance(deployment("a", tpm=1000), capped=True)
    place = instance.send(NOW, 100)
    usage = {"prompt": 10, "completion": 20} if result is Result.SUCCESS else {}
    end(instance, place, result, **usage)
    (state,) = instance.balancer.state(NOW)

    assert (tokens, 1) == (state.used_tokens, state.used_requests)


@pytest.mark.parametrize("result", [Result.CALLER, Result.OPERATOR, Result.OPERATION])
def test_a_cap_counts_no_call_that_upstream_did_not_take(result):
    instance = Instance(deployment("a", rpm=1, tpm=1000), capped=True)
    end(instance, instance.send(NOW, 100), result, certain=False)
    (state,) = instance.balancer.state(NOW)

    assert (0, 0, "a") == (state.used_tokens, state.used_requests, instance.choose(NOW).deployment.id)


def test_a_charge_is_no_more_than_the_deployments_limit():
    instance = Instance(deployment("a", tpm=1000))
    instance.send(NOW, 100_000_000)

    assert 1000 == instance.charge("a", NOW)


def test_a_cap_keeps_the_estimate_of_an_answer_that_broke_off():
    instance = Instance(deployment("a", tpm=1000), capped=True)
    end(instance, instance.send(NOW, 100), Result.FAILED, began=True)

    assert 100 == instance.balancer.state(NOW)[0].used_tokens


def test_a_cooldown_is_shared():
    one, two = (Instance(deployment("a", tpm=1000), name=name) for name in ("aaaaaa", "bbbbbb"))
    end(one, one.send(NOW), Result.LIMITED, retry_after=20.0, kind="tokens")
    two.balancer.merge(one.flush(NOW), NOW + 1)

    assert (None, 19.0) == (two.choose(NOW + 1).deployment, two.choose(NOW + 1).wait.seconds)


def test_an_operators_fault_rests_a_lone_deployment_too_and_one_call_probes_it():
    instance = Instance(deployment("a"))
    end(instance, instance.send(NOW), Result.OPERATOR, error="404")

    assert ChoiceReason.UNHEALTHY == instance.choose(NOW + 29).reason
    place = instance.send(NOW + 31)
    assert place.probe
    assert ChoiceReason.UNHEALTHY == instance.choose(NOW + 31).reason
    end(instance, place, Result.SUCCESS, NOW + 32)
    assert ChoiceReason.ROOM == instance.choose(NOW + 32).reason
    assert "404" == instance.balancer.state(NOW)[0].last_error


def test_repeated_failures_open_the_circuit_for_five_seconds_then_ten():
    instance = Instance(deployment("a"), deployment("b", order=1))
    for _ in range(5):
        end(instance, instance.send(NOW), Result.FAILED)

    assert 5.0 == instance.choose(NOW, tried=("b",)).wait.seconds
    end(instance, instance.send(NOW + 5), Result.TIMEOUT, NOW + 6)
    assert 10.0 == instance.choose(NOW + 6, tried=("b",)).wait.seconds


@pytest.mark.parametrize(
    ("result", "cooldown"),
    [
        (Result.FAILED, 5),
        (Result.TIMEOUT, 5),
        (Result.UNREACHABLE, 5),
        (Result.TORN, 5),
        (Result.OPERATOR, 30),
    ],
)
@pytest.mark.parametrize("count", [5, 6, 10])
def test_calls_that_fail_together_bring_about_one_rest(result, cooldown, count):
    instance = Instance(deployment("a"), deployment("b", order=1))
    places = [instance.send(NOW) for _ in range(count)]
    for place in places:
        end(instance, place, result, NOW + 1)

    assert cooldown == instance.choose(NOW + 1, tried=("b",)).wait.seconds


@pytest.mark.parametrize("result", [Result.LOCAL, Result.ABORTED])
def test_what_failed_here_rests_no_deployment(result):
    instance = Instance(deployment("a"))
    for _ in range(20):
        end(instance, instance.send(NOW), result, NOW + 1)

    assert instance.choose(NOW + 1).deployment is not None


def test_two_probes_that_fail_lengthen_a_rest_once():
    instance = Instance(deployment("a"), deployment("b", order=1))
    for place in [instance.send(NOW) for _ in range(5)]:
        end(instance, place, Result.FAILED)
    first = instance.send(NOW + 5)
    second = instance.send(NOW + 10.5)
    assert (True, True) == (first.probe, second.probe)
    end(instance, first, Result.FAILED, NOW + 11)
    end(instance, second, Result.FAILED, NOW + 11)

    assert 10.0 == instance.choose(NOW + 11, tried=("b",)).wait.seconds


def test_a_failure_while_a_limit_rests_a_deployment_is_no_reason_to_probe_it():
    instance = Instance(deployment("a"))
    first, second = instance.send(NOW), instance.send(NOW)
    end(instance, first, Result.LIMITED, retry_after=2.0)
    end(instance, second, Result.FAILED, NOW + 1)

    assert 1.0 == instance.choose(NOW + 1).wait.seconds
    assert [ChoiceReason.ROOM] * 2 == [instance.send(NOW + 2).reason for _ in range(2)]


def test_another_instances_rest_that_is_over_closes_nothing():
    one, two = (
        Instance(deployment("a"), deployment("b", order=1), name=name) for name in ("aaaaaa", "bbbbbb")
    )
    places = [one.send(NOW) for _ in range(5)]
    for place in places:
        end(one, place, Result.FAILED)
    rows = one.flush(NOW)
    end(one, one.send(NOW + 6), Result.SUCCESS, NOW + 6)
    two.balancer.merge(rows, NOW + 50)

    assert [ChoiceReason.ROOM] * 3 == [two.send(NOW + 50).reason for _ in range(3)]


def test_a_deployment_whose_streams_all_break_off_rests():
    instance = Instance(deployment("a"), deployment("b", order=1))
    for _ in range(5):
        place = instance.send(NOW)
        instance.balancer.answered(place, None, NOW)
        end(instance, place, Result.FAILED, began=True)

    assert ChoiceReason.UNHEALTHY == instance.choose(NOW, tried=("b",)).reason


def test_streams_that_their_clients_leave_are_no_failures():
    instance = Instance(deployment("a"))
    for result in [Result.ABORTED, Result.ABORTED, Result.FAILED] * 10:
        place = instance.send(NOW)
        instance.balancer.answered(place, None, NOW)
        end(instance, place, result, began=True)

    assert ChoiceReason.ROOM == instance.choose(NOW).reason


def test_all_that_spent_a_quota_are_not_retryable_and_one_that_has_not_is():
    instance = Instance(deployment("a"), deployment("b"))
    for name, wait in (("a", 86_400.0), ("b", 86_400.0)):
        other = "a" if name == "b" else "b"
        end(instance, instance.send(NOW, tried=[other]), Result.LIMITED, retry_after=wait)
    assert not instance.choose(NOW).retryable
    end(instance, instance.send(NOW + 60, tried=["b"]), Result.LIMITED, NOW + 60, retry_after=5.0)

    assert instance.choose(NOW + 60).retryable


def test_the_time_until_there_is_room_is_that_of_tokens_and_requests():
    instance = Instance(deployment("a", tpm=1000, rpm=2), deployment("b"))
    instance.send(NOW, 100, tried=["b"])
    instance.send(NOW + 10, 500, tried=["b"])
    (member, _) = instance.balancer._members.values()

    assert (51.0, "requests") == (room_in(member, 50, NOW + 10).seconds, room_in(member, 50, NOW + 10).kind)
    assert (61.0, "tokens") == (room_in(member, 600, NOW + 10).seconds, room_in(member, 600, NOW + 10).kind)


def test_the_time_until_there_is_room_reckons_with_what_upstream_counts_more():
    instance = Instance(deployment("a", tpm=1000))
    (member,) = instance.balancer._members.values()
    for second in range(8):
        instance.send(NOW + second, 100)
    member.window.bias = 1.3

    # 800 are 1,040 upstream, and 200 are 260: they fit when three have left the window.
    assert 56.0 == room_in(member, 200, NOW + 7).seconds
    assert not member.measure(200, NOW + 62, int(NOW + 62))
    assert member.measure(200, NOW + 63, int(NOW + 63))


def test_disable_cooldowns_keeps_all_open():
    instance = Instance(deployment("a"), disable_cooldowns=True)
    for result in (Result.LIMITED, Result.OPERATOR, *[Result.FAILED] * 9):
        end(instance, instance.send(NOW), result, retry_after=30.0)

    assert "a" == instance.choose(NOW).deployment.id


def test_cooldown_time_stands_in_where_upstream_is_silent_and_the_deployments_wins():
    instance = Instance(deployment("a", cooldown_time=3.0), cooldown_time=20.0)
    end(instance, instance.send(NOW), Result.LIMITED)

    assert 3.0 == instance.choose(NOW).wait.seconds
    end(instance, instance.send(NOW + 4), Result.LIMITED, NOW + 4, retry_after=9.0)
    assert 9.0 == instance.choose(NOW + 4).wait.seconds


def test_allowed_fails_are_forgiven():
    instance = Instance(deployment("a"), deployment("b", order=1), allowed_fails=1)
    end(instance, instance.send(NOW), Result.FAILED)

    assert "a" == instance.choose(NOW, tried=("b",)).deployment.id
    end(instance, instance.send(NOW), Result.FAILED)
    assert ChoiceReason.UNHEALTHY == instance.choose(NOW, tried=("b",)).reason


def test_a_days_quota_is_probed_once_a_minute():
    instance = Instance(deployment("a"))
    end(instance, instance.send(NOW), Result.LIMITED, retry_after=86_400.0)

    assert 60.0 == instance.choose(NOW).wait.seconds
    place = instance.send(NOW + 60)
    assert ChoiceReason.LIMITED == instance.choose(NOW + 60).reason
    end(instance, place, Result.LIMITED, NOW + 60, retry_after=86_340.0)
    assert ChoiceReason.LIMITED == instance.choose(NOW + 119).reason


def test_a_call_above_the_whole_limit_does_not_keep_the_others_away():
    instance = Instance(deployment("a", tpm=1000))
    for seconds in (86_400.0, 30.0):
        end(instance, instance.send(NOW, 1200), Result.LIMITED, retry_after=seconds, kind="tokens")

    assert "a" == instance.choose(NOW).deployment.id


def test_limits_are_learnt_where_none_are_configured():
    instance = Instance(deployment("a"))
    end(instance, instance.send(NOW), Result.SUCCESS, limits=RateLimits(500, 490, 60, 59))
    (state,) = instance.balancer.state(NOW)

    assert (500, 60) == (state.tpm, state.rpm)
    assert ChoiceReason.OVERFLOW == instance.choose(NOW, 600).reason


def test_upstreams_lower_limit_wins_and_the_configured_lower_one_too():
    instance = Instance(deployment("a", tpm=400, rpm=100))
    end(instance, instance.send(NOW), Result.SUCCESS, limits=RateLimits(500, 490, 60, 59))
    (state,) = instance.balancer.state(NOW)

    assert (400, 60) == (state.tpm, state.rpm)


def test_a_model_reports_the_sum_of_its_deployments():
    instance = Instance(deployment("a", tpm=1000, rpm=10), deployment("b", tpm=500, rpm=5))
    instance.balancer.reserve(instance.choose(NOW, 100, tried=["b"]), NOW)
    left = instance.balancer.remaining(instance.group, NOW)

    assert (1500, 1400, 15, 14) == (left.tokens, left.tokens_left, left.requests, left.requests_left)


def test_a_silent_caller_is_expected_to_get_what_others_got():
    instance = Instance(deployment("a", tpm=10**6))
    ask = Estimate(0, None)
    first = instance.balancer.choose(instance.group, ask, (), NOW).tokens
    for _ in range(700):
        end(instance, instance.send(NOW), Result.SUCCESS, prompt=1, completion=100)

    assert 1024 == first
    assert instance.balancer.choose(instance.group, ask, (), NOW).tokens < 120


# Clients

LIMITS = ClientLimits(Limit(rpm=3), {"m": Limit(tpm=100), "x": Limit(rpm=1, strict=True)})


def test_a_client_cap_refuses_with_a_true_wait():
    instance = Instance(deployment("a"))
    admit = instance.balancer.admit
    first = admit("master", "m", LIMITS, Estimate(60, 0), NOW)
    refusal = admit("master", "m", LIMITS, Estimate(60, 0), NOW + 1)

    assert Refusal(Wait(59.0, "tokens"), "model") == refusal
    instance.balancer.finish(first, Outcome(Result.SUCCESS, 10, 10))
    assert isinstance(admit("master", "m", LIMITS, Estimate(60, 0), NOW + 1), Admission)


def test_a_refused_call_uses_nothing_of_any_cap():
    instance = Instance(deployment("a"))
    admit = instance.balancer.admit
    assert isinstance(admit("master", "m", LIMITS, Estimate(100, 0), NOW), Admission)
    for _ in range(9):
        assert isinstance(admit("master", "m", LIMITS, Estimate(100, 0), NOW), Refusal)

    assert 2 == instance.balancer.client_remaining("master", "m", LIMITS, NOW).requests_left


def test_a_strict_client_cap_names_its_row_and_its_corrections():
    instance = Instance(deployment("a"))
    admission = instance.balancer.admit("master", "x", LIMITS, Estimate(5, 5), NOW)

    assert [1] == [need.rpm for need in admission.strict]
    assert [(admission.strict[0], -7)] == admission.corrections(Outcome(Result.SUCCESS, 1, 2))
    instance.balancer.release(admission)
    assert isinstance(instance.balancer.admit("master", "x", LIMITS, Estimate(5, 5), NOW), Admission)


def test_client_caps_are_shared():
    one, two = (Instance(deployment("a"), name=name) for name in ("aaaaaa", "bbbbbb"))
    for _ in range(3):
        one.balancer.admit("master", "y", LIMITS, Estimate(1, 0), NOW)
    two.balancer.merge(one.flush(NOW), NOW + 1)

    assert "requests" == two.balancer.admit("master", "y", LIMITS, Estimate(1, 0), NOW + 1).wait.kind


# Whole requests, at random

outcomes = st.sampled_from([*Result, Result.SUCCESS, Result.LIMITED, Result.LIMITED])
waits = st.none() | st.floats(-10, 1e6) | st.sampled_from([float("nan"), float("inf")])
requests = st.lists(
    st.tuples(
        st.floats(0, 15), st.integers(1, 800), st.lists(st.tuples(outcomes, waits), min_size=8, max_size=8)
    ),
    min_size=1,
    max_size=25,
)
groups = st.lists(
    st.tuples(st.sampled_from([None, 500, 2000]), st.integers(0, 1), st.booleans()), min_size=1, max_size=6
)


def serve(instance, now, tokens, script):
    """One request as the dispatcher serves it: its choices, with the last one that chose nobody if any."""
    tried: list[str] = []
    last_resorts = 0
    choices = []
    for result, wait in script:
        if len(tried) == MAX_TRIES:
            break
        choice = instance.choose(now, tokens, tried=tried, last_resorts=last_resorts)
        choices.append(choice)
        if choice.deployment is None:
            break
        resting = instance.balancer._members[choice.deployment.id].breaker.cooldown
        if choice.reason is ChoiceReason.PANIC:
            assert resting.reason == "health"
            for member in instance.balancer._members.values():
                assert member.breaker.cooldown or in_force(member.operation_breakers, now)
        elif choice.reason is not ChoiceReason.LAST_RESORT:
            assert resting is None or resting.until <= now
        assert choice.deployment.id not in tried
        tried.append(choice.deployment.id)
        last_resorts += choice.reason is ChoiceReason.LAST_RESORT
        assert last_resorts <= 2
        place = instance.balancer.reserve(choice, now)
        end(instance, place, result, now, retry_after=wait, kind="tokens")
        if result in {Result.SUCCESS, Result.CALLER, Result.ABORTED}:
            break
    return tried, choices


@examples(120)
@given(groups, requests, st.integers(0, 2**32))
def test_what_a_request_may_do_holds_whatever_upstream_answers(members, plan, seed):
    """Every rule of a choice, at every step of random requests.

    Nothing is sent to a deployment that rests but the last resort and where all rest, to each at most once, to four at most;
    nobody is refused while a deployment that is open was not tried; rests last half a second to a minute; and
    who waits as told does not come before the first is back, where all rest.
    """
    group = [
        deployment(f"d{place}", tpm=tpm, order=order, ptu=ptu)
        for place, (tpm, order, ptu) in enumerate(members)
    ]
    instance = Instance(*group, seed=seed)
    now = NOW
    for gap, tokens, script in plan:
        now += gap
        tried, choices = serve(instance, now, tokens, script)
        assert len(tried) == len(set(tried)) <= MAX_TRIES
        for member in instance.balancer._members.values():
            cooldown = member.breaker.cooldown
            assert cooldown is None or 0.5 <= cooldown.until - cooldown.issued <= 60.001
        last = choices[-1]
        if last.deployment is not None:
            continue
        open_yet = [
            member
            for member in instance.balancer._members.values()
            if member.deployment.id not in tried
            and member.breaker.cooldown is None
            and not in_force(member.operation_breakers, now)
        ]
        assert all(member.overflow < 1 for member in open_yet)
        if last.reason in {ChoiceReason.LIMITED, ChoiceReason.UNHEALTHY}:
            assert last.wait is not None
            assert 1 <= retry_seconds(last.wait.seconds) <= 60
            ends = [
                max(
                    cooldown.until
                    for cooldown in (
                        member.breaker.cooldown,
                        *in_force(member.operation_breakers, now).values(),
                    )
                    if cooldown
                )
                for member in instance.balancer._members.values()
                if member.breaker.cooldown is not None or in_force(member.operation_breakers, now)
            ]
            # One that is open has only no room, and may have some before another's rest ends.
            assert open_yet or not ends or retry_seconds(last.wait.seconds) >= min(ends) - now - 1
    # Charges are never negative.
    assert all(state.charged_tokens >= 0 for state in instance.balancer.state(now))


@examples(30)
@given(groups, requests, st.integers(0, 2**32))
def test_the_same_trace_and_seed_give_the_same_decisions(members, plan, seed):
    traces = []
    for _ in range(2):
        group = [
            deployment(f"d{place}", tpm=tpm, order=order) for place, (tpm, order, _) in enumerate(members)
        ]
        instance = Instance(*group, seed=seed)
        now, trace = NOW, []
        for gap, tokens, script in plan:
            now += gap
            trace.append(
                [
                    choice.deployment and choice.deployment.id
                    for choice in serve(instance, now, tokens, script)[1]
                ]
            )
        traces.append(trace)

    assert traces[0] == traces[1]


@examples(60)
@given(st.integers(0, 2**32), st.integers(2, 4))
def test_after_quiescence_rows_sum_up_to_what_was_sent_and_not_refused(seed, count):
    """Several balancers and a table: calls end in any order, flushes fail, instances die."""
    rng = random.Random(seed)
    now = NOW
    numbers = iter(range(1000))

    def fresh() -> Instance:
        number = next(numbers)
        return Instance(
            deployment("a", tpm=10**6), name=f"i{number:05d}", seed=number, disable_cooldowns=True
        )

    instances = [fresh() for _ in range(count)]
    flying: list[tuple[Instance, Reservation]] = []
    kept: dict[str, int] = {}
    written: dict[str, int] = {}
    table = {}

    def name(instance: Instance) -> str:
        return instance.balancer._view._instance

    for _ in range(80):
        now += rng.random() / 4
        instance = rng.choice(instances)
        step = rng.random()
        if step < 0.5:
            tokens = rng.randint(1, 500)
            flying.append((instance, instance.send(now, tokens)))
            kept[name(instance)] = kept.get(name(instance), 0) + tokens
        elif step < 0.75 and flying:
            owner, place = flying.pop(rng.randrange(len(flying)))
            result = rng.choice(list(Result))
            end(owner, place, result, now)
            if result in GIVEN_BACK and owner in instances:
                kept[name(owner)] -= place.tokens
        elif step < 0.9:
            for row in instance.balancer.rows(now):
                table[row.key] = row
                if rng.random() < 0.7:
                    instance.balancer.written(row)
            written[name(instance)] = kept.get(name(instance), 0)
        elif step < 0.97:
            instance.balancer.merge(list(table.values()), now)
        else:
            instances.remove(instance)
            kept[name(instance)] = written.get(name(instance), 0)
            instances.append(fresh())
    for instance in instances:
        for row in instance.balancer.rows(now):
            table[row.key] = row
    everything = sum(kept.values())
    for instance in (*instances, fresh()):
        instance.balancer.merge(list(table.values()), now)
        assert everything == instance.charge("a", now)


@pytest.mark.parametrize("left", [999_900, 300_000, 0])
def test_headers_alone_refuse_nobody(left):
    """An upstream that answers every call is called, whatever it says of its counter."""
    instance = Instance(deployment("a", rpm=1000), deployment("b", rpm=2000))
    limits = RateLimits(1_000_000, left, 10_000, 9_999)
    refused = 0
    for step in range(30_000):
        now = NOW + step / 200
        if step // 4000 % 2 and step % 10:
            continue
        choice = instance.balancer.choose(instance.group, Estimate(117, None), (), now)
        if choice.deployment is None:
            refused += 1
            continue
        place = instance.balancer.reserve(choice, now)
        end(instance, place, Result.SUCCESS, now, prompt=120, completion=158, limits=limits)

    assert 0 == refused


def test_a_strict_client_cap_reserves_all_that_a_call_may_use():
    instance = Instance(deployment("a"))
    limits = ClientLimits(Limit(tpm=10_000, strict=True))
    admission = instance.balancer.admit("master", "m", limits, Estimate(100, 9_000), NOW)

    assert [9_100] == [need.tokens for need in admission.strict]
    assert isinstance(instance.balancer.admit("master", "m", limits, Estimate(100, 900), NOW), Refusal)


def test_a_cap_counts_what_was_relayed_where_a_client_left_before_the_usage():
    instance = Instance(deployment("a"))
    limits = ClientLimits(Limit(tpm=10_000))
    for relayed, left in ((5, 10_000 - 1_124), (3_000, 10_000 - 1_124 - 3_000)):
        admission = instance.balancer.admit("master", "m", limits, Estimate(100, 9_000), NOW)
        instance.balancer.finish(admission, Outcome(Result.ABORTED, began=True, relayed=relayed))
        assert left == instance.balancer.client_remaining("master", "m", limits, NOW).tokens_left


def test_a_client_cap_reserves_no_more_than_answers_usually_have():
    instance = Instance(deployment("a"))
    model = instance.group[0].model_name
    limits = ClientLimits(Limit(tpm=10_000))
    admission = instance.balancer.admit("master", model, limits, Estimate(100, 9_000), NOW)

    assert 100 + 1024 == admission.places[0][1].tokens
    instance.balancer.finish(admission, Outcome(Result.SUCCESS, 100, 5_000))
    assert 4_900 == instance.balancer.client_remaining("master", model, limits, NOW).tokens_left
