from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.tokens.signals import RateLimits, cooldown_seconds, limit_kind, read_limits, shows_limit

AZURE = {
    "x-ratelimit-limit-requests": "120",
    "x-ratelimit-limit-tokens": "120000",
    "x-ratelimit-remaining-requests": "119",
    "x-ratelimit-remaining-tokens": "119986",
    "x-ratelimit-renewalperiod-requests": "60",
    "x-ratelimit-renewalperiod-tokens": "60",
    "x-ratelimit-reset-requests": "500",
    "x-ratelimit-reset-tokens": "7",
}


def test_azures_headers_are_read():
    assert RateLimits(120000, 119986, 120, 119) == read_limits(AZURE)


def test_a_limit_of_ten_seconds_is_made_one_of_a_minute():
    headers = {**AZURE, "x-ratelimit-renewalperiod-requests": "10", "x-ratelimit-limit-requests": "20"}

    assert RateLimits(120000, 119986, 120, None) == read_limits(headers)


@pytest.mark.parametrize("value", ["-1", "0", "", "abc", "1e9", "nan", "inf", "١٢", "9" * 40])
def test_a_limit_that_is_no_number_is_unknown(value):
    assert read_limits({"x-ratelimit-limit-tokens": value, "x-ratelimit-remaining-tokens": "5"}) is None


def test_a_remainder_above_the_limit_is_unknown():
    headers = {"x-ratelimit-limit-tokens": "10", "x-ratelimit-remaining-tokens": "11"}

    assert RateLimits(10, None) == read_limits(headers)


def test_utilisation_tells_provisioned_throughput():
    assert RateLimits(provisioned=True) == read_limits({"azure-openai-deployment-utilization": "11.2%"})


@pytest.mark.parametrize(
    ("headers", "kind", "limit"),
    [
        ({"policy-id": "DeploymentRatelimit-Token"}, "tokens", True),
        ({"policy-id": "DeploymentRatelimit-Call"}, "requests", True),
        ({"policy-id": "ThrowExceptionDueToTrafficDenied"}, None, True),
        ({"x-ratelimit-type": "Tokens"}, "tokens", True),
        ({"x-ratelimit-remaining-requests": "0"}, "requests", True),
        ({"x-ratelimit-remaining-tokens": "0"}, None, True),
        ({"azure-openai-deployment-utilization": "100.3%"}, None, True),
        ({"azure-openai-deployment-utilization": "62%"}, None, False),
        ({"x-ratelimit-remaining-requests": "7", "x-ratelimit-remaining-tokens": "70"}, None, False),
        ({}, None, False),
    ],
)
def test_the_headers_of_a_429_show_a_limit_and_which(headers, kind, limit):
    assert (kind, limit) == (limit_kind(headers), shows_limit(headers))


@given(st.none() | st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True))
def test_a_cooldown_is_half_a_second_to_a_minute(retry_after, fallback):
    assert 0.5 <= cooldown_seconds(retry_after, fallback) <= 60


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(None, 10), (0, 10), (-3, 10), (math.nan, 10), (7, 7), (0.1, 0.5), (9999, 60)],
)
def test_a_cooldown_follows_retry_after(retry_after, seconds):
    assert seconds == cooldown_seconds(retry_after)


@pytest.mark.parametrize("value", ["true", "True"])
def test_the_limits_of_a_deployment_that_azure_spilled_to_are_not_the_callers(value):
    assert read_limits(AZURE) is not None
    assert read_limits(AZURE | {"x-ms-is-spilled-over": value}) is None


@given(st.dictionaries(st.sampled_from([*AZURE, "policy-id", "x-ratelimit-type"]), st.text(max_size=12)))
def test_any_headers_are_read(headers):
    limits = read_limits(headers)
    limit_kind(headers)
    shows_limit(headers)

    assert limits is None or limits.tokens is None or limits.tokens >= 1
