"""LiteLLM's ways to write a document: credentials by name, variables, aliases, entries that are left out."""

import importlib.util
import json
from pathlib import Path

import pytest
from support.documents import BASE, KEY, document, entry, member, problems, warnings

from gateway.config.deployment import Alias, ApiKey, DefaultIdentity
from gateway.config.load import check, load
from gateway.config.problems import SCREEN

AT = "model_list[0].litellm_params"
OTHER = {"model": "anthropic/x", "api_key": "os.environ/NOT_SET", "aws_region_name": "x", "api_base": ...}


def test_the_page_on_compatibility_is_the_one_that_the_tables_make():
    root = Path(__file__).parents[2]
    spec = importlib.util.spec_from_file_location("compatibility", root / "scripts" / "compatibility.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    assert (root / "docs" / "litellm-compatibility.md").read_text() == script.document()


@pytest.mark.parametrize("name", ["GATEWAY_MASTER_KEY", "LITELLM_MASTER_KEY"])
def test_the_master_key_may_stand_in_the_environment(name):
    text = document(entry(), general_settings={})

    assert "sk-env" == load(text, {name: "sk-env"}).master_key
    (problem,) = check(text, {name: "${X}"})[0]
    assert problem.startswith(f"{name}: the environment variable is a reference")
    assert 1 == len(check(text, {name: " "})[0])


def test_the_documents_master_key_wins_and_an_own_variable_goes_before_litellms():
    both = {"GATEWAY_MASTER_KEY": "sk-own", "LITELLM_MASTER_KEY": "sk-litellm"}

    assert KEY == load(document(entry()), both).master_key
    assert "sk-own" == load(document(entry(), general_settings={}), both).master_key


def test_a_master_key_in_the_environment_contradicts_an_open_gateway():
    (problem,) = check(
        document(entry(), general_settings={}), {"LITELLM_MASTER_KEY": "sk-env"}, allow_anonymous=True
    )[0]

    assert problem.startswith("LITELLM_MASTER_KEY: is set while anonymous access is allowed")


def test_the_environments_key_is_used_with_a_warning():
    environ = {"AZURE_API_KEY": "second", "AZURE_OPENAI_API_KEY": "first"}

    assert ApiKey("first") == member({"api_key": ...}, environ=environ).credential
    assert [
        "AZURE_OPENAI_API_KEY: members without a credential of their own are called with it (in model_list[0])"
    ] == warnings({"api_key": ...}, environ=environ)
    assert [] == warnings(environ=environ)
    assert DefaultIdentity() == member({"api_key": ...}).credential


def with_credentials(params, credentials):
    return document(entry(params), credential_list=credentials)


def credential(**values):
    return {"credential_name": "west", "credential_values": values}


def test_a_named_credential_gives_what_the_member_does_not_say_itself():
    text = with_credentials(
        {"litellm_credential_name": "west", "api_key": ..., "api_base": "https://own.openai.azure.com"},
        [credential(api_key="os.environ/WEST", api_base=BASE)],
    )
    ((deployment,),) = load(text, {"WEST": "k"}).models.values()

    assert ApiKey("k") == deployment.credential
    assert deployment.targets["chat"].url.startswith("https://own.openai.azure.com/")


@pytest.mark.parametrize(
    ("credentials", "path"),
    [
        ([credential(api_base=BASE)], f"{AT}.litellm_credential_name: names no credential"),
        ({"west": {}}, "credential_list: must be a list"),
        ([{"credential_name": "east"}], "credential_list[0]: needs a credential_name"),
        ([credential(), credential()], "credential_list[1].credential_name: is used twice"),
    ],
)
def test_what_is_wrong_with_named_credentials_is_told(credentials, path):
    found = check(with_credentials({"litellm_credential_name": "east"}, credentials), {})[0]

    assert any(problem.startswith(path) for problem in found)


def test_variables_of_the_document_win_over_those_of_the_process():
    text = document(
        entry({"api_base": "os.environ/BASE", "rpm": "os.environ/LIMIT"}),
        environment_variables={"BASE": "os.environ/FROM_OUTSIDE", "LIMIT": 7},
    )
    ((deployment,),) = load(text, {"BASE": "https://other.example", "FROM_OUTSIDE": BASE}).models.values()

    assert (7, True) == (deployment.rpm, deployment.targets["chat"].url.startswith(BASE))


def test_variables_are_names_and_values():
    assert ["environment_variables: must be a mapping of names to values"] == check(
        document(entry(), environment_variables=["A"]), {}
    )[0]
    assert ["environment_variables.A: must be text; put it in quotes"] == check(
        document(entry(), environment_variables={"A": [1]}), {}
    )[0]


def test_members_of_other_providers_are_left_out_beside_others_and_their_variables_are_not_asked_for():
    text = document(entry(OTHER), entry(), entry(OTHER))
    config = load(text, {})

    assert ["dep"] == [each.name for each in config.models["gpt"]]
    assert (
        "model_list: members of providers that are not served are left out (in 2 entries: model_list[0], [2])",
    ) == config.warnings


def test_a_name_that_only_another_provider_serves_is_refused():
    found, _ = check(document(entry(), entry(OTHER, name="claude")), {})

    assert any(
        problem.startswith("model_list[1].litellm_params.model: names a provider") for problem in found
    )


def test_a_member_of_a_mode_that_is_not_served_is_left_out_with_its_name():
    config = load(document(entry(), entry(name="image", model_info={"mode": "image_generation"})), {})

    assert ["gpt"] == list(config.models)
    assert ("model_list: endpoints of these modes are not served (in model_list[1])",) == config.warnings


@pytest.mark.parametrize(
    ("mode", "operation"),
    [
        ("Chat", "chat"),
        ("embeddings", "embeddings"),
        ("text-completion", "text_completion"),
        ("tts", "speech"),
    ],
)
def test_modes_have_several_spellings(mode, operation):
    assert [operation] == list(member(model_info={"mode": mode}).targets)


def test_the_provider_may_stand_beside_the_name():
    deployment = member({"model": "dep", "custom_llm_provider": "azure"})

    assert ("azure", "dep") == (deployment.provider, deployment.name)
    assert 1 == len(problems({"model": "dep", "custom_llm_provider": "bedrock"}))


def test_an_address_in_clear_needs_a_word():
    insecure = {"api_base": "http://proxy.internal:8080"}

    assert 1 == len(problems(insecure))
    assert (
        member({**insecure, "allow_insecure": True})
        .targets["chat"]
        .url.startswith("http://proxy.internal:8080/")
    )
    assert 1 == len(problems({"api_base": ...}, environ={"AZURE_API_BASE": "http://proxy.internal"}))


def with_aliases(**aliases):
    return document(entry(), entry(name="big"), router_settings={"model_group_alias": aliases})


def test_aliases_are_other_names_of_models():
    config = load(with_aliases(default="gpt", quiet={"model": "big", "hidden": True}), {})

    assert {"default": Alias("gpt"), "quiet": Alias("big", hidden=True)} == dict(config.aliases)
    assert () == config.warnings


@pytest.mark.parametrize(
    ("aliases", "problem"),
    [
        ({"a": "none"}, "a: names a model that is not in model_list"),
        ({"a": {"hidden": True}}, "a: must be the name of a model"),
        ({"a": {"model": "gpt", "hidden": "yes"}}, "a: must be the name of a model"),
        ({"gpt": "big"}, "gpt: is the name of a model in model_list, too"),
    ],
)
def test_what_is_wrong_with_an_alias_is_told(aliases, problem):
    (found,) = check(with_aliases(**aliases), {})[0]

    assert found.startswith(f"router_settings.model_group_alias.{problem}")


def test_an_alias_that_names_itself_changes_nothing():
    config = load(with_aliases(gpt="gpt"), {})

    assert ({}, ()) == (dict(config.aliases), config.warnings)


def test_a_token_function_that_no_file_can_hold_leaves_the_managed_identity():
    params = {"azure_ad_token_provider": "default", "api_key": ...}

    assert isinstance(member(params).credential, DefaultIdentity)
    assert any("azure_ad_token_provider" in warning for warning in warnings(params))


def test_fallbacks_may_name_aliases():
    text = document(
        entry(),
        entry(name="big"),
        router_settings={"model_group_alias": {"large": "big"}, "fallbacks": [{"gpt": ["large"]}]},
    )

    assert {"gpt": ("big",)} == load(text, {}).fallbacks.general


def test_a_key_of_litellm_in_a_section_that_does_not_read_it_is_a_warning():
    found = check(document(entry({"set_verbose": True}), litellm_settings={"routing_strategy": "x"}), {})

    assert [] == found[0]
    assert any("litellm_settings.routing_strategy: has no effect" in warning for warning in found[1])
    assert any(warning.endswith("it belongs in router_settings.") for warning in found[1])


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("router_settings", "master_key", "sk-1"),
        ("router_settings", "max_budget", 5),
        ("router_settings", "rpm", 5),
        ("general_settings", "api_key", "k"),
        ("litellm_settings", "enable_tag_filtering", True),
        ("litellm_settings", "client_limits", {"rpm": 1}),
    ],
)
def test_a_key_that_protects_is_refused_in_a_section_that_does_not_read_it(section, key, value):
    sections = {"general_settings": {"master_key": KEY}}
    sections.setdefault(section, {})[key] = value

    (problem,) = check(document(entry(), **sections), {})[0]

    assert problem.startswith(f"{section}.{key}: ")


