"""One gateway without keys on each host: identities, rotation and revocation, while the vault is looked at seldom.

Every test finds the doubles and the configuration as `equip` leaves them, and is searched for secrets at its end.
"""

from __future__ import annotations

import time

import pytest
from doubles.cloud import running_cloud
from support.keyless import (
    APP,
    APP_SECRET,
    MASTER,
    NEW_UPSTREAM_KEY,
    OTHER,
    TEAM,
    UPSTREAM_KEY,
    Load,
    Watched,
    client,
    equip,
    hashed,
    keyless_member,
    rotate_keys,
    simulated,
    until,
    watched,
)
from support.upstream import member

from simulator.testing import serve

NEW_APP_SECRET = "app-secret-canary-2"


@pytest.fixture(scope="module")
def running(request, tmp_path_factory):
    """The gateway, its doubles and its upstream."""
    with serve(simulated()) as simulator, running_cloud(tmp_path_factory.mktemp("cloud")) as cloud:
        equip(cloud, simulator.url)
        with watched(request.param, cloud) as gateway:
            until(lambda: 200 == gateway.chat().status)
            yield gateway, simulator


@pytest.fixture
def simulator(running):
    return running[1]


@pytest.fixture
def keyless(running) -> Watched:
    found, simulator = running
    cloud = found.cloud
    equip(cloud, simulator.url)
    rotate_keys(simulator, UPSTREAM_KEY)
    simulator.fault("deployment-default")
    assert found.reload().json()["configuration"]["healthy"]
    yield found
    cloud.identity.down = cloud.entra.down = cloud.vault.down = None
    cloud.identity.lifetime = 3600.0
    found.search()


def entra_section(cloud, *entries, **fields):
    return {"tenant_id": cloud.entra.tenant, "audience": "api://gateway", "clients": list(entries)} | fields


def configure(gateway, **sections):
    """Add sections to the operator's part, and let the gateway read it."""
    general = {"general_settings": {"master_key": "keyvault/MASTER_KEY"}}
    gateway.cloud.vault.put("gateway-config", general | sections)
    state = gateway.reload().json()["configuration"]
    assert state["healthy"], state


def test_a_token_of_entra_opens_beside_keys(keyless):
    cloud = keyless.cloud
    configure(keyless, entra=entra_section(cloud, {"client": "team", "roles": ["Chat"]}))
    token = cloud.entra.issue(roles=["Chat"])
    answer = keyless.chat(token)
    assert (200, "team") == (answer.status, keyless.line(answer)["client"])
    assert 200 == keyless.chat(TEAM).status
    assert 401 == keyless.chat(token[:-4] + "AAAA").status
    assert 403 == keyless.chat(cloud.entra.issue()).status


def test_an_outage_of_entra_leaves_known_keys_and_all_others_in_use(keyless):
    cloud = keyless.cloud
    configure(keyless, entra=entra_section(cloud, {"client": "team", "roles": ["Chat"]}))
    assert 200 == keyless.chat(cloud.entra.issue(roles=["Chat"])).status
    cloud.entra.down = 503
    fresh = cloud.entra.issue(roles=["Chat"], uti="another")
    assert [200, 200, 200] == [keyless.chat(key).status for key in (fresh, TEAM, MASTER)]


def test_without_the_tenants_keys_tokens_are_told_to_come_again_and_keys_work(keyless):
    section = entra_section(keyless.cloud, {"client": "team", "roles": ["Chat"]})
    configure(keyless, entra=section | {"tenant_id": "22222222-0000-0000-0000-000000000000"})
    token = keyless.cloud.entra.issue(roles=["Chat"])
    began = time.monotonic()
    answers = [keyless.chat(token) for _ in range(20)]
    assert {(503, "identity_unavailable")} == {(answer.status, answer.error["code"]) for answer in answers}
    assert 1 <= int(answers[0].headers["retry-after"]) <= 60
    assert [200, 200] == [keyless.chat(key).status for key in (TEAM, MASTER)]
    # As with wrong keys: a flood of such tokens is a line a second.
    assert keyless.log().count('"error":"identity_unavailable"') <= time.monotonic() - began + 2


