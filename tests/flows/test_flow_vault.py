"""The running gateway with its configuration and secrets in a vault: at refreshes, and on many instances."""

from __future__ import annotations

import json
import threading
import time

import pytest
from doubles.cloud import VAULT_HOST, running_cloud
from doubles.proxy import TunnelProxy
from doubles.server import HANG
from support.azurite import empty_account
from support.keyless import (
    MASTER,
    OTHER,
    PLACES,
    QUICK,
    TEAM,
    UPSTREAM_KEY,
    Load,
    Watched,
    client,
    equip,
    until,
    watched,
)
from support.upstream import member

CLIENTS = {"clients": [client("team", TEAM), client("other", OTHER)]}


@pytest.fixture(scope="module")
def hasty(request, azure, tmp_path_factory):
    """A gateway that looks at the vault every 0.4 s."""
    with running_cloud(tmp_path_factory.mktemp("cloud")) as cloud:
        equip(cloud, azure.url)
        with watched(request.param, cloud, **QUICK) as gateway:
            until(lambda: 200 == gateway.chat().status)
            yield gateway


@pytest.fixture
def keyless(hasty) -> Watched:
    """The same, with a vault as `equip` leaves it."""
    assert hasty.reload().json()["configuration"]["healthy"]
    yield hasty
    hasty.cloud.vault.down = None
    hasty.cloud.vault.put("gateway-clients", CLIENTS)
    until(lambda: hasty.reload().json()["configuration"]["healthy"])
    hasty.search()


def test_without_any_key_in_a_setting_calls_are_answered(host, cloud, azure):
    with watched(host, cloud) as gateway:
        answers = [gateway.chat(model=model) for model in ("gpt-4o", "keyless")]
        seen = len(cloud.vault.requests)
        answers += [gateway.chat() for _ in range(20)]
        configured = gateway.configuration()

    assert [200] * 22 == [answer.status for answer in answers]
    assert (True, None) == (configured["healthy"], configured["reason"])
    # Nothing on a request's path: the vault is not asked again.
    assert seen == len(cloud.vault.requests)
    assert 1 == max(map(cloud.vault.count, ("gateway-config", "MASTER-KEY", "UPSTREAM-KEY")))
    by_key, by_token = (dict(entry["headers"]) for entry in azure.log[:2])
    assert (UPSTREAM_KEY, None) == (by_key.get("api-key"), by_key.get("authorization"))
    assert (None, True) == (by_token.get("api-key"), by_token["authorization"].startswith("Bearer "))
    resources = [resource for resource, _ in cloud.identity.issued]
    assert [f"https://0.0.1:{cloud.vault.port}", "https://cognitiveservices.azure.com"] == resources