def test_a_master_key_among_litellms_settings_lets_nobody_in():
    text = document(entry(), general_settings={}, litellm_settings={"master_key": "sk-there"})

    config = load(text, {"LITELLM_MASTER_KEY": KEY})

    assert KEY == config.master_key
    assert any("litellm_settings.master_key: has no effect" in each for each in config.warnings)


def test_a_master_key_among_litellms_settings_alone_keeps_the_gateway_closed():
    text = document(entry(), general_settings={}, litellm_settings={"master_key": "sk-there"})

    closed, opened = (check(text, {}, allow_anonymous=opened)[0] for opened in (False, True))

    assert [True] == [each.startswith("general_settings.master_key: is missing") for each in closed]
    assert [True] == [each.startswith("litellm_settings: holds a master_key") for each in opened]


def test_a_protection_in_a_section_that_litellm_does_not_read_is_refused_for_its_reason():
    sections = {"general_settings": {"master_key": KEY, "max_budget": 5}}

    assert [
        (
            "general_settings.max_budget: is refused, though LiteLLM reads it in litellm_settings only: "
            "spending would not be limited; remove it and set a budget on the Azure resource"
        )
    ] == check(document(entry(), **sections), {})[0]


@pytest.mark.parametrize(
    ("routes", "refused"),
    [
        (["openai_routes"], False),
        (["info_routes", "llm_api_routes"], False),
        (["/embeddings"], True),
        ("x", True),
    ],
)
def test_routes_for_clients_are_refused_unless_all_that_are_served_are_among_them(routes, refused):
    problems, warnings = check(
        document(entry(), general_settings={"master_key": KEY, "allowed_routes": routes}), {}
    )

    assert refused == bool(problems)
    assert refused != any("Every route that is served here is among them" in each for each in warnings)


