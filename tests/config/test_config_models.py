"""What a configuration says of the model behind a member, and what its members' bodies get and lose for it."""

import pytest
from support.documents import BASE, document, entry, member, problems, warnings

from gateway.config.load import load
from gateway.protocol.capabilities import COMPLETES_TEXTS, REASONING

AT = "model_list[0].litellm_params"


@pytest.mark.parametrize(
    ("params", "info"),
    [
        ({"base_model": "o3-mini"}, {}),
        ({}, {"base_model": "azure/o3-mini-2025-01-31"}),
        ({"base_model": "gpt-4o"}, {"base_model": "o4-mini"}),
        ({"model": "azure/gpt5_series/dep"}, {}),
        ({"base_model": "azure/some-model-of-ours"}, {"supports_reasoning": True}),
        ({"model": "openai/o3-mini", "base_model": "o3-mini"}, {}),
    ],
)
def test_a_base_model_or_a_series_makes_a_reasoning_model(params, info):
    assert REASONING == member(params, model_info=info).capabilities


@pytest.mark.parametrize(
    "model", ["azure/o1-mini", "azure/demo1-gpt4o", "azure/prod-o3", "openai/o3", "o1", "azure/gpt-5"]
)
def test_a_deployments_name_makes_no_reasoning_model(model):
    facts = {"supports_reasoning": True, "supports_system_messages": False, "supports_native_streaming": True}

    assert member({"model": model}, model_info=facts).capabilities is None


@pytest.mark.parametrize(
    "name", ["o1-mini", "gpt-5-2025-08-07", "gpt-35-turbo-instruct", "prod_o3-mini-eu", "gpt-5.9-nano"]
)
def test_a_deployment_that_is_called_after_such_a_model_is_told(name):
    told = warnings({"model": f"azure/{name}"})

    assert 1 == len(told)
    assert f"{AT}.model: is called after a model that takes other parameters than most" in told[0]
    assert [] == warnings({"model": f"azure/{name}", "base_model": "gpt-4o"})


@pytest.mark.parametrize("name", ["demo1-gpt4o", "foo3", "gpt-5-chat", "gpt-4o-2024-08-06", "dep"])
def test_other_names_say_nothing(name):
    assert [] == warnings({"model": f"azure/{name}"})


@pytest.mark.parametrize("base_model", ["gpt-4o", "azure/my-own", "", None, 5, ["o1"]])
def test_an_ordinary_or_unknown_base_model_changes_nothing(base_model):
    assert member({}, model_info={"base_model": base_model}).capabilities is None


@pytest.mark.parametrize(
    ("base_model", "info", "streams", "system_messages"),
    [
        ("o1", {"supports_native_streaming": True}, True, True),
        ("o3", {"supports_native_streaming": False}, False, True),
        ("o1-mini", {"supports_system_messages": True}, False, True),
        ("o4-mini", {"supports_system_messages": False}, True, False),
        ("o4-mini", {"supports_system_messages": "no"}, True, True),
    ],
)
def test_model_info_overrides_what_is_known(base_model, info, streams, system_messages):
    known = member({}, model_info={"base_model": base_model, **info}).capabilities

    assert (streams, system_messages) == (known.streams, known.system_messages)


def test_a_model_that_is_said_not_to_stream_needs_no_base_model():
    known = member({}, model_info={"supports_native_streaming": False}).capabilities

    assert (False, False, {}) == (known.streams, known.renames_max_tokens, known.refused)


def test_allowed_parameters_are_neither_refused_nor_left_out():
    params = {"base_model": "o1", "allowed_openai_params": ["temperature", "parallel_tool_calls"]}
    known = member(params).capabilities

    assert (False, set()) == ("temperature" in known.refused, known.doubtful)
    assert "top_p" in known.refused


@pytest.mark.parametrize(
    ("of_all", "own", "dropped"),
    [(True, None, True), (True, False, False), (None, True, True), (None, None, False)],
)
def test_a_members_own_drop_params_wins(of_all, own, dropped):
    config = load(document(entry({"drop_params": own}), litellm_settings={"drop_params": of_all}), {})

    assert dropped is config.models["gpt"][0].drop_params


def test_drop_params_may_come_from_the_environment():
    assert member({"drop_params": "os.environ/DROP"}, environ={"DROP": "true"}).drop_params
    assert [f"{AT}.drop_params: must be true or false; write it without quotes"] == problems(
        {"drop_params": "yes"}
    )


def test_request_defaults_are_those_that_the_model_takes():
    params = {
        "base_model": "o1",
        "max_tokens": 9,
        "temperature": 0.2,
        "seed": 1,
        "extra_body": {"top_p": 0.5, "x": 1},
    }

    made = member(params)

    assert ({"max_completion_tokens": 9, "seed": 1}, {"x": 1}) == (made.defaults, made.extra_body)
    assert [
        f"{AT}.temperature: is left out, for the model does not take it",
        f"{AT}.extra_body.top_p: is left out, for the model does not take it",
    ] == warnings(params)
    assert [] == warnings({**params, "drop_params": True})


@pytest.mark.parametrize(
    ("params", "info"),
    [
        ({"model": "azure_text/dep"}, {}),
        ({"model": "azure_text/dep"}, {"mode": "chat"}),
        ({"model": "azure_text/dep"}, {"mode": "completion"}),
        ({}, {"mode": "completion", "base_model": "azure/gpt-35-turbo-instruct"}),
    ],
)
def test_an_instruct_deployment_is_called_for_completions_where_a_chat_is_asked(params, info):
    made = member(params, model_info=info)

    assert COMPLETES_TEXTS == made.capabilities
    assert {"chat", "text_completion"} == made.targets.keys()
    assert {f"{BASE}/openai/deployments/dep/completions?api-version=2024-10-21"} == {
        target.url for target in made.targets.values()
    }
