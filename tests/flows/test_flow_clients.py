"""Clients of the running gateway: each with its keys, its models and its limits."""

from __future__ import annotations

import hashlib
import json
import time

import pytest
from support.calls import KEY, MESSAGES, call, wait_for
from support.gateways import start_gateway
from support.upstream import member

from gateway.server.routes import routes

TEAM, OTHER, SHADOW, ADMIN, EXPIRED, NAMER, WILD = (
    f"key-of-{name}" for name in ("team", "other", "shadow", "admin", "old", "namer", "wild")
)


def hashed(key):
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def document(base):
    models = ["gpt-4o", "gpt-4o-mini", "secret/model", "embed"]
    entries = [member(name, "deployment-default", base) for name in models]
    entries.append(member("any/*", "*", base))
    return {
        "model_list": entries,
        "router_settings": {
            "fallbacks": [{"gpt-4o-mini": ["secret/model"]}],
            "model_group_alias": {"alias-1": {"model": "secret/model", "hidden": True}},
        },
        "clients": [
            {"name": "team", "keys": [hashed(TEAM)], "models": ["gpt-*"], "limits": {"rpm": 1000}},
            {
                "name": "other",
                "keys": [hashed(OTHER), {"hash": hashed(EXPIRED), "expires": "2020-01-01T00:00:00Z"}],
                "limits": {"rpm": 3, "models": {"gpt-4o": {"rpm": 2}}},
            },
            {"name": "shadow", "keys": [hashed(SHADOW)], "limits": {"rpm": 1}, "shadow": True},
            {"name": "admin", "keys": [hashed(ADMIN)], "admin": True},
            {
                "name": "namer",
                "keys": [hashed(NAMER)],
                "models": ["alias-*"],
                "limits": {"models": {"secret/model": {"rpm": 2}}},
            },
            {"name": "wild", "keys": [hashed(WILD)], "models": ["any/deployment-o*", "any/deployment-v1"]},
        ],
        "general_settings": {"master_key": KEY},
    }


@pytest.fixture(scope="module")
def running(request, simulator):
    with start_gateway(request.param, document(simulator.url)) as gateway:
        yield gateway


def chat(gateway, key, model="gpt-4o", **more):
    body = {"model": model, "messages": MESSAGES}
    return call(gateway.port, "POST", "/v1/chat/completions", body, key=key, **more)


def names_of(answer):
    """The reply's headers but for `connection`: whether it closes depends on how much of the body has come."""
    return sorted({name.lower() for name in answer.headers} - {"connection"})


def listed(gateway, key):
    return [entry["id"] for entry in call(gateway.port, "GET", "/v1/models", key=key).json()["data"]]


def test_a_client_is_logged_by_its_name(running):
    answer = chat(running, TEAM)
    assert 200 == answer.status
    (line,) = running.lines(answer.headers["x-request-id"])
    assert "team" == line["client"]


def test_a_client_lists_its_models_only(running):
    assert ["gpt-4o", "gpt-4o-mini"] == listed(running, TEAM)
    assert ["gpt-4o", "gpt-4o-mini", "secret/model", "embed"] == listed(running, KEY)


def test_a_forbidden_model_and_an_unknown_one_are_answered_alike_on_every_route(running):
    places = [
        route for route in routes() if route.template.endswith(("/{*model}",)) or route.methods == ("POST",)
    ]
    assert len(places) > 16
    for route in places:
        if route.name == "reload":
            continue

        def answer(model, route=route):
            template = route.template.replace("{*rest}", "{*model}/chat/completions")
            path = "/" + template.replace("{*model}", model)
            body = {"model": model, "messages": MESSAGES, "input": "x", "prompt": "x", "voice": "alloy"}
            method = route.methods[0]
            got = call(running.port, method, path, body if method == "POST" else None, key=TEAM)
            return got.status, got.body.replace(model.encode(), b"MODEL"), names_of(got)

        unknown = answer("absent/model")
        assert 404 == unknown[0], route.template
        # One that a wildcard serves, for others.
        assert unknown == answer("any/deployment-old"), route.template
        assert unknown == answer("secret/model"), route.template
        assert unknown == answer("embed"), route.template


def test_a_fallback_may_lead_to_a_model_that_the_client_cannot_name(running, simulator):
    assert 404 == chat(running, TEAM, "secret/model").status
    simulator.fault("deployment-default", {"status": 503})
    answer = chat(running, TEAM, "gpt-4o-mini")
    assert 200 == answer.status
    (line,) = running.lines(answer.headers["x-request-id"])
    assert "secret/model#1" == line["deployment"]


def test_a_client_that_may_name_an_alias_alone_learns_no_other_name(running, simulator):
    told = {"error": {"message": "deployment-default refuses 'user'.", "type": "invalid_request_error"}}
    simulator.fault("deployment-default", {"status": 400, "body": told})
    answers = [chat(running, NAMER, "alias-1") for _ in range(3)]
    assert [400, 200, 429] == [answer.status for answer in answers]
    assert "alias-1 refuses 'user'." == answers[0].error["message"]
    assert "alias-1" in answers[2].error["message"]
    answers += [chat(running, NAMER, "secret/model"), call(running.port, "GET", "/gateway/me", key=NAMER)]
    assert [404, 200] == [answer.status for answer in answers[3:]]
    seen = b"".join(answer.body for answer in (*answers[:3], answers[4]))
    assert b"secret" not in seen