def test_what_is_wrong_with_a_value_that_nobody_uses_is_no_problem():
    text = """
model_list:
  - model_name: gpt
    litellm_params: {model: azure/d, api_base: "https://r.openai.azure.com", api_key: k-1}
    model_info: {output_cost_per_token: 0007, notes: os.environ/UNSET, notes: twice}
litellm_settings: {cache_params: {host: os.environ/UNSET, ttl: 010}}
general_settings: {master_key: sk-1234}
"""

    assert [] == check(text, {})[0]


@pytest.mark.parametrize(
    "entry",
    [
        "{rpm: 0600, model: azure/d}",
        "{input_cost_per_token: &n 0600, rpm: *n, model: azure/d}",
        "{drop_params: os.environ/UNSET, model: azure/d}",
    ],
)
def test_a_value_that_is_used_is_a_problem_though_another_repeats_it_that_is_not(entry):
    text = f"""
model_list:
  - model_name: gpt
    litellm_params: {entry[:-1]}, api_base: "https://r.openai.azure.com", api_key: k-1}}
general_settings: {{master_key: sk-1234}}
"""

    assert 1 == len(check(text, {})[0])


def test_a_budget_that_cannot_be_read_is_a_budget():
    text = document(entry(), litellm_settings={"max_budget": "os.environ/UNSET"})

    assert 1 == len(check(text, {})[0])


