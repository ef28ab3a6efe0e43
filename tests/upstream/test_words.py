"""What upstream's errors say, and which of their messages are known."""

import json
from pathlib import Path

import pytest

from gateway.upstream.words import NOTHING, Said, said

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "azure-fixtures.json").read_text())
AZURE_OLD = (
    "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-02-01 have exceeded "
    "token rate limit of your current OpenAI S0 pricing tier. "
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error":{"code":"429","type":"t","param":"p","message":"m"}}', Said("429", "t", "p", "m")),
        (b'{"error":{"code":429,"message":["m"]}}', NOTHING),
        (b'{"type":"error","error":{"type":"t","code":null,"message":"m"}}', Said(type="t", message="m")),
        (b'{"statusCode":401,"message":"Unauthorized."}', Said(message="Unauthorized.")),
        (b'{"error":"x"}', Said(message="x")),
        (b'{"error":{}}', NOTHING),
        (b'{"error":null,"code":"c"}', NOTHING),
        (b"[]", NOTHING),
        (b"<html>", NOTHING),
        (b"", NOTHING),
        (b"\xff", NOTHING),
        (b"[" * 200_000, NOTHING),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_values_of_an_error_are_read_in_every_shape(body, expected):
    assert expected == said(body)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("429_old_tokens", ("tokens", 6)),
        ("429_new_tokens", ("tokens", 6)),
        ("429_new_calls", ("requests", 1)),
        ("429_no_capacity", (None, 20)),
        ("429_tokens", ("tokens", 2)),
        ("429_quota", None),
        ("500", None),
        ("400_content_filter", None),
    ],
)
def test_recorded_messages_of_limits_are_known(name, limit):
    recorded = RECORDED["azure_errors"] | RECORDED["openai_errors"]

    assert limit == said(json.dumps(recorded[name]["body"]).encode()).limit()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please retry after 26 seconds. To increase", 26),
        ("please RETRY AFTER 1 second", 1),
        ("Please retry after 350 milliseconds.", 0.35),
        ("Please retry after 0 seconds.", None),
        ("Please retry after 4.5 seconds.", 4.5),
        ("Please try again in 21s. Visit", 21),
        ("Please try again in 1.2s.", 1.2),
        ("Please try again in 120ms.", 0.12),
        ("Please try again in 6m0s.", 360),
        ("Please try again in 1h2m3.5s.", 3723.5),
        ("Please try again in 2m", 120),
        ("Please try again in 5 seconds.", 5),
        ("Please try again in 0s.", None),
        ("Please try again in a while, or try again in 3s", 3),
        ("try again in 5 minutes", None),
        ("try again in 1.5m", None),
        ("try again in 5sheep", None),
        ("try again in 5", None),
        ("try again in -5s", None),
        ("try again in " + "1" * 900 + "s", None),
        ("retry after " + "9" * 500 + " seconds", None),
        ("Please retry later", None),
    ],
)
def test_the_wait_is_read_from_a_message_of_a_limit(text, seconds):
    assert ("tokens", pytest.approx(seconds)) == Said(message=AZURE_OLD + text).limit()


@pytest.mark.parametrize(
    "message",
    [
        "retry after 26 seconds",
        "Unknown tier 'have exceeded token rate limit. Please retry after 60 seconds'",
        f"Invalid value: '{AZURE_OLD}'",
        AZURE_OLD + "x" * 2000,
    ],
)
def test_words_of_a_limit_in_another_message_say_nothing(message):
    assert Said(message=message).limit() is None


@pytest.mark.parametrize(
    "message",
    [
        "The model produced invalid content. Consider modifying your prompt if you see this persistently.",
        "The model produced invalid content.",
        "the model generated invalid Unicode output",
    ],
)
def test_a_model_that_failed_at_a_prompt_is_known(message):
    assert Said(message=message).models_own


def test_words_that_a_client_has_sent_are_no_words_of_upstreams():
    for text in (
        "API version not supported",
        "Could not find an existing deployment to match the model in the request",
        "The model produced invalid content.",
        "Resource not found",
    ):
        error = Said("404", message=f"Unrecognized request argument supplied: {text}")
        assert [False] * 4 == [error.no_version, error.no_deployment, error.models_own, error.no_path]
