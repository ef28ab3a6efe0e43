"""`retry_policy` and `model_group_retry_policy` as they are read."""

import pytest
from support.documents import document, entry

from gateway.config.load import check, load


def test_both_are_read_by_kind():
    router = {
        "retry_policy": {"RateLimitErrorRetries": 3, "BadRequestErrorRetries": 0},
        "model_group_retry_policy": {"gpt": {"TimeoutErrorRetries": 2, "InternalServerErrorRetries": None}},
    }
    policies = load(document(entry(), router_settings=router), {}).retry_policies

    assert {"RateLimitError": 3, "BadRequestError": 0} == policies.general
    assert {"gpt": {"TimeoutError": 2}} == policies.groups


@pytest.mark.parametrize(
    ("router", "problem"),
    [
        (
            {"retry_policy": {"RateLimitRetries": 1}},
            "router_settings.retry_policy.RateLimitRetries: unknown key, did you mean RateLimitErrorRetries?",
        ),
        (
            {"retry_policy": {"TimeoutErrorRetries": -1}},
            "router_settings.retry_policy.TimeoutErrorRetries: must be at least 0",
        ),
        ({"retry_policy": [1]}, "router_settings.retry_policy: must be a mapping of keys to values"),
        (
            {"model_group_retry_policy": {"gpt": 3}},
            "router_settings.model_group_retry_policy.gpt: must be a mapping of keys to values",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(router, problem):
    assert [problem] == check(document(entry(), router_settings=router), {})[0]


def test_a_policy_of_a_model_that_is_not_there_is_left_out_with_a_warning():
    router = {"model_group_retry_policy": {"gone": {"TimeoutErrorRetries": 2}}}
    config = load(document(entry(), router_settings=router), {})

    assert {} == config.retry_policies.groups
    assert [
        "router_settings.model_group_retry_policy.gone: names a model that is not in model_list; it is left out"
    ] == list(config.warnings)
