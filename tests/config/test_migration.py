"""LiteLLM's configurations, brought over: what comes out loads without a warning and says what is lost."""

from pathlib import Path

import pytest
from support.documents import document, entry

from gateway.config import migration
from gateway.config.load import check
from gateway.config.problems import ConfigError


def migrate(text):
    return migration.migrate(
        text, lambda text, environ, opened: check(text, environ, allow_anonymous=opened)[0]
    )


SAMPLES = sorted((Path(__file__).parents[1] / "data" / "litellm").glob("*.yaml"))
#: Nothing of these can be served.
NOTHING = {
    "other-provider-without-prefix",
    "named-credential-missing",
    "other-apis",
}


def environment(text):
    line = text.splitlines()[2].removeprefix("# environment:")
    return dict(pair.split("=", 1) for pair in line.split())


@pytest.mark.parametrize(
    "path", [path for path in SAMPLES if path.stem not in NOTHING], ids=lambda path: path.stem
)
def test_what_comes_out_loads_without_a_warning_and_comes_out_of_itself(path):
    text = path.read_text()
    environ = environment(text)
    result = migrate(text)
    keyed = "master_key:" in result.document or {"GATEWAY_MASTER_KEY", "LITELLM_MASTER_KEY"} & environ.keys()

    problems, warnings = check(result.document, environ, allow_anonymous=not keyed)

    assert [] == problems
    assert [] == [warning for warning in warnings if "members without a credential" not in warning]
    assert (result.document, []) == ((again := migrate(result.document)).document, again.lost)


@pytest.mark.parametrize("name", sorted(NOTHING))
def test_a_file_of_which_nothing_can_be_served_is_refused_with_the_reason(name):
    (path,) = (path for path in SAMPLES if path.stem == name)
    with pytest.raises(ConfigError) as raised:
        migrate(path.read_text())

    assert "model_list: nothing in it can be served here" == raised.value.problems[0]
    assert len(raised.value.problems) > 1


@pytest.mark.parametrize(
    ("sections", "lost"),
    [
        ({"guardrails": [{"guardrail_name": "x"}]}, "guardrails: a rule"),
        ({"litellm_settings": {"max_budget": 5}}, "litellm_settings.max_budget: spending"),
        ({"general_settings": {"database_url": "postgres://u:pw@h/d"}}, "general_settings.database_url: "),
        ({"litellm_settings": {"callbacks": ["langfuse"]}}, "litellm_settings.callbacks: "),
        ({"litellm_settings": {"cache": True}}, "litellm_settings.cache: "),
        ({"router_settings": {"num_retrys": 1}}, "router_settings.num_retrys: is not known"),
    ],
)
def test_what_is_lost_is_named(sections, lost):
    result = migrate(document(entry(), **sections))

    assert [lost] == [loss[: len(lost)] for loss in result.lost]
    assert "pw" not in "".join(result.lost)


def test_a_model_of_another_provider_is_lost_and_fallbacks_to_it_are_left_out():
    text = document(
        entry(),
        entry({"model": "bedrock/x"}, name="gone"),
        router_settings={"fallbacks": [{"gpt": ["gone"]}, {"gone": ["gpt"]}]},
    )
    result = migrate(text)

    assert ["model_list[1]: its provider is not served"] == result.lost
    assert "gone" not in result.document


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("router_settings", "redis_host", "h"),
        ("litellm_settings", "set_verbose", True),
        ("litellm_settings", "enable_azure_ad_token_refresh", True),
        ("litellm_settings", "enable_preview_features", True),
        ("router_settings", "enable_pre_call_checks", True),
        ("litellm_settings", "telemetry", False),
        ("litellm_settings", "cache", False),
    ],
)
def test_what_nobody_misses_is_left_out_and_said(section, key, value):
    sections = {"general_settings": {"master_key": "sk-1"}}
    sections.setdefault(section, {})[key] = value
    result = migrate(document(entry(), **sections))

    assert ([], 1) == (result.lost, len(result.dropped))
    assert result.dropped[0].startswith(f"{section}.{key}: ")


def test_references_stay_references_whether_they_are_set_or_not():
    result = migrate(document(entry({"api_key": "os.environ/NOT_SET", "api_base": "os.environ/BASE"})))

    assert "api_key: os.environ/NOT_SET" in result.document
    assert "api_base: os.environ/BASE" in result.document


def test_an_address_in_clear_stays_with_the_word_that_it_needs_and_is_said():
    result = migrate(document(entry({"api_base": "http://egress.internal:8080"})))

    assert "allow_insecure: true" in result.document
    assert ([], 1) == (result.lost, len([note for note in result.dropped if "allow_insecure" in note]))


def test_a_missing_master_key_is_said():
    result = migrate(document(entry(), general_settings={}))

    assert [True] == [
        note.startswith("general_settings.master_key: is not in the file") for note in result.dropped
    ]


@pytest.mark.parametrize("text", ["", "[]", "model_list: 5", "a: b: c"])
def test_what_is_no_configuration_is_refused(text):
    with pytest.raises(ConfigError):
        migrate(text)


def test_members_that_do_not_load_are_lost_one_by_one_and_the_others_serve():
    other = entry({"model": "azure/responses/x"}, name="pro")
    result = migrate(document(other, other, entry(), other, other))

    assert [True] * 4 == [
        loss.startswith("a member of pro: litellm_params.model: is of another API") for loss in result.lost
    ]
    assert 1 == result.document.count("model_name")
