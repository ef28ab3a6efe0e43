"""References to a vault's secrets, and documents that are put together from several of them."""

import json

import pytest

from gateway.config.deployment import ApiKey, StaticToken
from gateway.config.load import check, load
from gateway.config.merge import Part
from gateway.config.problems import ConfigError
from gateway.config.vault import UNREAD, SecretValues, references

AT = "model_list[0].litellm_params"
KNOWN = SecretValues({"MY-KEY": "key-of-vault", "RPM": "60\n", "BASE": "https://r.openai.azure.com"})


def entry(name="m", **params):
    azure = {"model": "azure/d", "api_base": "https://r.openai.azure.com", "api_key": "k"}
    return {"model_name": name, "litellm_params": azure | params}


def document(*entries, **sections):
    return json.dumps({"model_list": list(entries), "general_settings": {"master_key": "sk-m"}} | sections)


def problems(text, secrets=None):
    return check(text, {}, secrets=secrets)[0]


def only(text, secrets=KNOWN):
    ((deployment,),) = load(text, {}, secrets=secrets).models.values()
    return deployment


def test_a_reference_is_the_secret_of_that_name_with_dashes_for_underscores():
    assert ApiKey("key-of-vault", "MY-KEY") == only(document(entry(api_key="keyvault/MY_KEY"))).credential
    token = entry(azure_ad_token="keyvault/MY-KEY")
    del token["litellm_params"]["api_key"]
    assert StaticToken("key-of-vault", "MY-KEY") == only(document(token)).credential


def test_a_reference_may_stand_for_any_value():
    deployment = only(document(entry(api_base="keyvault/BASE", rpm="keyvault/RPM")))
    assert (60, True) == (deployment.rpm, deployment.targets["chat"].url.startswith("https://r.openai"))
    general = {"master_key": "keyvault/MY_KEY"}
    assert "key-of-vault" == load(document(entry(), general_settings=general), {}, secrets=KNOWN).master_key


def test_without_a_vault_a_reference_is_refused_with_its_path():
    assert [f"{AT}.api_key: refers to a vault, but KEY_VAULT_URL is not set; set it"] == problems(
        document(entry(api_key="keyvault/MY-KEY"))
    )


@pytest.mark.parametrize(
    "reference", ["keyvault/", "keyvault/a b", "keyvault/a/1", "keyvault/ä", "keyvault/" + "x" * 128]
)
def test_what_names_no_secret_is_no_reference(reference):
    (problem,) = problems(document(entry(api_key=reference)), KNOWN)
    assert problem.startswith(f"{AT}.api_key: is no usable reference")


def test_a_secret_that_could_not_be_had_is_told_by_its_name_and_path():
    failed = SecretValues({}, {"GONE": "does not exist"})
    assert [f"{AT}.api_key: the vault's secret GONE does not exist"] == problems(
        document(entry(api_key="keyvault/GONE")), failed
    )


def test_a_check_without_the_vault_accepts_references_wherever_they_stand():
    text = document(
        entry(api_key="keyvault/A", api_base="keyvault/B", rpm="keyvault/C", model="azure/x"),
        general_settings={"master_key": "keyvault/D"},
    )
    assert [] == problems(text, UNREAD)
    assert [f"{AT}.api_vresion: unknown key, did you mean api_version?"] == problems(
        document(entry(api_key="keyvault/A", api_vresion="v1")), UNREAD
    )


def test_a_variable_that_holds_a_reference_is_no_value():
    text = document(entry(api_key="os.environ/KEY"))
    (problem,) = check(text, {"KEY": "keyvault/MY-KEY"}, secrets=KNOWN)[0]
    assert problem.startswith(f"{AT}.api_key: ")


def test_all_references_of_a_tree_are_found():
    tree = {"a": ["keyvault/ONE", {"b": "keyvault/T_W_O"}], "c": "xkeyvault/NO", "d": "keyvault/n o"}
    assert {"ONE", "T-W-O"} == set(references(tree))


def parts(**texts):
    return [
        Part(name.replace("_", "-"), text if isinstance(text, str) else json.dumps(text))
        for name, text in texts.items()
    ]


CLIENT = {"name": "a", "keys": ["sha256:" + "0" * 64]}


def test_parts_are_merged_key_by_key_and_lists_follow_one_another():
    config = load(
        parts(
            gateway_deployments={"model_list": [entry("one")], "router_settings": {"num_retries": 5}},
            gateway_config="model_list:\n- model_name: two\n  litellm_params: {model: gpt-4o, api_key: k}\n"
            "router_settings: {max_wait: 3}\n",
            gateway_clients={"clients": [CLIENT]},
        ),
        {},
    )
    assert (["one", "two"], 5, 3.0, ["a"]) == (
        list(config.models),
        config.num_retries,
        config.max_wait,
        [client.name for client in config.clients],
    )


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (
            {"router_settings": {"num_retries": 1}},
            {"router_settings": {"num_retries": 2}},
            [
                "one: router_settings.num_retries: has a value in two: router_settings.num_retries, too; keep one of them"
            ],
        ),
        (
            {"router_settings": {"fallbacks": [{"m": ["m"]}]}},
            {"router_settings": {"fallbacks": []}},
            [
                "one: router_settings.fallbacks: has a value in two: router_settings.fallbacks, too; keep one of them"
            ],
        ),
        (
            {"clients": [CLIENT]},
            {"clients": [{"name": "b"}, {"name": "a"}]},
            ["two: clients[1].name: is given twice, also at one: clients[0].name"],
        ),
        (
            {"clients": [CLIENT]},
            {"clients": [{"name": "b", "keys": ["sha256:" + "0" * 64]}]},
            ["two: clients[0].keys[0]: is given twice, also at one: clients[0].keys[0]"],
        ),
        (
            {"model_list": []},
            {"model_list": [entry("n", api_vresion="v1")]},
            ["two: model_list[0].litellm_params.api_vresion: unknown key, did you mean api_version?"],
        ),
        (
            {},
            {"general_settings": {"masterkey": "x"}},
            ["two: general_settings.masterkey: unknown key, did you mean master_key?"],
        ),
        (
            {},
            {"general_settings": []},
            ["base: general_settings: has a value in two: general_settings, too; keep one of them"],
        ),
    ],
)
def test_what_is_wrong_is_told_by_its_secret_and_its_path_there(one, two, expected):
    base = {"model_list": [entry()], "general_settings": {"master_key": "m"}}
    assert expected == problems(parts(base=base, one=one, two=two))


def test_a_part_that_cannot_be_read_is_told_by_its_secret():
    with pytest.raises(ConfigError) as caught:
        load(parts(one='{"a": ', two="- a\n", three='{"a": 1, "a": 2}'), {})
    assert [
        "one: document: is not valid JSON at line 1, column 7",
        "two: document: must be a mapping of keys to values",
        "three: a: is given twice in one object; keep one",
    ] == caught.value.problems


def test_null_in_one_part_is_no_value():
    text = parts(
        one={"model_list": [entry()], "general_settings": None, "clients": None},
        two={"general_settings": {"master_key": "m"}, "clients": [CLIENT]},
    )
    assert "m" == load(text, {}).master_key


def test_no_secret_is_printed():
    assert "hunter2" not in repr([Part("a", "hunter2"), SecretValues({"a": "hunter2"})])
