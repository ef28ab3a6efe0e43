import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.documents import BASE, KEY, document, entry, member, problems, warnings

from gateway.config.load import ConfigError, check, load

AT = "model_list[0].litellm_params"


def test_a_reference_to_an_unset_variable_is_a_problem_with_its_path_wherever_it_stands():
    text = document(
        entry(
            {"api_key": "os.environ/A", "rpm": "os.environ/B", "stop": ["x", "os.environ/C"]},
            name="os.environ/D",
        ),
        router_settings={"model_group_alias": {"x": "os.environ/E"}},
        general_settings={"master_key": "os.environ/F"},
    )

    fix = "is not set; set it, or write the value here"
    assert [
        f"model_list[0].model_name: environment variable D {fix}",
        f"{AT}.api_key: environment variable A {fix}",
        f"{AT}.rpm: environment variable B {fix}",
        f"{AT}.stop[1]: environment variable C {fix}",
        f"router_settings.model_group_alias.x: environment variable E {fix}",
        f"general_settings.master_key: environment variable F {fix}",
    ] == check(text, {})[0]


@pytest.mark.parametrize("key", ["model", "api_base", "api_version", "tenant_id"])
def test_an_unset_variable_brings_no_problem_that_only_follows_from_it(key):
    application = {"tenant_id": "t", "client_id": "c", "client_secret": "s"}

    assert 1 == len(problems({"api_key": ..., **application, key: "os.environ/NOPE"}))


def test_a_reference_that_names_no_variable_is_refused_without_repeating_it():
    assert [
        f"{AT}.api_key: is no usable reference; write os.environ/NAME with the name of an environment variable"
    ] == problems({"api_key": "os.environ/sk-secret value"})


def test_a_models_name_may_be_in_a_variable():
    assert (
        "gpt-4o"
        == member({"model": "openai/os.environ/NAME", "api_base": ...}, environ={"NAME": "gpt-4o"}).name
    )


@pytest.mark.parametrize(
    "model", ["azure/os.environ/NAME", "azure/gpt5_series/os.environ/NAME", "azure_text/os.environ/NAME"]
)
def test_a_deployments_name_may_be_in_a_variable(model):
    params = {"model": model, "api_base": "https://r.openai.azure.com"}

    assert "mini-prod" == member(params, environ={"NAME": "mini-prod"}).name
    for environ, fault in (
        ({}, f"{AT}.model: environment variable NAME is not set; set it, or write the value here"),
        ({"NAME": "a/b"}, f"{AT}.model: must name a deployment in letters, digits, -, _ and . only"),
        (
            {"NAME": "os.environ/OTHER"},
            f"{AT}.model: must name a deployment in letters, digits, -, _ and . only",
        ),
    ):
        assert [fault] == problems(params, environ=environ)


@pytest.mark.parametrize("model", ["os.environ/A/os.environ/NAME", "azure/x-os.environ/NAME"])
def test_a_reference_elsewhere_in_a_model_is_refused(model):
    params = {"model": model, "api_base": "https://r.openai.azure.com"}

    assert [] != problems(params, environ={"NAME": "mini-prod"})


def test_numbers_and_flags_from_the_environment_are_read_as_such():
    environ = {
        "RPM": "60",
        "WEIGHT": "0.5",
        "TIMEOUT": " 1e2 ",
        "TEMPERATURE": "0.2",
        "ECHO": "true",
        "USER": "7",
    }
    params = {key.lower(): f"os.environ/{key}" for key in environ}
    deployment = member(params, environ=environ)

    assert (60, 0.5, 100.0) == (deployment.rpm, deployment.weight, deployment.timeout)
    assert {"temperature": 0.2, "echo": True, "user": "7"} == deployment.defaults


