"""A vault's secrets by the real azure-keyvault-secrets, against a double that speaks TLS and challenges."""

from __future__ import annotations

import asyncio
import gc
import json
import time
import warnings

import pytest
from aiohttp import web
from doubles.cloud import running_cloud
from doubles.server import CUT, HANG
from doubles.vault import KeyVault
from support.certificates import make_authority

from gateway.adapters import keyvault
from gateway.adapters.identity import EntraTokens, SdkCredential
from gateway.adapters.keyvault import VaultSecrets
from gateway.config.vault import SecretMissing, SecretUnavailable

pytestmark = pytest.mark.system


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    with running_cloud(tmp_path) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        keyvault.load()  # may take a busy machine longer than any operation should
        yield running


def run(cloud, test, verify=None):
    """Run `test(vault)` on a fresh reader of the vault, which trusts the doubles' authority unless told otherwise."""

    async def work():
        own = str(cloud.authority.file)
        tokens = EntraTokens(time.time, verify=own)
        vault = VaultSecrets(cloud.vault.url, tokens, verify=verify or own)
        try:
            return await test(vault)
        finally:
            await vault.close()
            await tokens.close()

    return asyncio.run(work())


def failure(cloud, test, **options):
    with pytest.raises(SecretUnavailable) as caught:
        run(cloud, test, **options)
    assert "canary" not in str(caught.value)
    return str(caught.value)


def test_the_newest_version_is_read_after_one_challenge(cloud):
    cloud.vault.put("one", "old")
    new = cloud.vault.put("one", "new")

    async def test(vault):
        return [await vault.read("one") for _ in range(3)]

    assert {("new", new.id)} == {(secret.value, secret.version) for secret in run(cloud, test)}
    assert 1 == sum("authorization" not in asked.headers for asked in cloud.vault.requests)
    assert [f"https://0.0.1:{cloud.vault.port}"] == [resource for resource, _ in cloud.identity.issued]


def test_fifty_reads_at_once_cost_one_token(cloud):
    for number in range(50):
        cloud.vault.put(f"s-{number}", str(number))

    async def test(vault):
        return await asyncio.gather(*(vault.read(f"s-{number}") for number in range(50)))

    assert [str(number) for number in range(50)] == [secret.value for secret in run(cloud, test)]
    assert 1 == len(cloud.identity.issued)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_secret_that_is_absent_or_deleted_is_missing(cloud, deleted):
    if deleted:
        cloud.vault.put("gone", "x")
        cloud.vault.delete("gone")
    with pytest.raises(SecretMissing):
        run(cloud, lambda vault: vault.read("gone"))


def test_a_disabled_secret_is_told_apart_from_a_missing_role(cloud):
    cloud.vault.put("off", "x", enabled=False)
    assert failure(cloud, lambda vault: vault.read("off")).startswith("it is disabled")
    cloud.vault.readers = set()
    assert keyvault.READER_ROLE in failure(cloud, lambda vault: vault.read("off"))
    cloud.vault.officers = set()
    assert keyvault.WRITER_ROLE in failure(cloud, lambda vault: vault.write("off", "y", "text/plain"))


@pytest.mark.parametrize("faults", [[429], [503, 503], [CUT], [500]])
def test_a_passing_fault_is_not_felt(cloud, faults):
    cloud.vault.put("one", "x")

    async def test(vault):
        await vault.read("one")
        cloud.vault.faults = list(faults)
        return (await vault.read("one")).value

    assert "x" == run(cloud, test)


def test_a_lasting_fault_is_told_by_its_status(cloud):
    cloud.vault.down = 503
    assert "the vault answers 503" == failure(cloud, lambda vault: vault.read("one"))