def test_each_user_of_a_client_has_its_limits_for_itself_under_a_pseudonym(keyless):
    cloud = keyless.cloud
    cloud.vault.put("PSEUDONYM-KEY", "pseudonym-canary")
    cloud.vault.put("gateway-clients", {"clients": [client("people", TEAM, limits={"rpm": 2})]})
    configure(
        keyless,
        entra=entra_section(
            cloud,
            {"client": "people", "groups": ["group-1"], "per_user": True},
            pseudonym_key="keyvault/PSEUDONYM_KEY",
        ),
    )
    one, other = (cloud.entra.issue(groups=["group-1"], oid=f"oid-canary-{number}") for number in (1, 2))
    answers = [keyless.chat(key) for key in (one, one, one, other, TEAM)]
    assert [200, 200, 429, 200, 200] == [answer.status for answer in answers]
    names = [keyless.line(answer)["client"] for answer in answers]
    assert (names[0], names[0], "people") == (names[1], names[2], names[4])
    assert len({names[0], names[3], names[4]}) == 3
    assert names[0].startswith("people/")
    page = keyless.call("GET", "/gateway/me", key=one).json()
    assert (names[0], 0) == (page["name"], page["limits"]["remaining_requests"])
    assert "oid-canary" not in keyless.log()


def test_everybody_is_told_who_they_are(keyless):
    """A client, its user, an administrator by role, one by key, the operator; nobody else."""
    cloud = keyless.cloud
    clients = [
        client("team", TEAM, models=["key*"], limits={"rpm": 90}),
        client("boss", "boss-key-canary", admin=True),
    ]
    cloud.vault.put("gateway-clients", {"clients": clients})
    configure(
        keyless,
        entra=entra_section(
            cloud,
            {"client": "team", "groups": ["group-1"], "per_user": True},
            {"client": "team", "roles": ["Chat"]},
            {"admin": True, "roles": ["Gateway.Admin"]},
        ),
    )

    def page(key, method="GET"):
        answer = keyless.call(method, "/gateway/me", key=key)
        if answer.status != 200:
            return answer.status
        found = answer.json()
        limits = found["limits"] and (found["limits"]["rpm"], found["limits"]["remaining_requests"])
        return (
            found["name"].partition("/")[0],
            found["admin"],
            found["models"],
            limits,
            found["expires"] is None,
        )

    everything = ["gpt-4o", "keyless", "application"]
    issue = cloud.entra.issue
    assert ("team", False, ["keyless"], (90, 90), True) == page(TEAM)
    assert ("team", False, ["keyless"], (90, 90), False) == page(issue(roles=["Chat"]))
    assert ("team", False, ["keyless"], (90, 90), False) == page(issue(groups=["group-1"]))
    assert ("admin", True, everything, None, False) == page(issue(roles=["Gateway.Admin"]))
    assert ("boss", True, everything, None, True) == page("boss-key-canary")
    assert ("master", True, everything, None, True) == page(MASTER)
    assert [401, 401, 403, 405] == [page("wrong-canary"), page(None), page(issue()), page(TEAM, "POST")]


def test_only_administrators_may_reload(keyless):
    assert [403, 401, 401] == [keyless.reload(key).status for key in (TEAM, "wrong-canary", None)]
    keyless.cloud.vault.put("gateway-clients", {"clients": [client("new", TEAM)]})
    assert "team" == keyless.call("GET", "/gateway/me").json()["name"]
    reload = keyless.reload()
    assert (200, True, False) == (
        reload.status,
        reload.json()["configuration"]["healthy"],
        reload.json()["everywhere"],
    )
    assert "new" == keyless.call("GET", "/gateway/me").json()["name"]


def test_a_clients_key_is_rotated_under_load_and_revoked_while_its_streams_go_on(keyless, simulator):
    vault = keyless.cloud.vault
    with Load(keyless, key=OTHER) as load, Load(keyless) as old:
        vault.put(
            "gateway-clients",
            {"clients": [client("team", TEAM, "team-key-canary-2"), client("other", OTHER)]},
        )
        keyless.reload()
        assert [200, 200] == [keyless.chat(key).status for key in (TEAM, "team-key-canary-2")]
        old.go_on()
        old.over.set()
        old.join()
        with keyless.streamed() as rest:
            vault.put(
                "gateway-clients", {"clients": [client("team", "team-key-canary-2"), client("other", OTHER)]}
            )
            keyless.reload()
            assert [401, 200] == [keyless.chat(key).status for key in (TEAM, "team-key-canary-2")]
            assert b"[DONE]" in rest()
        load.go_on()
    assert {200} == {*load.statuses, *old.statuses}