def test_of_what_a_wildcard_serves_a_client_sees_its_own_only(running):
    assert 200 == chat(running, WILD, "any/deployment-old").status
    assert ["any/deployment-v1"] == listed(running, WILD)
    statuses = {chat(running, WILD, name).status for name in ("any/deployment-default", "any/*", "gpt-4o")}
    assert {404} == statuses
    hidden, absent = (
        call(running.port, "GET", f"/v1/models/{name}", key=WILD).status
        for name in ("any/deployment-default", "any/no-such-deployment")
    )
    assert 404 == hidden == absent


def test_limits_hold_for_each_client_in_all_and_of_a_model(running):
    statuses = [
        chat(running, OTHER, model).status for model in ("gpt-4o", "gpt-4o", "gpt-4o", "embed", "embed")
    ]
    assert [200, 200, 429, 200, 429] == statuses
    assert 200 == chat(running, TEAM).status

    page = call(running.port, "GET", "/gateway/me", key=OTHER).json()
    assert ("other", False, None, 3, 0) == (
        page["name"],
        page["admin"],
        page["expires"],
        page["limits"]["rpm"],
        page["limits"]["remaining_requests"],
    )
    assert {"gpt-4o": 0} == {
        model: limit["remaining_requests"] for model, limit in page["limits"]["models"].items()
    }


def test_limits_in_shadow_are_counted_logged_and_shown_but_refuse_nothing(running):
    answers = [chat(running, SHADOW) for _ in range(3)]
    assert [200, 200, 200] == [answer.status for answer in answers]
    lines = [running.lines(answer.headers["x-request-id"])[0] for answer in answers]
    assert [False, True, True] == [line.get("over_limit", False) for line in lines]
    page = call(running.port, "GET", "/gateway/me", key=SHADOW).json()
    assert (True, 0) == (page["shadow"], page["limits"]["remaining_requests"])


def test_administrators_see_the_deployments_and_clients_do_not(running):
    answers = [
        call(running.port, "GET", "/gateway/deployments", key=key) for key in (KEY, ADMIN, TEAM, "wrong")
    ]
    assert [200, 200, 403, 401] == [answer.status for answer in answers]
    assert "permission_denied" == answers[2].error["code"]
    assert [True, True, False] == [
        "storage" in call(running.port, "GET", "/readyz", key=key).json() for key in (KEY, ADMIN, TEAM)
    ]


def test_everybody_who_is_known_may_ask_who_they_are(running):
    page = call(running.port, "GET", "/gateway/me", key=TEAM).json()
    assert ("team", ["gpt-4o", "gpt-4o-mini"]) == (page["name"], page["models"])
    assert ("master", True, None) == (
        (page := call(running.port, "GET", "/gateway/me").json())["name"],
        page["admin"],
        page["limits"],
    )
    assert 401 == call(running.port, "GET", "/gateway/me", key=None).status


def test_wrong_expired_and_unknown_keys_are_answered_alike(running):
    def answer(key):
        got = chat(running, key)
        return got.status, got.body, names_of(got)

    assert 401 == answer("wrong")[0]
    assert answer("wrong") == answer(EXPIRED) == answer(TEAM + "x") == answer(hashed(TEAM))


def test_a_flood_of_wrong_keys_is_logged_once_a_second_with_its_number(running):
    def refusals():
        lines = [json.loads(line) for line in running.log().splitlines() if '"status":401' in line]
        return [line.get("refusals", 1) for line in lines]

    before = len(refusals())
    time.sleep(1.1)
    began = time.monotonic()
    for number in range(200):
        assert 401 == chat(running, f"wrong-{number}").status
    seconds = time.monotonic() - began
    time.sleep(1.1)
    chat(running, "wrong-at-last")

    counted = wait_for(lambda: sum(found := refusals()[before:]) >= 201 and found)
    assert 2 <= len(counted) <= seconds + 3


def test_no_key_and_no_hash_reaches_a_log_or_a_reply(running):
    replies = [
        call(running.port, method, path, body, key=key)
        for key in (TEAM, OTHER, EXPIRED, "wrong-key-mark")
        for method, path, body in (
            ("GET", "/gateway/me", None),
            ("GET", "/gateway/deployments", None),
            ("POST", "/v1/chat/completions", {"model": "gpt-4o", "messages": MESSAGES}),
        )
    ]
    seen = running.log() + "".join(str(reply.headers) + reply.body.decode() for reply in replies)
    secrets = [KEY, TEAM, OTHER, SHADOW, ADMIN, EXPIRED, "wrong-key-mark"]
    secrets += [hashed(key).removeprefix("sha256:") for key in secrets]
    assert [] == [secret for secret in secrets if secret in seen]