@pytest.mark.parametrize("text", ["sixty", "", "nan", "inf", "1e999", "1_000", "٣"])
def test_text_from_the_environment_that_is_no_number_is_refused_where_one_is_needed(text):
    assert [f"{AT}.weight: must be a number; write it without quotes"] == problems(
        {"weight": "os.environ/W"}, environ={"W": text}
    )


@pytest.mark.parametrize("key", ["rpm", "tpm", "order", "timeout", "stream_timeout", "request_timeout"])
@pytest.mark.parametrize("value", [0, -1, True, "60", float("nan"), float("inf"), [], 10**400])
def test_limits_orders_and_timeouts_must_be_positive_numbers(key, value):
    (problem,) = problems({key: value})

    assert problem.startswith(f"{AT}.{key}: must be ")


@pytest.mark.parametrize("key", ["weight", "cooldown_time"])
@pytest.mark.parametrize("value", [-1, True, "60", float("nan"), float("inf"), [], 10**400])
def test_weights_and_rests_must_be_numbers_that_are_not_negative(key, value):
    assert [] == problems({key: 0})
    assert 1 == len(problems({key: value}))


@pytest.mark.parametrize("place", ["rpm", "model_info"])
@pytest.mark.parametrize("value", [0, -5, True, 1.5])
def test_limits_beside_litellm_params_and_in_model_info_are_checked_too(place, value):
    beside = {"rpm": value} if place == "rpm" else {"model_info": {"rpm": value}}

    assert 1 == len(problems(**beside))


@pytest.mark.parametrize("key", ["rpm", "tpm"])
def test_a_limit_counts_beside_then_in_litellm_params_then_in_model_info(key):
    everywhere = member({key: 2}, **{key: 1, "model_info": {key: 3}})
    inside = member({key: 2}, model_info={key: 3})
    info = member(model_info={key: 3})

    assert [1, 2, 3] == [getattr(each, key) for each in (everywhere, inside, info)]


def test_every_problem_is_reported_at_once():
    text = json.dumps(
        {
            "model_list": [
                {"model_name": " a", "litellm_params": {"model": "bedrock/x", "rpm": 0, "nope_nope": 1}},
                {"litellm_params": {"model": "azure/x", "api_base": "http://h", "tenant_id": "t"}},
                {"model_name": "c"},
                "text",
                {"model_name": "d", "litellm_params": {}, "model_info": []},
            ],
            "general_settings": {"allow_anonymous": "yes"},
        }
    )

    paths = [problem.split(":")[0] for problem in check(text, {})[0]]
    assert [
        "model_list[0].model_name",
        f"{AT}.nope_nope",
        f"{AT}.rpm",
        f"{AT}.model",
        "model_list[1].model_name",
        "model_list[1].litellm_params.api_base",
        "model_list[1].litellm_params.client_id",
        "model_list[1].litellm_params.client_secret",
        "model_list[2].litellm_params",
        "model_list[3]",
        "model_list[4].model_info",
        "model_list[4].litellm_params.model",
        "general_settings.allow_anonymous",
    ] == paths
    with pytest.raises(ConfigError) as raised:
        load(text, {})
    assert check(text, {})[0] == raised.value.problems


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"', "a"])
def test_a_document_that_is_no_mapping_is_refused(text):
    assert ["document: must be a mapping with model_list in it"] == check(text, {})[0]


@pytest.mark.parametrize("models", [None, [], {}, "x"])
def test_a_document_without_models_is_refused(models):
    text = json.dumps({"model_list": models, "general_settings": {"master_key": KEY}})

    assert ["model_list: must be a list with at least one entry"] == check(text, {})[0]


@pytest.mark.parametrize("section", ["router_settings", "litellm_settings"])
def test_an_empty_section_is_accepted_and_a_list_in_its_place_is_not(section):
    assert [] == check(document(entry(), **{section: None}), {})[0]
    assert [f"{section}: must be a mapping of keys to values"] == check(
        document(entry(), **{section: []}), {}
    )[0]


