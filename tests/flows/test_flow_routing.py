"""Wildcards, deployments with few places, and retries by kind of failure, as clients meet them."""

from __future__ import annotations

import pytest
from support.calls import MESSAGES, call, chat, opened


def test_the_name_behind_a_wildcard_is_the_deployments(gateway, pool):
    before = len(pool.log("deployment-default"))

    answer = chat(gateway.port, "any/default")

    assert (200, 1) == (answer.status, len(pool.log("deployment-default")) - before)
    line = gateway.lines(answer.headers["x-request-id"])[0]
    assert ("any/*#1:deployment-default", "any/default") == (line["deployment"], line["gen_ai.request.model"])


def test_names_that_no_deployment_has_are_the_callers_mistake(gateway):
    for name in ("any/gone", "any/a%20b", "any/../x", "any/*", "any/"):
        answer = chat(gateway.port, name)

        assert (404, "model_not_found") == (answer.status, answer.error["code"]), name
        assert "deployment-" not in answer.body.decode()
    assert 200 == chat(gateway.port, "any/default").status


def test_azures_paths_get_azures_words_for_such_names(gateway):
    path = "/openai/deployments/any%2Fgone/chat/completions?api-version=2024-10-21"
    answer = call(gateway.port, "POST", path, {"messages": MESSAGES})

    assert (404, "DeploymentNotFound") == (answer.status, answer.error["code"])
    assert "`any/gone`" in answer.error["message"]


def test_a_wildcard_is_not_listed_and_what_it_serves_can_be_asked_for(gateway):
    listed = [entry["id"] for entry in call(gateway.port, "GET", "/v1/models").json()["data"]]

    assert [] == [name for name in listed if "*" in name]
    assert "any/default" == call(gateway.port, "GET", "/v1/models/any/default").json()["id"]


def test_a_stream_holds_its_place_and_others_are_told_to_come_back(impatient):
    stream = {"model": "one-at-a-time", "messages": MESSAGES, "stream": True}
    with opened(impatient.port, "POST", "/v1/chat/completions", stream) as response:
        response.readline()
        full = chat(impatient.port, "one-at-a-time")

    assert (429, "rate_limit_exceeded") == (full.status, full.error["code"])
    assert 1 == int(full.headers["retry-after"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_is_called_again_as_often_as_its_policy_says(gateway, pool, stream):
    before = len(pool.log("deployment-retried"))
    pool.simulator.fault("deployment-retried", {"preset": "key_rotated", "times": 1})

    answer = chat(gateway.port, "retried", stream=stream)

    # Nobody else would be tried, and a lone deployment is not tried again after a 401.
    assert (200, 2) == (answer.status, len(pool.log("deployment-retried")) - before)
    assert 2 == gateway.lines(answer.headers["x-request-id"])[0]["attempts"]