def reply(body, *, status=200, content_type="application/json", **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda: web.Response(body=data, status=status, content_type=content_type, headers=headers)


ITEM = {"id": "https://vault/secrets/one/0123", "attributes": {"enabled": True}, "value": "x"}


@pytest.mark.parametrize(
    "odd",
    [
        reply(b""),
        reply(b'{"id": "https://vault/secrets/one/1", "val'),
        reply(b"<html>sign in</html>", content_type="text/html"),
        reply([]),
        reply("value"),
        reply({}),
        reply({**ITEM, "value": None}),
        reply(b"", status=204),
    ],
    ids=[
        "empty",
        "torn",
        "page",
        "list",
        "text",
        "nothing",
        "null",
        "204",
    ],
)
def test_a_reply_that_holds_no_value_is_a_failure_of_the_vault(cloud, odd):
    cloud.vault.put("one", "x")
    cloud.vault.odd = odd
    assert "the vault's answer cannot be read" == failure(cloud, lambda vault: vault.read("one"))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_another_host_is_not_asked_for_the_vaults_secrets(cloud, status, tmp_path):
    cloud.vault.put("one", "x")
    with KeyVault(cloud.authority.server_context("127.0.0.1")) as other:
        other.put("one", "of another")
        cloud.vault.odd = reply(b"", status=status, Location=f"{other.url}/secrets/one/?api-version=7.5")
        assert f"the vault answers {status}" == failure(cloud, lambda vault: vault.read("one"))
        assert [] == other.requests


def test_a_reply_that_nothing_has_changed_is_no_value(cloud):
    cloud.vault.put("one", "x")
    cloud.vault.odd = reply(b"", status=304)
    assert "the vault answers 304" == failure(cloud, lambda vault: vault.read("one"))


@pytest.mark.parametrize(
    "odd",
    [
        reply(ITEM, content_type="text/plain"),
        reply(ITEM, content_type="application/octet-stream"),
        reply({**ITEM, "more": [1]}),
        reply({**ITEM, "attributes": []}),
        reply({**ITEM, "value": ["x"]}),
    ],
    ids=["plain text", "bytes", "more than is known", "attributes", "list"],
)
def test_a_value_in_an_unusual_reply_is_read_or_a_failure_of_the_vault(cloud, odd):
    cloud.vault.put("one", "x")
    cloud.vault.odd = odd
    try:
        found = run(cloud, lambda vault: vault.read("one")).value
    except SecretUnavailable as error:
        found = str(error)
    assert found in {"x", "['x']", "the vault's answer cannot be read"}


def test_a_hanging_vault_is_given_up_in_our_own_time(cloud, monkeypatch):
    monkeypatch.setattr(keyvault, "OPERATION_SECONDS", 0.5)
    cloud.vault.down = HANG
    assert "the vault does not answer in time" == failure(cloud, lambda vault: vault.read("one"))

    # On a busy machine the time is over within TLS's handshake, and the loop before its connection is closed. The
    # collector would tell of that in the middle of another test.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


def test_a_vault_that_is_not_there_is_told_so(cloud):
    cloud.vault.stop()
    assert failure(cloud, lambda vault: vault.read("one")).startswith("the vault cannot be reached")


def test_a_certificate_that_is_not_trusted_is_told_so(cloud, tmp_path_factory):
    other = make_authority(tmp_path_factory.mktemp("other"))
    assert "SSL_CERT_FILE" in failure(cloud, lambda vault: vault.read("one"), verify=str(other.file))


def test_without_an_identity_it_says_so(cloud):
    cloud.identity.system = False
    assert failure(cloud, lambda vault: vault.read("one")).startswith("no identity can sign in")


def test_a_vault_that_challenges_for_another_domain_gets_no_token(cloud):
    cloud.vault.resource = "https://attacker.example"
    failure(cloud, lambda vault: vault.read("one"))
    assert [] == cloud.identity.issued


def test_a_token_that_is_refused_is_replaced(cloud):
    cloud.vault.put("one", "x")

    async def test(vault):
        await vault.read("one")
        cloud.vault.faults = [401]
        return (await vault.read("one")).value

    assert "x" == run(cloud, test)
    assert len(cloud.identity.issued) > 1


def test_a_secret_is_written_as_a_new_version(cloud):
    async def test(vault):
        version = await vault.write("one", "a: 1\n", "application/yaml")
        return version, await vault.read("one")

    version, secret = run(cloud, test)
    assert ("a: 1\n", version) == (secret.value, secret.version)
    assert "application/yaml" == cloud.vault.secrets["one"][-1].content_type


def test_a_name_that_a_deleted_secret_still_has_cannot_be_written(cloud):
    cloud.vault.put("one", "x")
    cloud.vault.delete("one")
    assert failure(cloud, lambda vault: vault.write("one", "y", "text/plain")).startswith("a deleted secret")


def test_the_double_lists_in_pages_as_azure_does(cloud):
    """The doubles' own behaviour that the gateway does not use, as the SDK sees it."""
    for number in range(60):
        cloud.vault.put(f"s-{number}", "x")
    cloud.vault.put("s-0", "y")

    async def work():
        from azure.keyvault.secrets.aio import SecretClient

        verify = str(cloud.authority.file)
        tokens = EntraTokens(time.time, verify=verify)
        async with SecretClient(cloud.vault.url, SdkCredential(tokens), connection_verify=verify) as client:
            names = [item.name async for item in client.list_properties_of_secrets()]
            versions = [item.version async for item in client.list_properties_of_secret_versions("s-0")]
        await tokens.close()
        return names, versions

    names, versions = asyncio.run(work())
    assert ([f"s-{number}" for number in range(60)], 2) == (names, len(versions))
