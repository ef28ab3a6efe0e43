"""Exactly one credential goes upstream, in the header that its provider reads."""

import asyncio

import pytest
from support.samples import deployment

from gateway.config.deployment import ApiKey, ClientSecret, DefaultIdentity, StaticToken
from gateway.upstream.credentials import Authorizer, IdentityFailed, headers, renewable, vault_secret

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


class Vault:
    """A vault's secret that has a new value."""

    def __init__(self, value):
        self.value = value
        self.asked = []

    async def renewed(self, name, value):
        self.asked.append((name, value))
        return None if value == self.value else self.value


class Refusing:
    """An issuer that takes one secret alone."""

    def __init__(self, secret, *, refused=True):
        self.secret, self.refused = secret, refused

    async def token(self, identity):
        if identity.client_secret != self.secret:
            raise IdentityFailed(refused=self.refused)
        return f"token for {identity.client_secret}"

    def discard(self, identity, value):
        pass


def authorized(tokens, vault, credential):
    learnt = []
    found = asyncio.run(Authorizer(tokens, vault, learnt.append).headers(deployment(credential=credential)))
    return found, learnt


def test_an_applications_secret_that_the_issuer_refuses_is_looked_for_in_the_vault():
    vault, old = Vault("new"), ClientSecret("t", "c", "old", secret="APP-SECRET")
    headers, learnt = authorized(Refusing("new"), vault, old)
    assert {"authorization": "Bearer token for new"} == headers
    assert (["token for new"], [("APP-SECRET", "old")]) == (learnt, vault.asked)


@pytest.mark.parametrize(
    ("tokens", "secret", "asked"),
    [
        (Refusing("other"), "APP-SECRET", 1),
        (Refusing("new"), None, 0),
        (Refusing("new", refused=False), "APP-SECRET", 0),
    ],
    ids=["the new one is refused, too", "it is none of the vault's", "the issuer is down"],
)
def test_otherwise_there_is_no_token(tokens, secret, asked):
    vault = Vault("new")
    with pytest.raises(IdentityFailed):
        authorized(tokens, vault, ClientSecret("t", "c", "old", secret=secret))
    assert asked == len(vault.asked)


def test_only_what_comes_from_a_vault_can_be_read_there():
    found = [
        vault_secret(deployment(credential=credential))
        for credential in (
            ApiKey("k", "KEY"),
            StaticToken("t", "TOKEN"),
            ClientSecret("t", "c", "s", secret="APP"),
            ApiKey("k"),
            APPLICATION,
            DefaultIdentity(),
        )
    ]
    assert [("KEY", "k"), ("TOKEN", "t"), ("APP", "s"), None, None, None] == found


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