@pytest.mark.parametrize(
    ("model", "provider", "name"),
    [
        ("azure/gpt-4o", "azure", "gpt-4o"),
        ("azure_text/instruct", "azure_text", "instruct"),
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("openai/meta-llama/Llama-3", "openai", "meta-llama/Llama-3"),
        ("gpt-4o", "openai", "gpt-4o"),
        ("ft:gpt-4o:org::id", "openai", "ft:gpt-4o:org::id"),
    ],
)
def test_the_model_names_provider_and_deployment(model, provider, name):
    deployment = member({"model": model})

    assert (provider, name) == (deployment.provider, deployment.name)


@pytest.mark.parametrize(
    "model", ["anthropic/claude", "bedrock/x", "vertex_ai/y", "meta-llama/Llama-3", "azure_ai/x", "/x"]
)
def test_another_provider_is_refused_with_what_is_served(model):
    assert [
        (
            f"{AT}.model: names a provider that is not served; only azure/, azure_text/, openai/ and bare OpenAI names "
            "are (a server that speaks OpenAI's protocol: openai/<model> with its api_base)"
        )
    ] == problems({"model": model})


@pytest.mark.parametrize(
    "model", ["azure/", "azure", "azure_text/", "openai/", "openai", "azure/..", "azure/."]
)
def test_a_model_without_a_usable_name_is_refused(model):
    prefix = model.split("/")[0]

    assert [f"{AT}.model: names no deployment or model after {prefix}/"] == problems({"model": model})


@pytest.mark.parametrize("form", ["o_series", "gpt5_series"])
def test_what_chooses_a_mapping_of_parameters_is_no_part_of_the_deployments_name(form):
    assert "x" == member({"model": f"azure/{form}/x"}).name


def test_a_member_serves_what_its_provider_offers():
    azure = {"chat", "text_completion", "embeddings", "speech"}

    assert azure == set(member().targets)
    assert azure | {"moderations"} == set(member({"model": "gpt-4"}).targets)
    assert {"chat", "text_completion"} == set(member({"model": "azure_text/x"}).targets)


@pytest.mark.parametrize(
    ("mode", "operation"),
    [
        ("chat", "chat"),
        ("completion", "text_completion"),
        ("embedding", "embeddings"),
        ("audio_speech", "speech"),
    ],
)
def test_a_mode_narrows_a_member_to_one_operation(mode, operation):
    assert [operation] == list(member(model_info={"mode": mode}).targets)


def test_the_mode_of_moderations_is_for_openai_members():
    one = member(
        {"model": "openai/omni-moderation-latest", "api_base": ...}, model_info={"mode": "moderation"}
    )

    assert {"moderations": "https://api.openai.com/v1/moderations"} == {
        name: target.url for name, target in one.targets.items()
    }
    (problem,) = problems(model_info={"mode": "moderation"})
    assert problem.startswith("model_list[0].model_info.mode: contradicts azure/, which serves chat, ")
    assert problem.endswith(" only; use openai/ or remove mode")


def test_a_mode_that_is_not_served_or_contradicts_the_provider_is_refused():
    at = "model_list[0].model_info.mode"

    assert [
        f"{at}: is not served; use one of chat, completion, embedding, audio_speech, moderation, or remove the entry"
    ] == problems(model_info={"mode": "image_generation"})
    assert [
        f"{at}: contradicts azure_text/, which serves completion only; use azure/ or remove mode"
    ] == problems({"model": "azure_text/x"}, model_info={"mode": "embedding"})


def test_an_azure_member_needs_an_address():
    assert [f"{AT}.api_base: is missing; write the resource's address, https://..."] == problems(
        {"api_base": ...}
    )


def test_base_url_is_another_name_of_api_base():
    assert BASE in member({"api_base": ..., "base_url": BASE}).targets["chat"].url
    assert [f"{AT}.base_url: differs from api_base, which means the same; keep one"] == problems(
        {"base_url": "https://other.openai.azure.com"}
    )
    assert 1 == len(problems({"api_base": ..., "base_url": "ftp://x"}))