def test_settings_written_as_a_list_of_mappings_are_read_as_one():
    text = document(entry(), router_settings=[{"num_retries": 5}, {"routing_strategy": "simple-shuffle"}])

    config = load(text, {})

    assert (5, True) == (config.num_retries, config.shuffle)
    assert any(each.startswith("router_settings: is a list, which LiteLLM") for each in config.warnings)
    assert ["router_settings.max_wiat: unknown key, did you mean max_wait?"] == check(
        document(entry(), router_settings=[{"max_wiat": 5}]), {}
    )[0]


def test_a_mode_that_litellm_does_not_know_narrows_nothing():
    text = document(entry(model_info={"mode": "vision"}))

    config = load(text, {})

    assert {"chat", "embeddings"} <= config.models["gpt"][0].targets.keys()
    assert any("model_info.mode: is no mode of LiteLLM's" in each for each in config.warnings)


def test_variables_of_the_document_that_nothing_reads_are_told():
    text = document(
        entry({"api_base": "os.environ/BASE", "api_key": ...}),
        environment_variables={
            "BASE": "os.environ/BEHIND",
            "BEHIND": "https://r.openai.azure.com",
            "AZURE_API_KEY": "k-1",
            "REDIS_HOST": "r",
            "LANGFUSE_HOST": "l",
            "AZURE_CLIENT_SECRET": "s",
        },
    )

    warnings = check(text, {"BEHIND": "https://r.openai.azure.com"})[1]

    assert (
        "environment_variables: REDIS_HOST, LANGFUSE_HOST: has no effect: nothing here reads it" in warnings
    )
    assert any("environment_variables: AZURE_CLIENT_SECRET: has no effect" in each for each in warnings)
    assert not any("BEHIND" in each for each in warnings)


def test_a_deep_document_with_variables_is_refused_and_not_followed():
    deep = json.loads('{"a":' * 300 + "1" + "}" * 300)
    text = document(entry(), environment_variables={"A": 1}, litellm_settings={"cache_params": deep})

    (problem,) = check(text, {})[0]

    assert "is nested more than 50 levels deep" in problem


def test_the_endpoint_and_the_scope_may_come_from_the_environment():
    environ = {"AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com/", "AZURE_SCOPE": "api://x/.default"}
    one = member({"api_base": ..., "api_key": ...}, environ=environ)

    assert one.targets["chat"].url.startswith("https://r.openai.azure.com/openai/")
    assert DefaultIdentity("api://x/.default") == one.credential


@pytest.mark.parametrize(
    ("base_model", "chats"),
    [("gpt-5", True), ("azure/gpt-4.1", True), ("gpt-3.5-turbo-instruct", True), ("own", False)],
)
def test_the_mode_of_another_kind_of_model_than_the_base_model_narrows_nothing(base_model, chats):
    text = document(entry(model_info={"mode": "completion", "base_model": base_model}))

    config = load(text, {})

    assert chats == ("chat" in config.models["gpt"][0].targets)
    told = any("model_info.mode: is another one's than base_model's" in each for each in config.warnings)
    assert told == (base_model in ("gpt-5", "azure/gpt-4.1"))


@pytest.mark.parametrize(
    ("name", "told"), [("gpt-4o-prod", True), ("gpt-35-turbo-instruct", False), ("mine", False)]
)
def test_a_deployment_called_after_a_chats_model_that_serves_texts_only_is_told(name, told):
    text = document(entry({"model": f"azure/{name}"}, model_info={"mode": "completion"}))

    assert told == any("model_info.mode: leaves completions only" in each for each in check(text, {})[1])


def test_hints_are_for_keys_that_are_not_litellms():
    sections = {"files_setting": [], "guardrail": []}

    assert [
        "files_setting: unknown key, did you mean files_settings?",
        "guardrail: unknown key, did you mean guardrails?",
    ] == check(document(entry(), **sections), {})[0]


