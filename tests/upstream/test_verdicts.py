"""Whose fault the end of a call is, and when upstream wants to be asked again."""

import time

import pytest
from msgspec.structs import replace

from gateway.limits.tokens.outcome import Outcome, Result
from gateway.upstream.verdicts import (
    AttemptFailed,
    Blame,
    Ended,
    alike,
    blamed,
    judge,
    rejection,
    retry_after,
)
from gateway.upstream.words import NOTHING, Said

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
NOT_THERE = Said("DeploymentNotFound", message="The API deployment does not exist.")
NO_MODEL = Said("model_not_found", "invalid_request_error", message="The model `x` does not exist")
NO_PATH = Said("404", message="Resource not found")
VERSION = Said("BadRequest", message="API version not supported")
V1 = Said(
    type="invalid_request_error",
    message="Could not find an existing deployment to match the model in the request. Please check it.",
)
RETIRED = Said("ModelDeprecated", message="The model has been deprecated.")
ECHO = Said("unknown_parameter", message="Unknown parameter: 'API version not supported'.")
INVALID = Said(
    type="model_error",
    message="The model produced invalid content. Consider modifying your prompt if you are seeing this error.",
)
FILE = Said("not_found", "invalid_request_error", message="No such File object: file-1")


@pytest.mark.parametrize(
    ("status", "error", "result", "certain"),
    [
        (200, NOTHING, Result.SUCCESS, True),
        (201, NOTHING, Result.SUCCESS, True),
        (301, NOTHING, Result.FAILED, True),
        (307, NOTHING, Result.FAILED, True),
        (400, NOTHING, Result.CALLER, True),
        (400, VERSION, Result.OPERATION, False),
        (400, ECHO, Result.CALLER, True),
        (400, V1, Result.OPERATOR, True),
        (400, replace(V1, param="model"), Result.OPERATOR, True),
        (400, replace(V1, param="tools[0].model"), Result.CALLER, True),
        (400, RETIRED, Result.OPERATOR, True),
        (401, NOTHING, Result.OPERATOR, False),
        (403, NOTHING, Result.OPERATOR, False),
        (404, NOT_THERE, Result.OPERATOR, True),
        (404, NO_MODEL, Result.OPERATOR, True),
        (404, V1, Result.OPERATOR, True),
        (404, NO_PATH, Result.OPERATION, False),
        (404, FILE, Result.OPERATION, False),
        (404, Said("model_not_found", param="tools[0].model"), Result.OPERATION, False),
        (404, Said(message="I quote: DeploymentNotFound"), Result.OPERATION, False),
        (404, NOTHING, Result.OPERATION, False),
        (408, NOTHING, Result.FAILED, True),
        (409, NOTHING, Result.CALLER, True),
        (410, RETIRED, Result.OPERATOR, True),
        (410, NOTHING, Result.OPERATOR, False),
        (413, NOTHING, Result.CALLER, True),
        (422, VERSION, Result.CALLER, True),
        (424, NOTHING, Result.CALLER, True),
        (500, NOTHING, Result.FAILED, True),
        (500, INVALID, Result.REQUEST, True),
        (500, Said(message="Oh: The model produced invalid content."), Result.FAILED, True),
        (502, NOTHING, Result.FAILED, True),
        (503, NOTHING, Result.FAILED, True),
        (504, NOTHING, Result.FAILED, True),
        (529, NOTHING, Result.FAILED, True),
    ],
)
def test_each_status_has_its_verdict(status, error, result, certain):
    assert (result, certain) == judge(status, {}, error)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"retry-after": "7"}, NOTHING),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, NOTHING),
        ({"retry-after-ms": "7"}, NOTHING),
        ({"x-ratelimit-remaining-tokens": "0"}, NOTHING),
        ({"policy-id": "DeploymentRatelimit-Call"}, NOTHING),
        ({}, Said("RateLimitReached")),
        ({}, Said("NoCapacity")),
        ({}, Said("rate_limit_exceeded", "tokens")),
        ({}, Said(type="requests")),
        ({}, Said("insufficient_quota", "insufficient_quota")),
        (
            {},
            Said(
                "429",
                message="Requests to the ChatCompletions_Create Operation under Azure OpenAI API version v have "
                "exceeded call rate limit of your current OpenAI S0 pricing tier.",
            ),
        ),
    ],
)
def test_a_429_with_a_sign_of_a_limit_is_beyond_doubt(headers, error):
    assert (Result.LIMITED, True) == judge(429, headers, error)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, NOTHING),
        ({"retry-after": "0", "retry-after-ms": "0"}, NOTHING),
        ({"x-ratelimit-remaining-tokens": "5000", "x-ratelimit-remaining-requests": "5"}, NOTHING),
        ({}, Said("resource_unavailable", message="Flex is not available at the moment.")),
        ({}, Said("429", message="This tier is not served: 'token rate limit, retry after 60 seconds'")),
        ({}, Said(message="Your tier says RateLimitReached")),
    ],
)
def test_a_429_without_one_may_be_the_requests_own(headers, error):
    assert (Result.LIMITED, False) == judge(429, headers, error)


