"""What becomes of every key of LiteLLM that has no effect here, and of keys that nobody knows."""

import json
from pathlib import Path

import pytest
from support.documents import document, entry, member, problems, warnings

from gateway.config.document import known_names
from gateway.config.keys import REFUSED, WITHOUT_EFFECT
from gateway.config.load import check, load
from gateway.config.sections import General, Info, Library, ModelEntry, Params, RouterSettings
from gateway.protocol.body_fields import ALL_FIELDS
from gateway.protocol.operations import OPERATIONS

#: The keys that a configuration moved over from LiteLLM may hold.
LITELLM = {
    ModelEntry: "model_name litellm_params model_info tpm rpm",
    Params: "model api_base base_url api_version api_key azure_ad_token tenant_id client_id client_secret"
    " azure_username azure_password azure_scope base_model rpm tpm itpm otpm weight order max_parallel_requests timeout"
    " stream_timeout request_timeout num_retries max_retries cooldown_time drop_params additional_drop_params"
    " allowed_openai_params extra_headers extra_body organization region_name tags input_cost_per_token"
    " output_cost_per_token max_budget budget_duration mock_response configurable_clientside_auth_params"
    " default_api_key_rpm_limit default_api_key_tpm_limit top_k dataSources data_sources enhancements",
    Info: "id base_model mode tpm rpm max_input_tokens supports_native_streaming allowed_fails allowed_fails_policy"
    " cooldown_time order ptu_count cost_per_ptu_per_hour disable_background_health_check health_check_timeout",
    RouterSettings: "routing_strategy routing_strategy_args routing_groups model_group_alias num_retries retry_after"
    " retry_policy model_group_retry_policy timeout stream_timeout allowed_fails allowed_fails_policy cooldown_time"
    " disable_cooldowns fallbacks default_fallbacks context_window_fallbacks content_policy_fallbacks max_fallbacks"
    " enable_pre_call_checks optional_pre_call_checks enable_weighted_failover default_max_parallel_requests"
    " enable_tag_filtering redis_url redis_host redis_port redis_password",
    Library: "drop_params enable_azure_ad_token_refresh enable_preview_features num_retries request_timeout cache"
    " cache_params callbacks fallbacks set_verbose",
    General: "master_key key_management_system key_management_settings use_azure_key_vault database_url"
    " cancel_on_disconnect always_include_stream_usage forward_client_headers_to_llm_api background_health_checks"
    " health_check_interval max_parallel_requests global_max_parallel_requests allowed_routes allow_anonymous",
}


@pytest.mark.parametrize("section", LITELLM)
def test_every_key_of_litellm_is_known(section):
    assert set() == set(LITELLM[section].split()) - known_names(section)


@pytest.mark.parametrize(
    ("operation", "schema"),
    [
        ("chat", "CompletionCreateParams"),
        ("text_completion", "CompletionLegacyCreateParams"),
        ("embeddings", "EmbeddingCreateParams"),
        ("speech", "SpeechCreateParams"),
    ],
)
def test_every_body_field_of_the_schemas_can_be_a_request_default(operation, schema):
    path = Path(__file__).parents[1] / "data" / "schemas" / f"{schema}.json"
    whole = json.loads(path.read_text())
    names = set()
    for variant in whole.get("anyOf", [whole]):
        reference = variant.get("$ref", "").rpartition("/")[2]
        names |= set((whole["$defs"][reference] if reference else variant)["properties"])

    (fields,) = (each.body_fields for each in OPERATIONS if each.name == operation)
    assert set() == {name for name in names if name not in fields} - {
        "model",
        "stream",
        "stream_format",
        "stream_options",
    }


@pytest.mark.parametrize("section", LITELLM)
def test_the_documentation_names_every_key(section):
    docs = Path(__file__).parents[2] / "docs"
    text = (docs / "configuration.md").read_text() + (docs / "litellm-compatibility.md").read_text()
    defaults = ALL_FIELDS if section is Params else frozenset()

    assert [] == [key for key in sorted(known_names(section) - defaults) if f"`{key}`" not in text]


def place(section, key, value):
    """The document with one key more, in the section given."""
    if section == "document":
        return document(entry(), **{key: value})
    if section == "model_list":
        return document(entry(**{key: value}))
    if section == "litellm_params":
        return document(entry({key: value}))
    if section == "model_info":
        return document(entry(model_info={key: value}))
    sections = {"general_settings": {"master_key": "sk-1234"}}
    sections.setdefault(section, {})[key] = value
    return document(entry(), **sections)


@pytest.mark.parametrize("section", WITHOUT_EFFECT)
def test_a_known_key_without_effect_is_one_warning_that_names_it(section):
    for key in sorted(WITHOUT_EFFECT[section]):
        problems, warnings = check(place(section, key, True), {})

        assert ([], 1) == (problems, len(warnings)), key
        where = key if section == "document" else f"{section}.{key}"
        assert warnings[0].startswith(f"{where}: has no effect")
        assert warnings[0].endswith(f": {WITHOUT_EFFECT[section][key]}")


def test_a_key_without_effect_that_is_given_often_is_still_one_warning():
    text = document(entry({"modify_params": True}), entry({"modify_params": True}))

    assert (
        (
            "litellm_params.modify_params: has no effect (in 2 entries: model_list[0], [1]): Prompts are never "
            "changed to make a model take them."
        ),
    ) == load(text, {}).warnings


REFUSED_VALUES = {
    "optional_pre_call_checks": ["enforce_model_rate_limits"],
    "callbacks": ["hide_secrets"],
}


@pytest.mark.parametrize("section", REFUSED)
def test_a_key_whose_omission_would_weaken_security_is_refused_with_the_reason(section):
    for key in sorted(REFUSED[section]):
        (problem,) = check(place(section, key, REFUSED_VALUES.get(key, "on")), {})[0]

        assert f"{key}: is refused: {REFUSED[section][key]}" in problem