def test_a_rotated_upstream_key_is_read_again_when_it_is_refused(keyless, simulator):
    vault = keyless.cloud.vault
    before = vault.count("UPSTREAM-KEY")
    with Load(keyless) as load:
        vault.put("UPSTREAM-KEY", NEW_UPSTREAM_KEY)
        rotate_keys(simulator, NEW_UPSTREAM_KEY)
        load.go_on(60)
    assert {200} == set(load.statuses)
    # One when the old one was refused, one with the whole configuration then.
    assert vault.count("UPSTREAM-KEY") - before <= 3


def test_what_upstream_repeats_of_a_renewed_key_or_a_token_reaches_no_client(keyless, simulator):
    keyless.cloud.vault.put("UPSTREAM-KEY", NEW_UPSTREAM_KEY)
    rotate_keys(simulator, NEW_UPSTREAM_KEY)
    assert [200, 200] == [keyless.chat(model=model).status for model in ("gpt-4o", "keyless")]
    token = dict(simulator.log[-1]["headers"])["authorization"].removeprefix("Bearer ")
    for model, secret in (("gpt-4o", NEW_UPSTREAM_KEY), ("keyless", token)):
        error = {
            "message": f"Invalid value {secret!r}.",
            "type": "invalid_request_error",
            "code": "invalid_value",
        }
        simulator.fault("deployment-default", {"status": 400, "body": {"error": error | {"param": "user"}}})
        answer = keyless.chat(model=model)
        assert (400, "Invalid value '***'.") == (answer.status, answer.error["message"])


def test_a_rotated_client_secret_is_read_again_when_entra_refuses_it(keyless):
    cloud = keyless.cloud
    before = cloud.vault.count("APP-SECRET")
    cloud.vault.put("APP-SECRET", NEW_APP_SECRET)
    cloud.entra.secrets = {APP: NEW_APP_SECRET}
    # The application has not signed in yet in this process: its first token is asked for with the old secret.
    answers = [keyless.chat(model="application") for _ in range(3)]
    assert [200] * 3 == [answer.status for answer in answers]
    assert cloud.vault.count("APP-SECRET") - before <= 3
    assert APP_SECRET != NEW_APP_SECRET


def test_a_client_secret_that_stays_wrong_is_read_seldom_and_told_by_its_code(keyless):
    cloud = keyless.cloud
    application = {
        "tenant_id": cloud.entra.tenant,
        "client_id": "wrong-app",
        "client_secret": "keyvault/WRONG_SECRET",
    }
    cloud.vault.put("WRONG-SECRET", "wrong-secret-canary")
    configure(
        keyless, model_list=[keyless_member("wrong", "http://127.0.0.1:9", num_retries=0, **application)]
    )
    before = cloud.vault.count("WRONG-SECRET")
    answers = [keyless.chat(model="wrong") for _ in range(30)]
    assert {502, 503} >= {answer.status for answer in answers}
    assert cloud.vault.count("WRONG-SECRET") - before <= 6
    assert "the application wrong-app is refused with AADSTS7000215" in keyless.log()


def test_a_key_that_stays_wrong_is_read_seldom_and_no_client_sees_upstreams_401(keyless, simulator):
    cloud = keyless.cloud
    cloud.vault.put("STUCK-KEY", "stuck-key-canary")
    stuck = member("stuck", "deployment-default", simulator.url, api_key="keyvault/STUCK_KEY")
    configure(keyless, model_list=[stuck])
    before = cloud.vault.count("STUCK-KEY")
    statuses = {keyless.chat(model="stuck").status for _ in range(60)}
    assert 401 not in statuses
    assert cloud.vault.count("STUCK-KEY") - before <= 6


def test_an_outage_of_the_identity_endpoint_is_not_felt_while_tokens_live_and_renewals_fail(
    keyless, simulator
):
    """Tokens of 16 s, whose renewal is tried from the eighth on: as a minute is to one of an hour."""
    cloud = keyless.cloud
    cloud.identity.lifetime = 16.0
    brief = keyless_member("brief", simulator.url, azure_scope="https://ai.azure.com/.default")
    configure(keyless, model_list=[brief])
    before = keyless.log().count("no Entra token")
    with Load(keyless, model="brief") as load:
        cloud.identity.down = 400
        until(lambda: keyless.log().count("no Entra token") >= before + 2)
        cloud.identity.down = None
        issued = len(cloud.identity.issued)
        until(lambda: len(cloud.identity.issued) > issued)
        load.go_on()
    assert {200} == set(load.statuses)
    assert keyless.configuration()["healthy"]


def test_a_hash_of_a_key_opens_nothing(keyless):
    assert [401, 401] == [
        keyless.chat(key).status for key in (hashed(TEAM), hashed(TEAM).removeprefix("sha256:"))
    ]