def test_two_hundred_calls_at_once_cost_one_token(cloud):
    with watched("embedded", cloud) as gateway:
        gateway.chat()
        cloud.identity.delay = 0.3
        threads = [threading.Thread(target=gateway.chat, args=(TEAM, "keyless")) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 1 == [resource for resource, _ in cloud.identity.issued].count(
        "https://cognitiveservices.azure.com"
    )


def test_a_change_takes_effect_without_a_restart_and_disturbs_no_call(keyless):
    new = "new-key-canary"
    with Load(keyless, key=OTHER) as load:
        assert 401 == keyless.chat(new).status
        with keyless.streamed() as rest:
            keyless.cloud.vault.put(
                "gateway-clients", {"clients": [client("new", new), client("other", OTHER)]}
            )
            until(lambda: 200 == keyless.chat(new).status)
            until(lambda: 401 == keyless.chat().status)
            assert b"[DONE]" in rest()
        load.go_on()
    assert {200} == set(load.statuses)


def test_an_invalid_version_is_refused_told_once_and_the_last_good_one_stays(keyless):
    vault = keyless.cloud.vault
    assert 200 == keyless.chat().status
    vault.put("gateway-clients", {"clients": [{"name": "team", "keys": ["clear-key-canary"]}]})
    state = until(lambda: (found := keyless.configuration()) and not found["healthy"] and found)
    seen = vault.count("gateway-clients")
    until(lambda: vault.count("gateway-clients") > seen + 2)
    assert (200, 200) == (keyless.chat().status, keyless.call("GET", "/readyz").status)
    assert 1 == keyless.log().count("gateway-clients: clients[0].keys[0]: must be")
    assert "clients[0].keys[0]: must be" in state["reason"]
    assert "clear-key-canary" not in keyless.log() + json.dumps(state)
    assert [] == [place for place in PLACES if place in json.dumps(state)]
    vault.put("gateway-clients", CLIENTS)
    until(lambda: keyless.configuration()["healthy"])


@pytest.mark.parametrize("how", ["deleted", "disabled"])
def test_a_part_that_is_gone_is_a_failure_and_no_empty_part(keyless, how):
    vault = keyless.cloud.vault
    if how == "deleted":
        vault.delete("gateway-clients")
    else:
        vault.put("gateway-clients", {}, enabled=False)
    until(lambda: not keyless.configuration()["healthy"])
    assert 200 == keyless.chat().status


def test_an_earlier_version_may_come_back(keyless):
    vault = keyless.cloud.vault
    first = vault.secrets["gateway-clients"][-1]
    vault.put("gateway-clients", {"clients": [client("new", "new-key-canary")]})
    until(lambda: 200 == keyless.chat("new-key-canary").status)
    vault.secrets["gateway-clients"].append(first)
    until(lambda: 200 == keyless.chat().status)
    assert 401 == keyless.chat("new-key-canary").status


def test_an_outage_of_the_vault_at_a_refresh_changes_nothing(keyless):
    vault = keyless.cloud.vault
    with Load(keyless) as load:
        for fault in (503, 429, 403, 302, HANG):
            asked = len(vault.requests)
            vault.down = fault
            until(lambda asked=asked: len(vault.requests) > asked)
            load.go_on()
        vault.down = None
        vault.put("gateway-clients", {"clients": [client("team", TEAM), client("late", "late-key-canary")]})
        until(lambda: 200 == keyless.chat("late-key-canary").status)
    assert {200} == set(load.statuses)
    assert keyless.configuration()["healthy"]


def test_a_file_goes_before_the_vault_and_may_refer_to_its_secrets(host, cloud, azure):
    entry = member("of-file", "deployment-default", azure.url, api_key="keyvault/UPSTREAM_KEY")
    document = {"model_list": [entry], "general_settings": {"master_key": MASTER}}
    with watched(host, cloud, document) as gateway:
        until(lambda: 200 == gateway.chat(MASTER, "of-file").status)
        assert 401 == gateway.chat().status
    assert {"UPSTREAM-KEY"} == set(cloud.vault.reads)


def test_a_revocation_reaches_three_instances(host, cloud):
    """Two of them busy, one that has slept. How soon: tests/sharing/test_reload_mark.py."""
    storage = {"AzureWebJobsStorage": empty_account().connection_string}
    with (
        watched(host, cloud, **storage) as one,
        watched(host, cloud, **storage) as two,
        watched(host, cloud, **storage) as sleeping,
        Load(two, key=OTHER) as load,
    ):
        assert [200] * 3 == [gateway.chat().status for gateway in (one, two, sleeping)]
        time.sleep(5)
        cloud.vault.put("gateway-clients", {"clients": [client("other", OTHER)]})
        # The store has half a second to take the mark, and to give it to the one that slept.
        until(lambda: one.reload().json()["everywhere"])
        assert 401 == one.chat().status
        until(lambda: 401 == sleeping.chat().status)
        until(lambda: 401 == two.chat().status)
    assert {200} == set(load.statuses)


def test_a_vault_of_azures_own_name_is_reached_through_a_companys_proxy(host, cloud):
    cloud.vault.resource = "https://vault.azure.net"
    proxy = TunnelProxy({f"{VAULT_HOST}:443": cloud.vault.port})
    with proxy.in_thread():
        settings = {
            "KEY_VAULT_URL": f"https://{VAULT_HOST}",
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
            "NO_PROXY": "127.0.0.1",
        }
        with watched(host, cloud, **settings) as gateway:
            assert 200 == gateway.chat().status
    assert {f"{VAULT_HOST}:443"} == set(proxy.asked)
    assert "https://vault.azure.net" in {resource for resource, _ in cloud.identity.issued}


def test_certificates_may_be_named_as_requests_names_them(cloud):
    settings = {"SSL_CERT_FILE": "", "REQUESTS_CA_BUNDLE": str(cloud.authority.file)}
    with watched("embedded", cloud, **settings) as gateway:
        assert 200 == gateway.chat().status
