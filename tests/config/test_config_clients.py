"""`clients` and `entra`: who may call."""

import hashlib
import json

import pytest

from gateway.config.access import LAST_SECOND, ClientKey, ClientLimits, EntraRule, Limit
from gateway.config.differences import differences
from gateway.config.load import check, load
from gateway.config.problems import ConfigError

DIGEST = hashlib.sha256(b"key-of-team-a").digest()
HASH = "sha256:" + DIGEST.hex()
OTHER = "sha256:" + hashlib.sha256(b"another").hexdigest()
TENANT = "11111111-2222-3333-4444-555555555555"
TEAM = {"name": "team-a", "keys": [HASH]}


def document(*clients, entra=None, **general):
    """A document with the models gpt-4o and gpt-4o-mini."""
    azure = {"model": "azure/d", "api_base": "https://r.openai.azure.com", "api_key": "k"}
    tree = {
        "model_list": [{"model_name": name, "litellm_params": azure} for name in ("gpt-4o", "gpt-4o-mini")],
        "clients": list(clients),
        "entra": entra,
        "general_settings": general or None,
    }
    return json.dumps({name: value for name, value in tree.items() if value})


def clients(*entries, **more):
    return load(document(*entries, **more), {}).clients


def problems(*entries, **more):
    return check(document(*entries, **more), {})[0]


def entra(*rules, **fields):
    return {"tenant_id": TENANT, "audience": "api://gateway", "clients": list(rules)} | fields


def test_a_client_has_keys_models_and_limits():
    limits = {"rpm": 10, "strict": True, "models": {"gpt-4o": {"tpm": 1000}}}
    (client,) = clients(TEAM | {"models": ["gpt-*"], "limits": limits, "shadow": True, "admin": True})

    assert ("team-a", (ClientKey(DIGEST),), ("gpt-*",), True, True) == (
        client.name,
        client.keys,
        client.models,
        client.shadow,
        client.admin,
    )
    assert ClientLimits(Limit(10, None, strict=True), {"gpt-4o": Limit(None, 1000)}) == client.limits


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("9999-12-31T23:59:59-14:00", LAST_SECOND),
        ("0001-01-01T00:00:00+14:00", 0.0),
    ],
)
def test_a_key_ends_within_the_years_that_have_four_digits(text, seconds):
    (client,) = clients(TEAM | {"keys": [{"hash": HASH, "expires": text}]})
    assert (ClientKey(DIGEST, seconds),) == client.keys
    moved = load(document(TEAM), {})
    (line,) = differences(moved, load(document(TEAM | {"keys": [{"hash": HASH, "expires": text}]}), {}))
    assert line.startswith(
        f"~ client team-a: keys: sha256:{DIGEST.hex()[:8]}... -> sha256:{DIGEST.hex()[:8]}... (until "
    )


def test_a_moment_needs_no_quotes_in_yaml():
    text = f"""
model_list: [{{model_name: m, litellm_params: {{model: azure/d, api_base: "https://r.openai.azure.com"}}}}]
clients: [{{name: a, keys: [{{hash: "{HASH}", expires: 2026-12-31T00:00:00Z}}]}}]
"""
    ((key,),) = (client.keys for client in load(text, {}).clients)
    assert 1_798_675_200 == key.expires


def test_a_client_may_have_all_models_and_no_limits_by_saying_nothing():
    (client,) = clients(TEAM)
    assert (None, None, False, False) == (client.models, client.limits, client.shadow, client.admin)


@pytest.mark.parametrize("text", ["2027-01-31T00:00:00Z", "2027-01-31T01:00:00+01:00"])
def test_a_key_may_have_an_end(text):
    (client,) = clients({"name": "a", "keys": [{"hash": HASH.replace("a", "A", 0), "expires": text}, OTHER]})
    assert [1_801_353_600.0, None] == [key.expires for key in client.keys]


@pytest.mark.parametrize(
    ("client", "problem"),
    [
        ({"keys": [HASH]}, "clients[0].name: is missing"),
        ({"name": "master", "keys": [HASH]}, "clients[0].name: is reserved"),
        ({"name": "a", "keys": ["sk-clear-key"]}, 'clients[0].keys[0]: must be "sha256:"'),
        ({"name": "a", "keys": [HASH, HASH[:-1]]}, 'clients[0].keys[1]: must be "sha256:"'),
        ({"name": "a", "keys": [HASH, 5]}, 'clients[0].keys[1]: must be "sha256:"'),
        ({"name": "a", "keys": [{"hash": "sk-clear-key"}]}, 'clients[0].keys[0].hash: must be "sha256:"'),
        ({"name": "a", "keys": [{"expires": "2027-01-01T00:00:00Z"}]}, "clients[0].keys[0].hash: is missing"),
        (
            {"name": "a", "keys": [{"hash": HASH, "key": "sk-clear-key"}]},
            "clients[0].keys[0].key: unknown key",
        ),
        (
            {"name": "a", "keys": [HASH, HASH]},
            "clients[0].keys[1]: is given twice, also at clients[0].keys[0]",
        ),
        ({"name": "a", "key": "sk-clear-key"}, "clients[0].key: unknown key, did you mean keys?"),
        ({"name": "a", "keys": HASH}, "clients[0].keys: must be a list"),
        ({"name": "a", "models": "gpt-4o"}, "clients[0].models: must be a list"),
        ({"name": "a", "limits": {"rpm": 0}}, "clients[0].limits.rpm: must be greater than 0"),
        ({"name": "a", "limits": {"strict": True}}, "clients[0].limits.strict: has no limit to make exact"),
        ({"name": "a", "limits": {"models": {"x": {"rpm": 1}}}}, "clients[0].limits.models.x: names a model"),
        ({"name": "a", "limits": {"rmp": 1}}, "clients[0].limits.rmp: unknown key"),
        ("team-a", "clients[0]: must be a mapping"),
        *(
            (
                {"name": "a", "keys": [{"hash": HASH, "expires": text}]},
                "clients[0].keys[0].expires: must be a moment",
            )
            for text in ("2027-01-01", "2027-01-01T00:00:00", "tomorrow", "")
        ),
    ],
)
def test_what_is_wrong_is_told_by_its_path_and_never_by_a_key(client, problem):
    (found,) = problems(client)
    assert problem == found[: len(problem)]
    assert "sk-clear-key" not in found
    assert HASH not in found