def test_an_openai_member_with_an_address_is_called_there():
    deployment = member({"model": "openai/llama", "api_base": "http://127.0.0.1:8000/v1/"})

    assert "http://127.0.0.1:8000/v1/chat/completions" == deployment.targets["chat"].url


def test_request_timeout_is_another_name_of_timeout():
    assert 9 == member({"request_timeout": 9}).timeout
    assert [f"{AT}.request_timeout: differs from timeout, which means the same; keep one"] == problems(
        {"timeout": 8, "request_timeout": 9}
    )


def test_entries_of_one_name_form_a_group_in_document_order():
    text = document(
        entry(name="a"), entry({"model": "azure/two"}, name="b"), entry({"model": "azure/three"}, name="a")
    )
    models = load(text, {}).models

    assert ["a", "b"] == list(models)
    assert ["dep", "three"] == [each.name for each in models["a"]]


@pytest.mark.parametrize("name", ["", "  ", " a", "a\n", "a\x00b"])
def test_a_model_name_that_no_client_could_send_is_refused(name):
    assert 1 == len(problems(name=name))


def test_an_id_is_the_operator_s_or_the_name_with_a_number():
    text = document(entry(model_info={"id": "mine"}), entry())

    assert ["mine", "gpt#2"] == [each.id for each in load(text, {}).models["gpt"]]


def test_an_id_used_twice_is_refused():
    text = document(entry(name="a", model_info={"id": "x"}), entry(name="b", model_info={"id": "x"}))

    assert ["model_list[1].model_info.id: is used twice; give each entry an id of its own"] == check(
        text, {}
    )[0]


def test_an_id_that_equals_a_derived_one_is_refused():
    assert 1 == len(check(document(entry(name="a"), entry(name="b", model_info={"id": "a#1"})), {})[0])


def test_members_without_an_order_come_after_those_with_one():
    text = document(entry(), entry({"order": 2}), entry({"order": 1}), entry(model_info={"order": 2}))

    assert [3, 2, 1, 2] == [each.order for each in load(text, {}).models["gpt"]]
    assert [0, 0] == [each.order for each in load(document(entry(), entry()), {}).models["gpt"]]


def test_settings_of_the_router_and_the_library_are_taken():
    config = load(
        document(
            entry(),
            router_settings={"num_retries": 0, "timeout": 30, "stream_timeout": 7},
            litellm_settings={"num_retries": 5, "request_timeout": 20},
        ),
        {},
    )

    assert (0, 20, 7) == (config.num_retries, config.timeout, config.stream_timeout)


def test_settings_have_defaults_and_the_library_s_fill_in():
    plain = load(document(entry()), {})
    library = load(document(entry(), litellm_settings={"num_retries": 5}), {})
    router = load(document(entry(), router_settings={"timeout": 30}), {})

    assert (2, None, None) == (plain.num_retries, plain.timeout, plain.stream_timeout)
    assert (5, 30) == (library.num_retries, router.timeout)


def general(settings, *, allow_anonymous=False):
    return check(document(entry(), general_settings=settings), {}, allow_anonymous=allow_anonymous)[0]


CLOSED = [
    (
        "general_settings.master_key: is missing, and without it the gateway is closed; set it, here or as GATEWAY_MASTER_KEY, or open the gateway to "
        "everyone by --allow-anonymous, GATEWAY_ALLOW_ANONYMOUS=1 or general_settings.allow_anonymous: true"
    )
]
BOTH = [
    (
        "general_settings.master_key: is set while anonymous access is allowed; remove it, or remove --allow-anonymous, "
        "GATEWAY_ALLOW_ANONYMOUS and general_settings.allow_anonymous"
    )
]


@pytest.mark.parametrize("settings", [{}, None, {"allow_anonymous": False}])
def test_without_a_master_key_the_gateway_is_closed(settings):
    assert CLOSED == general(settings)