@pytest.mark.parametrize(
    ("result", "blame"),
    [
        (Result.CALLER, Blame.CALLER),
        (Result.REQUEST, Blame.REQUEST),
        (Result.OPERATION, Blame.OPERATION),
        (Result.OPERATOR, Blame.DEPLOYMENT),
        (Result.FAILED, Blame.DEPLOYMENT),
        (Result.TORN, Blame.DEPLOYMENT),
        (Result.UNREACHABLE, Blame.DEPLOYMENT),
        (Result.TIMEOUT, Blame.DEPLOYMENT),
        (Result.LOCAL, Blame.OURS),
        (Result.LIMITED, Blame.NOBODY),
        (Result.ABORTED, Blame.NOBODY),
    ],
)
def test_each_end_of_a_call_has_one_to_blame(result, blame):
    assert blame is AttemptFailed(Outcome(result)).blame


def ended(*attempts):
    return [
        Ended(name, Outcome(result, certain=result not in {Result.OPERATOR, Result.OPERATION}))
        for name, result in attempts
    ]


F, T, R, L = Result.FAILED, Result.TIMEOUT, Result.OPERATOR, Result.LOCAL


@pytest.mark.parametrize(
    ("attempts", "places"),
    [
        ([], []),
        ([("a", F)], [0]),
        ([("a", F), ("a", F), ("a", T)], [2]),
        ([("a", F), ("b", F)], []),
        ([("a", F), ("b", T), ("a", F)], []),
        ([("a", F), ("b", R)], [0, 1]),
        ([("a", R), ("a", R), ("b", F)], [1, 2]),
        ([("a", Result.TORN), ("b", Result.UNREACHABLE), ("c", R)], [2]),
        ([("a", L), ("b", F)], [0, 1]),
    ],
)
def test_a_request_counts_once_against_a_deployment_and_against_none_of_two_that_failed(attempts, places):
    assert places == list(blamed(ended(*attempts), refused=False))


def test_a_request_that_is_refused_as_such_counts_against_nobody():
    assert [] == list(blamed(ended(("a", F), ("b", R)), refused=True))


def refusal(status=403, code="Denied", message="No.", *, certain=False):
    return AttemptFailed(Outcome(Result.OPERATOR, certain=certain), status, code, message)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (refusal(), refusal(), True),
        (refusal(message="Id 6f-1 at 10:05."), refusal(message="Id 77-a2 at 10:06."), True),
        (
            refusal(message="flex is not served in West Europe, id a1b2."),
            refusal(message="flex is not served in Sweden Central, id 9f."),
            True,
        ),
        (refusal(message="Public access is disabled."), refusal(message="The key lacks a role."), False),
        (refusal(message="No."), refusal(message=None), False),
        (refusal(message="1 2"), refusal(message="3"), True),
        (refusal(code=None, message=None), refusal(code=None, message=None), True),
        (refusal(401), refusal(), False),
        (refusal(code="Other"), refusal(), False),
        (refusal(message="Never."), refusal(), False),
        (refusal(certain=True), refusal(certain=True), False),
        (AttemptFailed(Outcome(Result.FAILED), 500), AttemptFailed(Outcome(Result.FAILED), 500), False),
    ],
)
def test_refusals_are_alike_but_for_ids_and_moments(one, other, same):
    assert same is alike(one, other)


def test_messages_are_compared_in_linear_time():
    def seconds(size):
        pair = [refusal(message=f"No such file: {'a' * size} {number}") for number in range(2)]
        best = 9e9
        for _ in range(3):
            began = time.process_time()
            assert alike(*pair)
            best = min(best, time.process_time() - began)
        return best

    assert seconds(800_000) < 40 * max(seconds(100_000), 0.0005)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 7 "}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, None),
        ({"retry-after": "Tue, 99 Nov 2023 22:13:00 GMT"}, None),
        ({"retry-after-ms": "1200"}, 1.2),
        ({"x-ms-retry-after-ms": "300"}, 0.3),
        ({"retry-after-ms": "0", "retry-after": "1"}, 1),
        ({"retry-after-ms": "4380", "retry-after": "5"}, 4.38),
        ({"retry-after-ms": "4380", "retry-after": "6"}, 6),
        ({"retry-after-ms": "5000", "retry-after": "5"}, 5),
        ({"x-ms-retry-after-ms": "320", "retry-after": "1"}, 0.32),
        ({"retry-after-ms": "9000", "retry-after": "1", "x-ms-retry-after-ms": "100"}, 9),
        ({"retry-after-ms": "x"}, None),
    ],
)
def test_the_longest_wait_of_the_headers_counts_to_the_millisecond(headers, seconds):
    assert seconds == retry_after(headers, NOW)


OPENAI = "Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 1, Used 1. "


@pytest.mark.parametrize(
    ("headers", "message", "seconds", "kind"),
    [
        ({}, OPENAI + "Please try again in 2s.", 2, "tokens"),
        ({"retry-after": "0"}, OPENAI + "Please try again in 2s.", 2, "tokens"),
        ({"retry-after": "5"}, OPENAI + "Please try again in 2s.", 5, "tokens"),
        ({"x-ratelimit-remaining-requests": "0"}, "x", None, "requests"),
        ({}, "x", None, None),
    ],
)
def test_the_messages_wait_and_limit_count_where_no_header_names_them(headers, message, seconds, kind):
    outcome = rejection(429, headers, Said(message=message), NOW).outcome

    assert (seconds, kind) == (outcome.retry_after, outcome.kind)


def test_a_spent_quota_is_a_day_away():
    assert 86_400 == rejection(429, {}, Said("insufficient_quota"), NOW).outcome.retry_after


@pytest.mark.parametrize(("status", "error"), [(400, ECHO), (500, INVALID)])
def test_a_refusal_of_the_request_is_an_answer(status, error):
    assert rejection(status, {}, error, NOW) is None
