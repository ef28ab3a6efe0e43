"""Errors equal the recorded ones, byte for byte where bytes were recorded."""

import json

import pytest

from simulator import errors, filters, model_errors, platform
from simulator.config import Account, Deployment, Limits
from simulator.quota import Quota
from simulator.routes import Route


def limited(what, model, version, wait, *, text="new"):
    deployment = Deployment(name="my-dep", model=model, limits=Limits(text=text))
    account = Account(name="a", region="East US 2", deployments=(deployment,))
    return Quota(account, deployment).limited(what, wait, Route("dated", "chat", None, version), 0)


AZURE = {
    "401_key": errors.access_denied,
    "401_token": errors.bad_token,
    "401_rbac": errors.lacks_role,
    "403_network": errors.network_denied,
    "404_deployment": lambda: errors.deployment_not_found(v1=False),
    "400_api_version_on_v1": errors.version_not_supported,
    "400_operation": lambda: errors.operation_not_supported("chatCompletion", "text-embedding-3-small"),
    "400_content_filter": lambda: filters.blocked_prompt("hate"),
    "400_context_length": lambda: model_errors.context_length(16385, 20011),
    "408": errors.timeout,
    "429_old_tokens": lambda: limited("token", "gpt-4", "2024-02-01", 6, text="old"),
    "429_new_tokens": lambda: limited("token", "gpt-4.1", "2024-10-21", 6),
    "429_new_calls": lambda: limited("call", "gpt-4.1", "2024-10-21", 1),
    "429_no_capacity": errors.no_capacity,
    "500": errors.server_error,
}

PLATFORM = {
    "400_json": model_errors.not_json,
    "400_missing_model": model_errors.missing_model,
    "400_missing_messages": lambda: model_errors.missing("messages"),
    "400_empty_messages": lambda: model_errors.empty_array("messages"),
    "400_invalid_type": lambda: model_errors.invalid_type("max_tokens", "an integer", "5"),
    "401_missing_key": platform.missing_key,
    "401_wrong_key": lambda: platform.wrong_key("sk-xx-and-more-yy"),
    "404_model": lambda: platform.model_not_found("x"),
    "429_tokens": lambda: platform.limited(
        "token", "gpt-4o", limit=30000, used=29000, requested=2000, wait_s=2
    ),
    "429_quota": platform.quota_exhausted,
}


@pytest.mark.parametrize("name", AZURE)
def test_an_error_of_azure_equals_the_recorded_one(name, recordings):
    expected = recordings["azure_errors"][name]
    refusal = AZURE[name]()

    assert expected["body"] == json.loads(refusal.body)
    assert expected["status"] == refusal.status
    assert expected.get("reason") == refusal.reason


@pytest.mark.parametrize("name", PLATFORM)
def test_an_error_of_the_platform_equals_the_recorded_one(name, recordings):
    expected = recordings["openai_errors"][name]
    refusal = PLATFORM[name]()

    assert expected["body"] == json.loads(refusal.body)
    assert expected["status"] == refusal.status


def test_every_recorded_error_is_covered(recordings):
    elsewhere = {"404_resource", "400_unsupported_parameter", "400_unsupported_value", "400_below_min"}

    assert set(recordings["azure_errors"]) | set(recordings["openai_errors"]) == {
        *AZURE,
        *PLATFORM,
        *elsewhere,
    }


def test_resource_not_found_has_the_recorded_bytes_and_reason(simulate, recordings):
    reply = simulate().post("/openai/nonsense")
    expected = recordings["azure_errors"]["404_resource"]

    assert expected["raw"] == reply.text
    assert (404, expected["reason"]) == (reply.status_code, reply.reason_phrase)


def test_the_401_carries_no_more_headers_than_recorded(simulate, recordings):
    reply = simulate().post("/openai/deployments/gpt/chat/completions", key=None)
    recorded = recordings["headers"]["azure_401_key"]["value"]

    assert {*recorded, "Date"} == {name.decode() for name, _ in reply.headers.raw}
    assert recorded["Content-Length"] == reply.headers["content-length"]
    assert "PermissionDenied" == reply.reason_phrase


def test_deployment_not_found_is_chunked_and_has_no_content_type(simulate, recordings):
    reply = simulate().chat(deployment="other")

    recorded = recordings["headers"]["azure_404_deployment"]["value"]
    assert {*recorded, "Date"} == {name.decode() for name, _ in reply.headers.raw}
    assert recordings["azure_errors"]["404_deployment"]["body"] == reply.json()


def test_a_content_filter_400_names_the_category_of_the_mark(simulate):
    error = simulate().chat("[[filter:sexual]]").json()["error"]
    results = error["innererror"]["content_filter_result"]

    assert {"filtered": True, "severity": "high"} == results["sexual"]
    assert {"filtered": False, "severity": "safe"} == results["hate"]


def test_a_jailbreak_is_detected_rather_than_graded(simulate):
    error = simulate().chat("[[filter:jailbreak]]").json()["error"]

    assert {"filtered": True, "detected": True} == error["innererror"]["content_filter_result"]["jailbreak"]
