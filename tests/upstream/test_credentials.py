"""Exactly one credential goes upstream, in the header that its provider reads."""

import asyncio

import pytest
from support.samples import deployment

from gateway.config.deployment import ApiKey, ClientSecret, DefaultIdentity, StaticToken
from gateway.upstream.credentials import headers, renewable

APPLICATION = ClientSecret("tenant", "client", "secret")


class Issued:
    async def token(self, identity):
        return f"token of {type(identity).__name__}"


@pytest.mark.parametrize(
    ("provider", "credential", "expected"),
    [
        ("azure", ApiKey("k"), {"api-key": "k"}),
        ("azure_text", ApiKey("k"), {"api-key": "k"}),
        ("openai", ApiKey("k"), {"authorization": "Bearer k"}),
        ("azure", StaticToken("t"), {"authorization": "Bearer t"}),
        ("azure", APPLICATION, {"authorization": "Bearer token of ClientSecret"}),
        ("azure", DefaultIdentity(), {"authorization": "Bearer token of DefaultIdentity"}),
    ],
)
def test_each_credential_has_its_header(provider, credential, expected):
    member = deployment(provider=provider, credential=credential)
    assert expected == asyncio.run(headers(member, Issued()))


def test_an_organization_is_named_to_openai_only():
    named = {"authorization": "Bearer k", "openai-organization": "org"}
    openai = deployment(provider="openai", credential=ApiKey("k"), organization="org")
    assert named == asyncio.run(headers(openai, Issued()))
    assert {"api-key": "k"} == asyncio.run(
        headers(deployment(credential=ApiKey("k"), organization="org"), Issued())
    )


def test_only_identities_can_be_asked_for_another_token():
    assert [None, None, APPLICATION, DefaultIdentity()] == [
        renewable(deployment(credential=credential))
        for credential in (ApiKey("k"), StaticToken("t"), APPLICATION, DefaultIdentity())
    ]


def test_credentials_do_not_print_their_secrets():
    texts = [
        repr(deployment(credential=credential))
        for credential in (ApiKey("hunter2"), StaticToken("hunter2"), ClientSecret("t", "c", "hunter2"))
    ]
    assert not any("hunter2" in text for text in texts)
