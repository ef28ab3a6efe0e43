"""Every form of credential, from the document to what goes upstream, by the real azure-identity against doubles."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from doubles.cloud import running_cloud
from doubles.identity import SYSTEM
from doubles.tokens import MARK, claims_of
from support.scripted import Scripted, reply

from gateway.adapters.identity import EntraTokens
from gateway.config.load import load
from gateway.upstream.client import Upstream
from gateway.upstream.credentials import IdentityFailed, headers

pytestmark = pytest.mark.system

COGNITIVE = "https://cognitiveservices.azure.com"
FOUNDRY = "https://ai.azure.com"
USER_ASSIGNED = "00000000-0000-0000-0000-00000000bbbb"
SECRET = "application-secret-canary"
APPLICATION = {"tenant_id": "{tenant}", "client_id": "app-id"}


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    with running_cloud(tmp_path) as running:
        running.identity.client_ids.add(USER_ASSIGNED)
        running.entra.secrets["app-id"] = SECRET
        environment = running.environment
        del environment["AZURE_TOKEN_CREDENTIALS"]
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield running


def sent(cloud, params, environ=None, hidden=()):
    """The headers that authenticate a call of a member with these parameters."""
    text = json.dumps(params).replace("{tenant}", cloud.entra.tenant)
    azure = {"model": "azure/d", "api_base": "https://r.openai.azure.com"} | json.loads(text)
    document = {"model_list": [{"model_name": "m", "litellm_params": azure}]}
    config = load(json.dumps(document), environ or {}, allow_anonymous=True)
    ((member,),) = config.models.values()

    async def work():
        # aiohttp reads SSL_CERT_FILE when it is imported, which another test has done.
        tokens = EntraTokens(time.time, verify=str(cloud.authority.file), hidden=hidden)
        try:
            return await headers(member, tokens)
        finally:
            await tokens.close()

    return asyncio.run(work())


def bearer(found):
    """Audience and application of the one token that is sent."""
    assert ["authorization"] == list(found)
    claims = claims_of(found["authorization"].removeprefix("Bearer "))
    return claims["aud"], claims["appid"]


def test_without_a_credential_the_managed_identity_signs_in(cloud):
    assert (COGNITIVE, SYSTEM) == bearer(sent(cloud, {}))
    assert (FOUNDRY, SYSTEM) == bearer(sent(cloud, {"azure_scope": f"{FOUNDRY}/.default"}))


def test_a_client_id_alone_chooses_a_user_assigned_identity(cloud):
    assert (COGNITIVE, USER_ASSIGNED) == bearer(sent(cloud, {"client_id": USER_ASSIGNED}))


def test_the_environments_client_id_chooses_the_identity_of_all(cloud, monkeypatch):
    monkeypatch.setenv("AZURE_CLIENT_ID", USER_ASSIGNED)
    assert (COGNITIVE, USER_ASSIGNED) == bearer(sent(cloud, {}))


def test_a_client_id_that_nobody_has_gets_no_token_and_no_other_identity(cloud, caplog):
    with pytest.raises(IdentityFailed):
        sent(cloud, {"client_id": "00000000-0000-0000-0000-00000000cccc"})
    assert [] == cloud.identity.issued
    assert "no Entra token" in caplog.text


def test_an_application_signs_in_with_its_secret_at_the_authority_of_the_environment(cloud, caplog):
    assert (COGNITIVE, "app-id") == bearer(sent(cloud, APPLICATION | {"client_secret": SECRET}))
    assert [] == cloud.identity.requests
    with pytest.raises(IdentityFailed) as caught:
        sent(cloud, APPLICATION | {"client_secret": "wrong-secret-canary"})
    assert caught.value.refused
    assert "wrong-secret-canary" not in caplog.text
    assert "the application app-id is refused with AADSTS7000215" in caplog.text
    cloud.entra.down = 503
    with pytest.raises(IdentityFailed) as caught:
        sent(cloud, APPLICATION | {"client_secret": SECRET})
    assert not caught.value.refused


def test_an_application_in_the_environment_signs_in_where_a_member_has_nothing(cloud, monkeypatch):
    monkeypatch.setenv("AZURE_TENANT_ID", cloud.entra.tenant)
    monkeypatch.setenv("AZURE_CLIENT_ID", "app-id")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", SECRET)
    assert (COGNITIVE, "app-id") == bearer(sent(cloud, {}))


def test_what_an_issuer_repeats_of_the_environments_secret_or_of_a_federated_token_is_not_logged(
    cloud, monkeypatch, tmp_path, caplog
):
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    monkeypatch.setenv("AZURE_TENANT_ID", cloud.entra.tenant)
    monkeypatch.setenv("AZURE_CLIENT_ID", "app-id")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong-secret-canary")
    file = tmp_path / "federated"
    file.write_text("wrong-assertion-canary")
    for params in ({}, APPLICATION | {"federated_token_file": str(file)}):
        with pytest.raises(IdentityFailed):
            sent(cloud, params, hidden=["wrong-secret-canary"])
    assert 2 == caplog.text.count("no Entra token")
    assert "canary" not in caplog.text


@pytest.mark.parametrize("form", ["key", "oidc", "variable"])
def test_an_application_signs_in_with_a_federated_token(cloud, tmp_path, form):
    file = tmp_path / "federated"
    file.write_text("assertion-canary")
    cloud.entra.secrets["app-id"] = "assertion-canary"
    params, environ = {
        "key": ({"federated_token_file": str(file)}, {}),
        "oidc": ({"azure_ad_token": f"oidc/file/{file}"}, {}),
        "variable": ({}, {"AZURE_FEDERATED_TOKEN_FILE": str(file)}),
    }[form]
    assert (COGNITIVE, "app-id") == bearer(sent(cloud, APPLICATION | params, environ))


def test_keys_and_tokens_of_the_operator_go_as_they_are(cloud):
    assert {"api-key": "k"} == sent(cloud, {"api_key": "k"})
    assert {"authorization": "Bearer t"} == sent(cloud, {"azure_ad_token": "t", "api_key": "k"})
    assert {"api-key": "k"} == sent(cloud, {}, {"AZURE_API_KEY": "k", "AZURE_AD_TOKEN": "t"})
    assert {"authorization": "Bearer t"} == sent(cloud, {}, {"AZURE_AD_TOKEN": "t"})
    assert [] == cloud.identity.requests


def test_one_header_alone_authenticates_a_call(cloud):
    async def work():
        async with Scripted(reply()) as server:
            upstream = Upstream()
            exchange = await upstream.post(f"{server.url}/x", sent_headers, b"{}", silence=5)
            await exchange.close()
            await upstream.close()
            return server.requests[0][0].decode().lower()

    sent_headers = sent(cloud, {})
    head = asyncio.run(work())
    assert (1, 0) == (head.count("\r\nauthorization: bearer "), head.count("\r\napi-key:"))
    assert MARK in head