@pytest.mark.parametrize("section", REFUSED)
@pytest.mark.parametrize("off", [None, False, [], ""])
def test_a_refused_key_that_is_switched_off_is_accepted_with_a_warning(section, off):
    for key in sorted(REFUSED[section]):
        problems, warnings = check(place(section, key, off), {})

        assert ([], 1) == (problems, len(warnings)), key


def test_a_budget_of_zero_is_a_protection_too():
    assert 1 == len(problems({"max_budget": 0}))


@pytest.mark.parametrize("value", ["prometheus", ["prometheus", "langfuse"]])
def test_callbacks_that_only_observe_are_accepted(value):
    problems, warnings = check(place("litellm_settings", "callbacks", value), {})

    assert ([], 1) == (problems, len(warnings))


@pytest.mark.parametrize("value", ["guards.instance", ["prometheus", "presidio"], [{"x": 1}], 5])
def test_other_callbacks_may_guard_and_are_refused(value):
    assert 1 == len(check(place("litellm_settings", "callbacks", value), {})[0])


def test_other_pre_call_checks_are_accepted():
    assert [] == check(place("router_settings", "optional_pre_call_checks", ["prompt_caching"]), {})[0]


def test_an_unknown_key_is_refused_with_its_path_and_the_nearest_known_name():
    text = document(entry(), entry(), entry({"api_vresion": "v1"}))

    assert ["model_list[2].litellm_params.api_vresion: unknown key, did you mean api_version?"] == check(
        text, {}
    )[0]


def test_unknown_keys_are_refused_in_every_section():
    text = json.dumps(
        {
            "model_list": [{**entry({"api_vers": "v1"}), "rmp": 1}],
            "router_settings": {"num_retry": 1},
            "litellm_settings": {"request_timeuot": 1},
            "general_settings": {"master_key": "sk-1234", "masterkey": "x"},
            "genral_settings": {},
            "master_key": "sk-secret",
            "qqqqqqqq": 1,
        }
    )

    assert [
        "genral_settings: unknown key, did you mean general_settings?",
        "master_key: unknown key, it belongs in general_settings",
        "qqqqqqqq: unknown key, remove it",
        "model_list[0].rmp: unknown key, did you mean rpm?",
        "model_list[0].litellm_params.api_vers: unknown key, did you mean api_version?",
        "router_settings.num_retry: unknown key, did you mean num_retries?",
        "litellm_settings.request_timeuot: unknown key, did you mean request_timeout?",
        "general_settings.masterkey: unknown key, did you mean master_key?",
    ] == check(text, {})[0]


def test_a_key_that_does_not_look_like_a_name_is_not_repeated():
    assert ["model_list[0].litellm_params.<key>: unknown key, remove it"] == problems({"sk-se cret\n": 1})


def test_request_defaults_are_kept_and_null_ones_dropped():
    params = {"temperature": 0.5, "max_tokens": 10, "stop": ["a"], "user": "u", "seed": None, "top_k": 3}

    assert {"temperature": 0.5, "max_tokens": 10, "stop": ["a"], "user": "u", "top_k": 3} == member(
        params
    ).defaults
    assert [] == warnings(params)


@pytest.mark.parametrize("value", ["0.5", True, [], {}])
def test_a_request_default_that_must_be_a_number_is_one(value):
    assert [
        "model_list[0].litellm_params.temperature: must be a number; write it without quotes"
    ] == problems({"temperature": value})


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("general_settings", "proxy_logging"),
        ("general_settings", "disable_spend_logs_writes"),
        ("general_settings", "verbose_proxy_logs"),
        ("litellm_settings", "langfuse_secret_key"),
        ("litellm_settings", "datadog_site"),
        ("router_settings", "fallback_on_status_codes"),
        ("router_settings", "enable_queue"),
        ("litellm_params", "supports_vision"),
        ("document", "cost_optimization"),
        ("document", "health_checks"),
    ],
)
def test_an_unknown_key_whose_name_speaks_of_no_protection_is_told(section, key):
    found, warnings = check(place(section, key, {"os": "os.environ/UNSET"}), {})

    assert [] == found
    assert any(f"{key}: has no effect" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("value", "refused"), [(True, False), (False, False), (["10.0.0.0/8"], True), ("10.0.0.1", True)]
)
def test_an_unknown_flag_that_allows_something_is_told_and_a_list_of_what_is_allowed_is_refused(
    value, refused
):
    found, warnings = check(place("general_settings", "allow_requests_from", value), {})

    assert refused == bool(found) != any("stays closed" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("section", "key"),
    [
        # A word that may stand for a protection, or for nothing that anybody knows.
        ("general_settings", "cache_per_user"),
        ("general_settings", "spend_per_model"),
        ("general_settings", "log_redaction"),
        ("general_settings", "max_queue"),
        ("router_settings", "retry_budget"),
        ("router_settings", "fallback_guard"),
        ("litellm_settings", "loging"),
        ("document", "rate_limits"),
        # Nothing that speaks of logs and the like.
        ("general_settings", "default_model_timeout"),
        ("document", "enable_proxy"),
        # Like one that does something, or protects something.
        ("general_settings", "allow_anonymos"),
        ("router_settings", "default_fallback"),
        ("router_settings", "num_retry"),
        ("router_settings", "cooldown"),
        # Entries are what calls go by.
        ("model_list", "retry_logging"),
        ("litellm_params", "cache_url"),
    ],
)
def test_another_unknown_key_is_refused(section, key):
    (problem,) = check(place(section, key, "on"), {})[0]

    assert f"{key}: unknown key" in problem
