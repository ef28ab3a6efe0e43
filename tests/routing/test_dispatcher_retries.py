"""`retry_policy`: how often a model is called again after failures of each kind, on real sockets."""

import pytest
from support.bench import outcome, run
from support.scripted import HANG, reply

from gateway.errors import RateLimited, UpstreamFailed, UpstreamTimeout
from gateway.limits.balancing import learning
from gateway.routing import retries

pytestmark = pytest.mark.system

OK = reply()
LIMITED = reply(429, {"error": {"code": "429"}}, retry_after_ms="20")
FAILED = reply(500, b"{}")
BAD = reply(400, {"error": {"code": "invalid_value", "message": "no"}})
FILTERED = reply(400, {"error": {"code": "content_filter", "message": "no"}})
TOO_LONG = reply(400, {"error": {"code": "context_length_exceeded", "message": "no"}})

#: Kind -> a failure of it.
KINDS = {
    "AuthenticationError": reply(401, {"error": {"code": "401"}}),
    "TimeoutError": reply(408, {"error": {"code": "Timeout"}}),
    "RateLimitError": LIMITED,
    "InternalServerError": FAILED,
    "ServiceUnavailableError": reply(503, b"{}"),
    "BadRequestError": BAD,
    "ContentPolicyViolationError": FILTERED,
}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(retries, "BACKOFF_FIRST", 0.01)
    monkeypatch.setattr(learning, "COOLDOWN_SHORTEST", 0.02)


def policy(**counts):
    return {
        "retry_policy": {f"{kind}Retries": count for kind, count in counts.items()},
        "max_upstream_calls": 20,
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 3])
def test_a_lone_deployment_is_called_so_often_more_whatever_num_retries_says(kind, count):
    settings = {"num_retries": 1 if count else 5, **policy(**{kind: count})}
    _, counts = outcome([(KINDS[kind],)], router_settings=settings)

    assert [count + 1] == counts


@pytest.mark.parametrize("kind", KINDS)
def test_a_deployment_that_recovers_answers(kind):
    answer, counts = outcome([(KINDS[kind], KINDS[kind], OK)], router_settings=policy(**{kind: 2}))

    assert (200, [3]) == (answer.status, counts)


@pytest.mark.parametrize("kind", ["TimeoutError", "RateLimitError", "InternalServerError"])
@pytest.mark.parametrize(("count", "expected"), [(0, [1, 0]), (1, [1, 1]), (2, [2, 1]), (3, [2, 2])])
def test_a_groups_calls_are_counted_together(kind, count, expected):
    _, counts = outcome([(KINDS[kind],)] * 2, router_settings=policy(**{kind: count}))

    assert expected == counts


@pytest.mark.parametrize(
    ("counts", "expected"),
    [({"Default": 2}, [3]), ({"Default": 2, "InternalServerError": 0}, [1]), ({"RateLimitError": 3}, [1])],
)
def test_the_closest_kind_that_is_named_counts(counts, expected):
    settings = {"num_retries": 0, **policy(**counts)}
    unavailable = reply(503, b"{}")

    assert expected == outcome([(unavailable,)], router_settings=settings)[1]


def test_a_kind_that_allows_less_than_was_done_ends_it():
    settings = policy(RateLimitError=3, InternalServerError=0)

    assert [2] == outcome([(LIMITED, FAILED, OK)], router_settings=settings)[1]


def test_the_kind_of_all_others_is_none_of_a_refusal():
    assert [1] == outcome([(BAD,)], router_settings=policy(Default=3))[1]


def test_other_kinds_are_as_without_a_policy():
    settings = {"num_retries": 2, **policy(RateLimitError=0)}

    assert [3] == outcome([(FAILED,)], router_settings=settings)[1]


def test_a_models_own_policy_takes_the_place_of_the_general_one():
    settings = policy(InternalServerError=0) | {
        "model_group_retry_policy": {"gpt": {"InternalServerErrorRetries": 2}}
    }

    assert [3] == outcome([(FAILED,)], router_settings=settings)[1]


def test_a_policy_goes_before_the_members_own_retries():
    own = ((FAILED,), {"num_retries": 4}, {})

    assert [2] == outcome([own], router_settings=policy(InternalServerError=1))[1]


def test_a_request_makes_no_more_calls_than_it_may():
    settings = policy(InternalServerError=9) | {"max_upstream_calls": 3}
    error, counts = outcome([(FAILED,)], router_settings=settings)

    assert (UpstreamFailed, [3]) == (type(error), counts)


def test_a_silent_deployment_is_called_again_only_so_often():
    silent = ((HANG,), {"timeout": 0.05}, {})
    error, counts = outcome([silent], router_settings=policy(TimeoutError=2))

    assert (UpstreamTimeout, [3]) == (type(error), counts)


def test_fallbacks_answer_at_once_and_the_model_is_called_again_after_them():
    backup = ((OK,), {}, {"name": "backup"})
    settings = policy(InternalServerError=3) | {"fallbacks": [{"gpt": ["backup"]}]}
    answer, counts = outcome([(FAILED,), backup], router_settings=settings)

    assert (200, [1, 1]) == (answer.status, counts)


def test_a_prompt_that_is_too_long_is_as_long_the_next_time():
    answer, counts = outcome([(TOO_LONG,)], router_settings=policy(BadRequestError=3))

    assert (400, [1]) == (answer.status, counts)


def test_a_wait_that_ends_after_the_deadline_is_left_to_the_client():
    limited = reply(429, b"{}", retry_after="30")

    async def test(bench):
        return await bench.send(seconds=1.0), bench.counts

    error, counts = run([(limited,)], test, router_settings=policy(RateLimitError=3))

    assert (RateLimited, 30, [1]) == (type(error), error.retry_after, counts)
