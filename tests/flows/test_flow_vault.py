"""The running gateway with its configuration and secrets in a vault, by managed identity, without any key in a setting."""

from __future__ import annotations

import hashlib
import json
import threading
import time

import pytest
from doubles.cloud import VAULT_HOST, running_cloud
from doubles.identity import HEADER
from doubles.proxy import TunnelProxy
from doubles.server import HANG
from doubles.tokens import MARK
from support.azurite import Azurite, require_azurite
from support.calls import MESSAGES, call, opened, wait_for
from support.gateways import start_gateway
from support.upstream import member, simulator_config

from simulator.testing import serve

MASTER, TEAM, OTHER = "master-key-canary", "team-key-canary", "other-key-canary"
UPSTREAM_KEY, NEW_UPSTREAM_KEY = "upstream-key-canary-1", "upstream-key-canary-2"
SECRETS = (MASTER, TEAM, OTHER, UPSTREAM_KEY, NEW_UPSTREAM_KEY, MARK, HEADER)
#: What no reply may name.
PLACES = (
    "vault-canary",
    "gateway-config",
    "gateway-clients",
    "gateway-deployments",
    "MASTER-KEY",
    "UPSTREAM-KEY",
)
QUICK = {"GATEWAY_REFRESH_SECONDS": "0.4"}


def hashed(key):
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def client(name, *keys, **fields):
    return {"name": name, "keys": [hashed(key) for key in keys]} | fields


@pytest.fixture
def simulator():
    """A simulator whose keys are the test's to rotate."""
    config = simulator_config()
    config["accounts"][0]["keys"] = [UPSTREAM_KEY]
    with serve(config) as running:
        yield running


@pytest.fixture
def cloud(tmp_path, simulator):
    """Doubles with a configuration of three parts in the vault."""
    with running_cloud(tmp_path) as running:
        vault = running.vault
        keyed = member("gpt-4o", "deployment-default", simulator.url, api_key="keyvault/UPSTREAM_KEY")
        keyless = member("keyless", "deployment-default", simulator.url)
        del keyless["litellm_params"]["api_key"]
        vault.put("gateway-deployments", {"model_list": [keyed, keyless]})
        vault.put("gateway-config", "general_settings:\n  master_key: keyvault/MASTER_KEY\n")
        vault.put("gateway-clients", {"clients": [client("team", TEAM), client("other", OTHER)]})
        vault.put("MASTER-KEY", MASTER)
        vault.put("UPSTREAM-KEY", UPSTREAM_KEY + "\n")
        yield running


def chat(gateway, key=TEAM, model="gpt-4o", **more):
    body = {"model": model, "messages": MESSAGES} | more
    return call(gateway.port, "POST", "/v1/chat/completions", body, key=key)


def configuration(gateway):
    return call(gateway.port, "GET", "/readyz", key=MASTER).json()["configuration"]


def until(condition, seconds=20):
    """Wait for `condition`; say what it was in the end."""
    found = wait_for(condition, seconds)
    assert found, found
    return found


class Load(threading.Thread):
    """Calls one after the other until it is told to stop; what they were answered."""

    def __init__(self, gateway, **options):
        super().__init__()
        self.gateway, self.options = gateway, options
        self.statuses = []
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            self.statuses.append(chat(self.gateway, **self.options).status)

    def __enter__(self):
        self.start()
        until(lambda: len(self.statuses) > 3)
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def test_without_any_key_in_a_setting_calls_are_answered(host, cloud, simulator):
    with start_gateway(host, None, **cloud.environment) as gateway:
        answers = [chat(gateway, model=model) for model in ("gpt-4o", "keyless")]
        seen = len(cloud.vault.requests)
        answers += [chat(gateway) for _ in range(20)]
        page = call(gateway.port, "GET", "/readyz", key=MASTER).json()
        log = gateway.log()

    assert [200] * 22 == [answer.status for answer in answers]
    assert (True, None) == (page["configuration"]["healthy"], page["configuration"]["reason"])
    # Nothing on a request's path: the vault is not asked again.
    assert seen == len(cloud.vault.requests)
    assert 1 == max(map(cloud.vault.count, ("gateway-config", "MASTER-KEY", "UPSTREAM-KEY")))
    by_key, by_token = (dict(entry["headers"]) for entry in simulator.log[:2])
    assert (UPSTREAM_KEY, None) == (by_key.get("api-key"), by_key.get("authorization"))
    assert (None, True) == (by_token.get("api-key"), by_token["authorization"].startswith("Bearer "))
    resources = [resource for resource, _ in cloud.identity.issued]
    assert [f"https://0.0.1:{cloud.vault.port}", "https://cognitiveservices.azure.com"] == resources
    assert [] == [secret for secret in SECRETS if secret in log]


