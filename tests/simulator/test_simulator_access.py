"""Paths, api-versions, credentials, and the order in which Azure checks."""

import json
import time
from base64 import urlsafe_b64encode

import pytest

from simulator.testing import serve

NOT_FOUND = '{"error":{"code":"404","message": "Resource not found"}}'
MESSAGES = {"messages": [{"role": "user", "content": "hi"}]}
DEPLOYMENT = "/openai/deployments/gpt"


def jwt(**claims):
    payload = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.sig"


@pytest.mark.parametrize(
    "query", ["", "?api-version=", "?api-version=2020-01-01", "?api-version=v1", "?version=2024-10-21"]
)
def test_a_dated_path_without_a_known_version_is_no_resource(simulate, query):
    reply = simulate().post(f"{DEPLOYMENT}/chat/completions{query}", MESSAGES)

    assert (404, NOT_FOUND) == (reply.status_code, reply.text)


def test_a_version_that_only_this_deployment_lacks_is_no_resource(simulate):
    client = simulate({"api_versions": ["2024-02-01"]})

    assert NOT_FOUND == client.chat(version="2024-10-21").text
    assert 200 == client.chat(version="2024-02-01").status_code


@pytest.mark.parametrize(("version", "status"), [("2024-10-21", 404), ("2025-04-01-preview", 200)])
def test_speech_on_dated_paths_needs_a_preview_version(simulate, version, status):
    client = simulate({"name": "tts", "model": "tts-1", "kind": "speech"})
    reply = client.post(
        f"/openai/deployments/tts/audio/speech?api-version={version}", {"input": "hi", "voice": "alloy"}
    )

    assert status == reply.status_code


@pytest.mark.parametrize("query", ["", "?api-version=v1", "?api-version=preview"])
def test_v1_takes_the_deployment_from_the_body_and_no_version_or_its_own(simulate, query):
    reply = simulate().post(f"/openai/v1/chat/completions{query}", MESSAGES | {"model": "gpt"})

    assert 200 == reply.status_code


def test_a_dated_version_on_v1_is_not_supported(simulate, recordings):
    reply = simulate().post("/openai/v1/chat/completions?api-version=2024-10-21", MESSAGES | {"model": "gpt"})

    assert recordings["azure_errors"]["400_api_version_on_v1"]["body"] == reply.json()
    assert 400 == reply.status_code


@pytest.mark.parametrize(("options", "status"), [({}, 404), ({"v1_preview_only": []}, 200)])
def test_v1_serves_completions_in_preview_only_unless_configured(simulate, options, status):
    client = simulate({"kind": "completions"}, **options)

    assert status == client.post("/openai/v1/completions", {"model": "gpt", "prompt": "x"}).status_code
    preview = client.post("/openai/v1/completions?api-version=preview", {"model": "gpt", "prompt": "x"})
    assert 200 == preview.status_code


def test_v1_without_a_model_asks_for_one(simulate, recordings):
    reply = simulate().post("/openai/v1/chat/completions", MESSAGES)

    assert recordings["openai_errors"]["400_missing_model"]["body"] == reply.json()


def test_an_unknown_deployment_on_v1_has_a_null_param(simulate):
    error = simulate().post("/openai/v1/chat/completions", MESSAGES | {"model": "other"}).json()["error"]

    assert ("DeploymentNotFound", None) == (error["code"], error["param"])


def test_a_dated_path_ignores_the_model_of_the_body(simulate):
    assert 200 == simulate().chat(model="something-else").status_code


def test_a_deployment_name_is_percent_decoded(simulate):
    client = simulate({"name": "my gpt/1"})

    assert 200 == client.chat(deployment="my%20gpt%2F1").status_code


def test_other_methods_find_no_resource(simulate, http):
    client = simulate()
    reply = http.get(
        f"{client.running.url}{DEPLOYMENT}/chat/completions?api-version=2024-10-21", headers={"api-key": "k"}
    )

    assert NOT_FOUND == reply.text


def test_a_wrong_key_is_refused_before_anything_else_is_looked_at(simulate, recordings):
    reply = simulate().post("/openai/nonsense", key="wrong")

    assert recordings["azure_errors"]["401_key"]["body"] == reply.json()


def test_the_path_is_checked_before_the_deployment(simulate):
    assert NOT_FOUND == simulate().chat(deployment="other", version="2020-01-01").text


def test_the_deployment_is_checked_before_the_body(simulate):
    reply = simulate().post(
        "/openai/deployments/other/chat/completions?api-version=2024-10-21", content=b"no json"
    )

    assert "DeploymentNotFound" == reply.json()["error"]["code"]


def test_the_operation_is_checked_before_the_body(simulate, recordings):
    client = simulate({"name": "emb", "model": "text-embedding-3-small", "kind": "embeddings"})
    reply = client.post("/openai/deployments/emb/chat/completions?api-version=2024-10-21", content=b"no json")

    assert recordings["azure_errors"]["400_operation"]["body"] == reply.json()