def test_anonymous_access_is_opened_by_the_document_or_from_outside():
    inside = load(document(entry(), general_settings={"allow_anonymous": True}), {})
    outside = load(document(entry(), general_settings=None), {}, allow_anonymous=True)

    assert [(True, None), (True, None)] == [
        (each.allow_anonymous, each.master_key) for each in (inside, outside)
    ]


def test_a_master_key_and_anonymous_access_together_are_refused():
    assert BOTH == general({"master_key": KEY, "allow_anonymous": True})
    assert BOTH == general({"master_key": KEY}, allow_anonymous=True)


@pytest.mark.parametrize("key", ["", "   ", None, "\t\n", 1234, "two words"])
@pytest.mark.parametrize("allow_anonymous", [False, True])
def test_a_blank_or_unusable_master_key_is_refused_and_never_opens_the_gateway(key, allow_anonymous):
    (problem,) = general({"master_key": key}, allow_anonymous=allow_anonymous)

    assert problem.startswith("general_settings.master_key: ")


def test_a_master_key_is_kept_and_not_shown():
    config = load(document(entry(), general_settings={"master_key": "os.environ/K"}), {"K": KEY})

    assert KEY == config.master_key
    assert not config.allow_anonymous
    assert KEY not in repr(config)


def test_text_that_is_not_unicode_is_refused_anywhere():
    assert [f"{AT}.user: holds text that is not valid Unicode"] == problems({"user": "\ud800"})
    assert [f"{AT}.stop[0]: must be a finite number"] == problems({"stop": [float("nan")]})


SECRET = "Zq9-hush-hush-value"
SECRETS = st.sampled_from([SECRET, SECRET + " x", "os.environ/S", "https://u:" + SECRET + "@h"])
NAMES = st.sampled_from(
    [
        "model_list",
        "model_name",
        "litellm_params",
        "model_info",
        "model",
        "api_base",
        "base_url",
        "api_key",
        "azure_ad_token",
        "tenant_id",
        "client_id",
        "client_secret",
        "api_version",
        "rpm",
        "weight",
        "timeout",
        "id",
        "mode",
        "master_key",
        "allow_anonymous",
        "general_settings",
        "router_settings",
        "litellm_settings",
        "callbacks",
        "max_budget",
        "temperature",
        "stop",
        "num_retries",
        "key_management_system",
        "x",
    ]
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), SECRETS, st.just("azure/x"))
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=25,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "model_name": SCALARS,
        "litellm_params": st.dictionaries(NAMES, TREES),
        "model_info": TREES,
        "rpm": SCALARS,
    },
)
DOCUMENTS = st.one_of(
    TREES,
    st.fixed_dictionaries(
        {"model_list": st.lists(ENTRIES, max_size=3)},
        optional={
            "general_settings": st.dictionaries(NAMES, TREES, max_size=4),
            "router_settings": st.dictionaries(NAMES, TREES, max_size=4),
            "litellm_settings": st.dictionaries(NAMES, TREES, max_size=4),
        },
    ),
)


@settings(deadline=None)  # a busy machine is no failure
@given(DOCUMENTS, st.booleans())
def test_any_json_is_a_config_or_a_config_error_that_shows_no_value(value, allow_anonymous):
    environ = {"S": SECRET, "OPENAI_API_KEY": SECRET + "\n.", "AZURE_API_VERSION": SECRET}
    text = json.dumps(value)
    problems, warnings = check(text, environ, allow_anonymous=allow_anonymous)
    try:
        loaded = load(text, environ, allow_anonymous=allow_anonymous).warnings
    except ConfigError as error:
        loaded = error.problems

    assert (problems or tuple(warnings)) == loaded
    assert SECRET not in "".join([*problems, *warnings])


def test_a_valid_document_has_no_warnings():
    assert [] == warnings()