def test_two_hundred_calls_at_once_cost_one_token(cloud):
    with start_gateway("embedded", None, **cloud.environment) as gateway:
        chat(gateway)
        cloud.identity.delay = 0.3
        threads = [threading.Thread(target=chat, args=(gateway, TEAM, "keyless")) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 1 == [resource for resource, _ in cloud.identity.issued].count(
        "https://cognitiveservices.azure.com"
    )


@pytest.mark.parametrize("fault", [503, 403, "stopped"])
def test_until_the_vault_answers_the_gateway_says_that_it_is_not_ready_and_heals_by_itself(
    host, cloud, fault
):
    if fault == "stopped":
        cloud.vault.stop()
    else:
        cloud.vault.down = fault
    with start_gateway(host, None, **cloud.environment) as gateway:
        answer = chat(gateway)
        assert (503, "gateway_not_ready") == (answer.status, answer.error["code"])
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert 503 == call(gateway.port, "GET", "/readyz").status
        assert 200 == call(gateway.port, "GET", "/healthz", key=None).status
        asked = len(cloud.vault.requests)
        assert {503} == {chat(gateway).status for _ in range(50)}
        assert len(cloud.vault.requests) - asked < 50
        if fault == "stopped":
            cloud.vault.start()
        cloud.vault.down = None
        until(lambda: 200 == chat(gateway).status, 45)
        log = gateway.log()
    if fault == 403:
        assert "Key Vault Secrets User (4633458b-17de-408a-b874-0445c86b69e6)" in log
    assert "vault-canary" not in log + answer.body.decode()


def test_a_hanging_vault_holds_a_request_for_twenty_seconds_at_most_and_the_gateway_heals(cloud):
    cloud.vault.down = HANG
    with start_gateway("embedded", None, **cloud.environment) as gateway:
        began = time.monotonic()
        assert 503 == chat(gateway).status
        assert time.monotonic() - began < 21
        cloud.vault.down = None
        until(lambda: 200 == chat(gateway).status, 60)


def test_a_missing_secret_heals_when_it_is_there_without_a_new_document(cloud):
    cloud.vault.delete("UPSTREAM-KEY")
    with start_gateway("embedded", None, **cloud.environment) as gateway:
        assert 503 == chat(gateway).status
        until(
            lambda: "litellm_params.api_key: the vault's secret UPSTREAM-KEY does not exist" in gateway.log()
        )
        cloud.vault.put("UPSTREAM-KEY", UPSTREAM_KEY)
        until(lambda: 200 == chat(gateway).status, 45)


def test_a_change_takes_effect_without_a_restart_and_disturbs_no_call(host, cloud, simulator):
    simulator.fault("deployment-default")
    with start_gateway(host, None, **cloud.environment, **QUICK) as gateway, Load(gateway, key=OTHER) as load:
        assert 401 == chat(gateway, key="new-key").status
        body = {"model": "gpt-4o", "messages": MESSAGES, "stream": True}
        with opened(gateway.port, "POST", "/v1/chat/completions", body, key=TEAM) as stream:
            cloud.vault.put(
                "gateway-clients", {"clients": [client("new", "new-key"), client("other", OTHER)]}
            )
            until(lambda: 200 == chat(gateway, key="new-key").status)
            until(lambda: 401 == chat(gateway, key=TEAM).status)
            assert b"[DONE]" in stream.read()
        done = len(load.statuses)
        until(lambda: len(load.statuses) > done + 5)
    assert {200} == set(load.statuses)


def test_an_invalid_version_is_refused_told_once_and_the_last_good_one_stays(cloud):
    with start_gateway("embedded", None, **cloud.environment, **QUICK) as gateway:
        assert 200 == chat(gateway).status
        cloud.vault.put("gateway-clients", {"clients": [{"name": "team", "keys": ["clear-key-canary"]}]})
        state = until(lambda: (found := configuration(gateway)) and not found["healthy"] and found)
        time.sleep(1.5)
        assert (200, 200) == (chat(gateway).status, call(gateway.port, "GET", "/readyz").status)
        assert 1 == gateway.log().count("gateway-clients: clients[0].keys[0]: must be")
        assert "clients[0].keys[0]: must be" in state["reason"]
        assert [] == [place for place in PLACES if place in json.dumps(state)]
        assert "clear-key-canary" not in gateway.log() + json.dumps(state)
        cloud.vault.put("gateway-clients", {"clients": [client("team", TEAM)]})
        until(lambda: configuration(gateway)["healthy"])


@pytest.mark.parametrize(
    "break_",
    [
        lambda vault: vault.delete("gateway-clients"),
        lambda vault: setattr(vault.put("gateway-clients", {}), "enabled", False),
    ],
    ids=["deleted", "disabled"],
)
def test_a_part_that_is_gone_is_a_failure_and_no_empty_part(cloud, break_):
    with start_gateway("embedded", None, **cloud.environment, **QUICK) as gateway:
        assert 200 == chat(gateway).status
        break_(cloud.vault)
        until(lambda: not configuration(gateway)["healthy"])
        assert 200 == chat(gateway).status


def test_an_outage_of_the_vault_at_a_refresh_changes_nothing(cloud):
    with start_gateway("embedded", None, **cloud.environment, **QUICK) as gateway:
        assert 200 == chat(gateway).status
        with Load(gateway) as load:
            for fault in (503, 429, 403, HANG):
                cloud.vault.down = fault
                time.sleep(1.5)
            cloud.vault.down = None
            cloud.vault.put(
                "gateway-clients", {"clients": [client("team", TEAM), client("late", "late-key")]}
            )
            until(lambda: 200 == chat(gateway, key="late-key").status, 45)
        assert {200} == set(load.statuses)
        assert configuration(gateway)["healthy"]


def rotate_keys(simulator, *keys):
    """Let these keys alone open the simulated resource."""
    account = simulator.simulator.config.accounts[0]
    object.__setattr__(account, "keys", tuple(keys))


def test_a_rotated_upstream_key_is_read_again_when_it_is_refused(cloud, simulator):
    with start_gateway("embedded", None, **cloud.environment) as gateway, Load(gateway) as load:
        cloud.vault.put("UPSTREAM-KEY", NEW_UPSTREAM_KEY)
        rotate_keys(simulator, NEW_UPSTREAM_KEY)
        done = len(load.statuses)
        until(lambda: len(load.statuses) > done + 60)
        reads = cloud.vault.count("UPSTREAM-KEY")
        log = gateway.log()
    assert {200} == set(load.statuses)
    # One at the start, one when the old one was refused, one with the whole configuration then.
    assert reads <= 4
    assert [] == [secret for secret in SECRETS if secret in log]


def test_a_key_that_stays_wrong_is_read_seldom_and_no_client_sees_upstreams_401(cloud, simulator):
    rotate_keys(simulator, "nobody-knows")
    with start_gateway("embedded", None, **cloud.environment) as gateway:
        statuses = {chat(gateway).status for _ in range(60)}
    assert 401 not in statuses
    assert cloud.vault.count("UPSTREAM-KEY") <= 1 + 6


def test_an_outage_of_the_identity_endpoint_is_not_felt_while_tokens_live(cloud):
    with start_gateway("embedded", None, **cloud.environment, **QUICK) as gateway:
        assert 200 == chat(gateway, model="keyless").status
        cloud.identity.stop()
        with Load(gateway, model="keyless") as load:
            time.sleep(3)
        cloud.identity.start()
        assert {200} == set(load.statuses)
        assert configuration(gateway)["healthy"]


def test_tokens_that_expire_under_load_are_renewed_ahead(cloud):
    cloud.identity.lifetime = 33.0
    with (
        start_gateway("embedded", None, **cloud.environment) as gateway,
        Load(gateway, model="keyless") as load,
    ):
        time.sleep(8)
    assert {200} == set(load.statuses)


def test_a_token_of_entra_opens_beside_keys(cloud):
    token = cloud.entra.issue(roles=["Chat"])
    section = {
        "tenant_id": cloud.entra.tenant,
        "audience": "api://gateway",
        "clients": [{"client": "team", "roles": ["Chat"]}],
    }
    cloud.vault.put("gateway-config", {"entra": section})
    with start_gateway("embedded", None, **cloud.environment) as gateway:
        answer = chat(gateway, key=token)
        assert 200 == answer.status
        assert "team" == gateway.lines(answer.headers["x-request-id"])[0]["client"]
        assert 401 == chat(gateway, key=token[:-4] + "AAAA").status
        assert 403 == chat(gateway, key=cloud.entra.issue()).status
        assert token not in gateway.log()


def test_a_file_goes_before_the_vault_and_may_refer_to_its_secrets(host, cloud, simulator):
    entry = member("of-file", "deployment-default", simulator.url, api_key="keyvault/UPSTREAM_KEY")
    document = {"model_list": [entry], "general_settings": {"master_key": MASTER}}
    with start_gateway(host, document, **cloud.environment) as gateway:
        until(lambda: 200 == chat(gateway, key=MASTER, model="of-file").status)
        assert 401 == chat(gateway, key=TEAM).status
    assert {"UPSTREAM-KEY"} == set(cloud.vault.reads)


def test_revocation_reaches_three_instances_within_five_seconds(cloud):
    """Two of them busy, one that has slept."""
    require_azurite()
    with Azurite() as azurite:
        settings = cloud.environment | {"AzureWebJobsStorage": azurite.connection_string}
        with (
            start_gateway("embedded", None, **settings) as one,
            start_gateway("embedded", None, **settings) as two,
            start_gateway("embedded", None, **settings) as sleeping,
            Load(two, key=OTHER) as load,
        ):
            assert [200] * 3 == [chat(gateway).status for gateway in (one, two, sleeping)]
            time.sleep(5)
            cloud.vault.put("gateway-clients", {"clients": [client("other", OTHER)]})
            reload = call(one.port, "POST", "/gateway/reload", key=MASTER)
            revoked = time.monotonic()
            assert (200, True) == (reload.status, reload.json()["everywhere"])
            assert 401 == chat(one).status
            assert 401 == chat(sleeping).status
            until(lambda: 401 == chat(two).status, 10)
            assert time.monotonic() - revoked < 5
        assert {200} == set(load.statuses)


def test_only_administrators_may_reload(cloud):
    with start_gateway("embedded", None, **cloud.environment) as gateway:
        answers = [call(gateway.port, "POST", "/gateway/reload", key=key) for key in (TEAM, "wrong", None)]
        assert [403, 401, 401] == [answer.status for answer in answers]
        cloud.vault.put("gateway-clients", {"clients": [client("new", TEAM)]})
        assert "team" == call(gateway.port, "GET", "/gateway/me", key=TEAM).json()["name"]
        reload = call(gateway.port, "POST", "/gateway/reload", key=MASTER)
        assert (200, True, False) == (
            reload.status,
            reload.json()["configuration"]["healthy"],
            reload.json()["everywhere"],
        )
        assert "new" == call(gateway.port, "GET", "/gateway/me", key=TEAM).json()["name"]


def test_a_vault_of_azures_own_name_is_reached_through_a_companys_proxy(host, cloud):
    cloud.vault.resource = "https://vault.azure.net"
    proxy = TunnelProxy({f"{VAULT_HOST}:443": cloud.vault.port})
    with proxy.in_thread():
        settings = cloud.environment | {
            "KEY_VAULT_URL": f"https://{VAULT_HOST}",
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
            "NO_PROXY": "127.0.0.1",
        }
        with start_gateway(host, None, **settings) as gateway:
            assert 200 == chat(gateway).status
    assert {f"{VAULT_HOST}:443"} == set(proxy.asked)
    assert "https://vault.azure.net" in {resource for resource, _ in cloud.identity.issued}


def test_certificates_may_be_named_as_requests_names_them(cloud):
    settings = {name: value for name, value in cloud.environment.items() if name != "SSL_CERT_FILE"}
    with start_gateway("embedded", None, **settings, REQUESTS_CA_BUNDLE=str(cloud.authority.file)) as gateway:
        assert 200 == chat(gateway).status


def test_each_user_of_a_client_has_its_limits_for_itself_under_a_pseudonym(cloud):
    section = {
        "tenant_id": cloud.entra.tenant,
        "audience": "api://gateway",
        "pseudonym_key": "keyvault/PSEUDONYM_KEY",
        "clients": [{"client": "people", "groups": ["group-1"], "per_user": True}],
    }
    cloud.vault.put("PSEUDONYM-KEY", "pseudonym-canary")
    cloud.vault.put("gateway-config", {"entra": section})
    cloud.vault.put("gateway-clients", {"clients": [client("people", TEAM, limits={"rpm": 2})]})
    one, other = (cloud.entra.issue(groups=["group-1"], oid=f"oid-canary-{number}") for number in (1, 2))
    with start_gateway("embedded", None, **cloud.environment) as gateway:
        answers = [chat(gateway, key=key) for key in (one, one, one, other, TEAM)]
        assert [200, 200, 429, 200, 200] == [answer.status for answer in answers]
        lines = [gateway.lines(answer.headers["x-request-id"])[0] for answer in answers]
        names = [line["client"] for line in lines]
        assert (names[0], names[0], "people") == (names[1], names[2], names[4])
        assert len({names[0], names[3], names[4]}) == 3
        assert names[0].startswith("people/")
        page = call(gateway.port, "GET", "/gateway/me", key=one)
        assert (names[0], 0) == (page.json()["name"], page.json()["limits"]["remaining_requests"])
        seen = gateway.log() + page.body.decode()
    assert [] == [text for text in ("oid-canary", "pseudonym-canary", one, TEAM) if text in seen]