def test_no_hint_is_a_key_that_litellm_does_not_read():
    sections = {"defaults": {}, "router_settings": {"fallback_stragety": "x"}}

    assert [
        "defaults: unknown key, remove it",
        "router_settings.fallback_stragety: unknown key, did you mean fallbacks?",
    ] == check(document(entry(), **sections), {})[0]


def test_what_many_entries_share_is_one_problem():
    text = document(*(entry({"api_vresion": "v1"}) for _ in range(43)))

    assert [
        (
            "litellm_params.api_vresion: unknown key, did you mean api_version? "
            "(in 43 entries: model_list[0], [1], [2], [3], [4], ...)"
        )
    ] == check(text, {})[0]


def test_more_problems_than_a_screen_holds_are_counted():
    text = document(entry({f"nothing_{number}": 1 for number in range(100)}))
    found = check(text, {})[0]

    assert (SCREEN, f"document: {101 - SCREEN} more problems; mend these first") == (len(found), found[-1])


def test_no_warning_repeats_a_key_that_may_be_a_secret():
    text = json.dumps(
        {"model_list": [entry(model_info={"sk-secret-0123": 1})], "general_settings": {"master_key": KEY}}
    )

    assert "secret" not in "".join(check(text, {})[1])


def test_headers_and_fields_are_added_and_fields_are_dropped():
    deployment = member(
        {
            "extra_headers": {"X-Team": "os.environ/TEAM"},
            "extra_body": {"top_k": 3},
            "additional_drop_params": ["seed", "tools[*].input_examples", "a\\.b.c[0].d"],
        },
        environ={"TEAM": "search one"},
    )

    assert ({"x-team": "search one"}, {"top_k": 3}, {"seed"}) == (
        deployment.headers,
        deployment.extra_body,
        deployment.dropped,
    )
    assert (("tools", None, "input_examples"), ("a.b", "c", 0, "d")) == deployment.dropped_within
    assert "search" not in repr(deployment)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("extra_headers", {"Authorization": "Bearer x"}),
        ("extra_headers", {"api-key": "x"}),
        ("extra_headers", {"Host": "x"}),
        ("extra_headers", {"a b": "x"}),
        ("extra_headers", {"X-A": "x", "x-a": "y"}),
        ("extra_headers", {"x-a": "a\r\nb: c"}),
        ("extra_headers", {"x-a": "${TEAM}"}),
        ("extra_headers", {"x-a": "Bearer ${TEAM}"}),
        ("extra_headers", {"x-a": "Bearer os.environ/TEAM"}),
        ("extra_headers", {"x-a": "Bearer $TEAM"}),
        ("api_base", "https://os.environ/HOST"),
        ("api_base", "https://r.openai.azure.com/os.environ/PATH"),
        ("extra_headers", {"x-a": 5}),
        ("extra_body", {"model": "other"}),
        ("extra_body", ["x"]),
        ("additional_drop_params", ["messages"]),
        ("additional_drop_params", ["tools[x].y"]),
        ("additional_drop_params", ["tools[0"]),
        ("additional_drop_params", ["a..b"]),
        ("additional_drop_params", ["a."]),
        ("additional_drop_params", [".".join("a" * 21)]),
        ("additional_drop_params", "seed"),
    ],
)
def test_what_would_change_the_call_itself_is_refused(key, value):
    (problem,) = problems({key: value})

    assert problem.startswith(f"{AT}.{key}")


@pytest.mark.parametrize("path", ["messages[*].name", "stream_options.include_usage", "tools[*]", "tools[0]"])
def test_what_litellm_takes_out_of_nothing_is_told_to_have_no_effect(path):
    (warning,) = warnings({"additional_drop_params": [path]})

    assert f"{AT}.additional_drop_params[0]: has no effect" in warning
    assert () == member({"additional_drop_params": [path]}).dropped_within


@pytest.mark.parametrize(
    ("params", "retries"),
    [({}, None), ({"num_retries": 0}, 0), ({"max_retries": 3}, 3), ({"num_retries": 1, "max_retries": 3}, 1)],
)
def test_a_member_may_have_retries_of_its_own(params, retries):
    assert retries == member(params).num_retries