def test_a_key_in_clear_comes_with_the_advice_to_hash_it():
    (found,) = problems({"name": "a", "keys": ["sk-clear-key"]})
    assert "python -m gateway keys new" in found
    assert "python -m gateway keys hash" in found


def test_a_name_and_a_key_belong_to_one_client():
    assert [
        "clients[1].name: is given twice, also at clients[0].name",
        "clients[1].keys[0]: is given twice, also at clients[0].keys[0]",
    ] == problems(TEAM, TEAM)


def test_the_master_key_is_no_clients_key():
    (found,) = problems(TEAM, master_key="key-of-team-a")
    assert found.startswith("clients[0].keys[0]: is the hash of the master key")


def test_with_clients_the_master_key_may_be_left_out_but_the_gateway_is_not_open():
    assert (None, False) == ((config := load(document(TEAM), {})).master_key, config.allow_anonymous)
    (found,) = problems(TEAM, allow_anonymous=True)
    assert found.startswith("clients: is set while anonymous access is allowed")


def test_what_cannot_be_meant_is_a_warning():
    _, warnings = check(document({"name": "a", "models": ["gpt-4o", "gtp-*"]}), {})
    assert [
        "clients[0]: has no keys, and no entry of entra.clients names it",
        "clients[0].models[1]: matches no model of model_list",
    ] == warnings


def test_tokens_are_mapped_to_clients_and_administrators():
    app = {"client": "team-a", "app_ids": ["AAAA-BB"]}
    groups = {"client": "team-a", "groups": ["G-1"], "per_user": True}
    admins = {"admin": True, "roles": ["Gateway.Admin"]}
    spec = load(document(TEAM, entra=entra(app, groups, admins, audience=["api://gateway", "id"])), {}).entra

    assert (TENANT, ("api://gateway", "id")) == (spec.tenant_id, spec.audiences)
    assert (
        EntraRule("team-a", app_ids=frozenset({"aaaa-bb"})),
        EntraRule("team-a", groups=frozenset({"g-1"}), per_user=True),
        EntraRule(None, roles=frozenset({"Gateway.Admin"}), admin=True),
    ) == spec.rules


def test_a_client_of_entra_needs_no_key():
    rule = {"client": "b", "roles": ["Chat"]}
    assert ([], []) == check(document({"name": "b"}, entra=entra(rule)), {})


RULE = {"client": "team-a", "roles": ["Chat"]}


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        (entra(RULE, tenant_id=None), "entra.tenant_id: is missing"),
        (entra(RULE, tenant_id="common"), "entra.tenant_id: would take tokens of every tenant"),
        (entra(RULE, tenant_id="contoso.onmicrosoft.com"), "entra.tenant_id: must be the tenant's id"),
        (entra(RULE, audience=None), "entra.audience: must be the audience"),
        (entra(RULE, audience=[]), "entra.audience: must be the audience"),
        (entra(RULE, audience=["a", ""]), "entra.audience: must be the audience"),
        (entra(), "entra.clients: must be a list with at least one entry"),
        (entra({"client": "team-a"}), "entra.clients[0]: would match everyone"),
        (entra({"client": "team-a", "roles": []}), "entra.clients[0]: would match everyone"),
        (entra(RULE | {"roles": ["*"]}), "entra.clients[0].roles[0]: would match everyone"),
        (entra(RULE | {"roles": [" "]}), "entra.clients[0].roles[0]: would match everyone"),
        (entra(RULE | {"app_ids": ["x"]}), "entra.clients[0]: takes one of app_ids, roles and groups"),
        (entra({"roles": ["Chat"]}), "entra.clients[0].client: is missing"),
        (
            entra(RULE | {"client": "nobody"}),
            "entra.clients[0].client: names a client that is not in clients",
        ),
        (entra(RULE | {"role": ["x"]}), "entra.clients[0].role: unknown key, did you mean roles?"),
        (entra({"admin": True, "roles": ["x"], "per_user": True}), "entra.clients[0].per_user: needs client"),
        (entra(RULE, issuer="https://x"), "entra.issuer: unknown key"),
    ],
)
def test_what_is_wrong_with_entra_is_told_by_its_path(section, problem):
    section = {name: value for name, value in section.items() if value is not None}
    (found,) = problems(TEAM, entra=section)
    assert problem == found[: len(problem)]


def test_a_document_says_who_may_call_in_its_own_words_only():
    with pytest.raises(ConfigError) as caught:
        load(document(entra=entra(RULE)), {})
    assert ["entra.clients[0].client: names a client that is not in clients"] == caught.value.problems