def test_the_request_limit_is_checked_before_the_body(simulate):
    client = simulate({"limits": {"rpm": 1, "rpm_window_s": 60}})
    path = f"{DEPLOYMENT}/chat/completions?api-version=2024-10-21"

    assert [400, 429] == [client.post(path, content=b"no json").status_code for _ in range(2)]


def test_parameters_are_checked_before_the_content_filter(simulate):
    assert "Unrecognized" in simulate().chat("[[filter:hate]]", bogus=1).json()["error"]["message"]


def test_a_bearer_key_is_a_key_on_v1_only(simulate, recordings):
    client = simulate()
    headers = [("Authorization", "Bearer k")]
    v1 = client.post("/openai/v1/chat/completions", MESSAGES | {"model": "gpt"}, key=None, headers=headers)
    dated = client.post(
        f"{DEPLOYMENT}/chat/completions?api-version=2024-10-21", MESSAGES, key=None, headers=headers
    )

    assert 200 == v1.status_code
    assert (401, recordings["azure_errors"]["401_token"]["body"]) == (dated.status_code, dated.json())


@pytest.mark.parametrize(
    "path", ["/openai/v1/chat/completions", f"{DEPLOYMENT}/chat/completions?api-version=2024-10-21"]
)
@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 200),
        ({"aud": "https://cognitiveservices.azure.com/", "exp": time.time() + 3600}, 200),
        ({"exp": time.time() - 1}, 401),
        ({"aud": "https://graph.microsoft.com"}, 401),
    ],
)
def test_an_entra_token_is_accepted_while_valid_on_both_kinds_of_path(simulate, path, claims, status):
    headers = [("Authorization", f"Bearer {jwt(**claims)}")]
    reply = simulate().post(path, MESSAGES | {"model": "gpt"}, key=None, headers=headers)

    assert status == reply.status_code


def test_listed_tokens_are_the_only_ones(simulate):
    client = simulate(tokens=["a.b.c"])
    path = f"{DEPLOYMENT}/chat/completions?api-version=2024-10-21"
    statuses = [
        client.post(path, MESSAGES, key=None, headers=[("Authorization", f"Bearer {token}")]).status_code
        for token in ("a.b.c", jwt())
    ]

    assert [200, 401] == statuses


def test_a_key_beside_a_bearer_credential_decides(simulate):
    both = [("Authorization", "Bearer nonsense")]

    assert 200 == simulate().chat(headers=both).status_code


def test_a_deployment_may_have_keys_of_its_own(simulate):
    client = simulate({}, {"name": "own", "keys": ["other"]})

    assert [200, 401] == [client.chat(deployment=name).status_code for name in ("gpt", "own")]


@pytest.mark.parametrize(("count", "status"), [(10, 200), (11, 431)])
def test_more_than_ten_custom_headers_are_refused(simulate, count, status):
    headers = [(f"x-custom-{number}", "1") for number in range(count)]

    assert status == simulate().chat(headers=headers).status_code


ACCOUNTS = {
    "accounts": [
        {"name": "east", "keys": ["ke"], "deployments": [{"name": "gpt", "model": "gpt-4o"}]},
        {"name": "west", "keys": ["kw"], "deployments": [{"name": "gpt", "model": "gpt-4o"}]},
        {"name": "below", "path": "/x", "keys": ["kx"], "deployments": [{"name": "gpt", "model": "gpt-4o"}]},
        {
            "name": "openai",
            "kind": "openai",
            "keys": ["sk"],
            "deployments": [{"name": "gpt-4o", "model": "gpt-4o"}],
        },
    ]
}


def test_accounts_are_told_apart_by_path_key_and_kind_of_api(http):
    chat = f"{DEPLOYMENT}/chat/completions?api-version=2024-10-21"
    with serve(ACCOUNTS) as running:
        for path, headers in (
            (chat, {"api-key": "ke"}),
            (chat, {"api-key": "kw"}),
            ("/x" + chat, {"api-key": "kx"}),
            ("/v1/chat/completions", {"Authorization": "Bearer sk"}),
        ):
            http.post(running.url + path, json=MESSAGES | {"model": "gpt-4o"}, headers=headers)

        assert [("east", 200), ("west", 200), ("below", 200), ("openai", 200)] == [
            (entry["account"], entry["status"]) for entry in running.log
        ]


def test_the_platform_refuses_what_it_does_not_know_in_its_own_words(http, recordings):
    with serve(ACCOUNTS) as running:

        def post(path, key, model):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            return http.post(running.url + path, json=MESSAGES | {"model": model}, headers=headers)

        recorded = recordings["openai_errors"]
        assert recorded["401_missing_key"]["body"] == post("/v1/chat/completions", None, "gpt-4o").json()
        assert "invalid_api_key" == post("/v1/chat/completions", "no", "gpt-4o").json()["error"]["code"]
        assert recorded["404_model"]["body"] == post("/v1/chat/completions", "sk", "x").json()
        assert "Invalid URL (POST /v1/nope)" == post("/v1/nope", "sk", "x").json()["error"]["message"]
