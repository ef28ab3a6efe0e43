"""A gateway that starts while the vault does not answer: it says that it is not ready, and heals by itself."""

from __future__ import annotations

import pytest
from doubles.server import HANG
from support.keyless import MASTER, UPSTREAM_KEY, until, watched

#: Some of the routes that need a key, of every kind.
AUTHENTICATED = (
    ("POST", "/v1/embeddings"),
    ("POST", "/openai/deployments/gpt-4o/chat/completions"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/gpt-4o"),
    ("GET", "/gateway/me"),
    ("GET", "/gateway/deployments"),
    ("POST", "/gateway/reload"),
)


@pytest.mark.parametrize("fault", [503, 403, "stopped"])
def test_until_the_vault_answers_the_gateway_says_that_it_is_not_ready_and_heals_by_itself(
    host, cloud, fault
):
    if fault == "stopped":
        cloud.vault.stop()
    else:
        cloud.vault.down = fault
    with watched(host, cloud) as gateway:
        answer = gateway.chat()
        assert (503, "gateway_not_ready") == (answer.status, answer.error["code"])
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert 503 == gateway.call("GET", "/readyz").status
        assert 200 == gateway.call("GET", "/healthz", key=None).status
        for method, path in AUTHENTICATED:
            answer = gateway.call(method, path, {} if method == "POST" else None, key=MASTER)
            assert (503, "gateway_not_ready") == (answer.status, answer.error["code"]), path
        asked = len(cloud.vault.requests)
        assert {503} == {gateway.chat().status for _ in range(50)}
        assert len(cloud.vault.requests) - asked < 50
        if fault == "stopped":
            cloud.vault.start()
        cloud.vault.down = None
        until(lambda: 200 == gateway.chat().status)
        log = gateway.log()
    if fault == 403:
        assert "Key Vault Secrets User (4633458b-17de-408a-b874-0445c86b69e6)" in log
    assert "vault-canary" not in log


def test_a_hanging_vault_holds_a_request_for_twenty_seconds_at_most_and_the_gateway_heals(host, cloud):
    cloud.vault.down = HANG
    with watched(host, cloud) as gateway:
        # This client gives up after a minute, the vault answers after an hour.
        assert 503 == gateway.chat().status
        cloud.vault.down = None
        until(lambda: 200 == gateway.chat().status)


def test_a_missing_secret_heals_when_it_is_there_without_a_new_document(host, cloud):
    cloud.vault.delete("UPSTREAM-KEY")
    with watched(host, cloud) as gateway:
        assert 503 == gateway.chat().status
        until(
            lambda: "litellm_params.api_key: the vault's secret UPSTREAM-KEY does not exist" in gateway.log()
        )
        cloud.vault.put("UPSTREAM-KEY", UPSTREAM_KEY)
        until(lambda: 200 == gateway.chat().status)
