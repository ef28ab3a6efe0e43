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

    assert ["model_list: members of providers that are not served: gone"] == result.lost
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


@pytest.mark.parametrize(
    ("params", "said", "written"),
    [
        ({"rpm": "60", "timeout": "1.5"}, None, ("rpm: 60\n", "timeout: 1.5\n")),
        ({"timeout": 5, "request_timeout": 9}, "request_timeout: timeout says it", ("timeout: 5\n",)),
        ({"organization": "org"}, "organization: has no effect", ()),
        (
            {"tenant_id": "t", "client_id": "c", "client_secret": "s"},
            "tenant_id: api_key is used",
            ("api_key:",),
        ),
        ({"cooldown_time": 600}, "cooldown_time: a rest ends after 60 seconds", ("cooldown_time: 60\n",)),
        ({"extra_headers": {"api-key": "k"}}, "extra_headers: its api-key", ("api_key: k\n",)),
    ],
)
def test_what_can_be_written_as_it_is_meant_is_no_loss(params, said, written):
    result = migrate(document(entry(params)))

    assert [] == result.lost
    assert said is None or any(said in note for note in result.dropped)
    assert [] == [text for text in written if text not in result.document]


@pytest.mark.parametrize(
    ("beside", "lost"),
    [
        ({"model_info": {"id": "two words"}}, "a member of gpt: model_info.id: "),
        ({"rpm": -5}, "a member of gpt: rpm: "),
        ({"litellm_params": {"stream_timeout": "soon"}}, "a member of gpt: litellm_params.stream_timeout: "),
        ({"litellm_params": {"extra_headers": {"Host": "a", "te": "b"}}}, "a member of gpt: litellm_params.extra_headers.Host: "),
    ],
)  # fmt: skip
def test_a_key_that_does_not_load_is_lost_and_its_model_serves(beside, lost):
    whole = entry(beside.get("litellm_params")) | {
        key: value for key, value in beside.items() if key != "litellm_params"
    }
    result = migrate(document(whole))

    assert [True] == [loss.startswith(lost) for loss in result.lost]
    assert "model_name: gpt" in result.document


def test_a_key_without_which_it_would_be_another_member_takes_the_member_with_it():
    result = migrate(document(entry(), entry({"api_key": "two words"}, name="other")))

    assert [True] == [loss.startswith("a member of other: litellm_params.api_key: ") for loss in result.lost]
    assert "other" not in result.document


@pytest.mark.parametrize("fallbacks", [{"gpt": ["big", "gone"]}, [{"gpt": "big"}]])
def test_fallbacks_are_written_as_litellm_has_them(fallbacks):
    result = migrate(document(entry(), entry(name="big"), router_settings={"fallbacks": fallbacks}))

    assert [] == result.lost
    assert "  fallbacks:\n  - gpt:\n    - big\n" in result.document


def test_wildcards_and_what_they_serve_stay():
    router = {"fallbacks": [{"azure/*": ["azure/a", "gone"]}], "model_group_alias": {"b": "azure/b"}}
    result = migrate(document(entry({"model": "azure/*"}, name="azure/*"), router_settings=router))

    assert [] == result.lost
    assert "- azure/*:\n    - azure/a\n" in result.document.replace("    -", "    -")
    assert "b: azure/b" in result.document


def test_notes_on_many_entries_fit_on_a_screen():
    info = {"input_cost_per_token": 0.1, "output_cost_per_token": 0.2}
    others = [entry({"model": "bedrock/x"}, name=f"claude-{number}") for number in range(30)]
    result = migrate(
        document(*[entry(name=f"m{n}", model_info=info, tags=["x"]) for n in range(60)], *others)
    )

    assert len(result.dropped) <= 4
    assert 1 == len(result.lost)
    assert "claude-29" in result.lost[0]


def test_a_key_given_twice_is_taken_as_litellm_takes_it_and_said():
    result = migrate(
        "model_list: [{model_name: m, rpm: 1, rpm: 2, litellm_params: {model: azure/a, api_base: 'https://r.openai.azure.com'}}]"
    )

    assert ([], True) == (result.lost, "rpm: 2" in result.document)
    assert any("model_list[0].rpm: is given twice" in note for note in result.dropped)


def test_a_number_that_nobody_can_read_is_lost():
    result = migrate(
        "model_list: [{model_name: m, rpm: 0600, litellm_params: {model: azure/a, api_base: 'https://r.openai.azure.com'}}]"
    )

    assert (1, False) == (len(result.lost), "rpm" in result.document)


def test_a_variable_of_the_documents_own_may_stand_for_one_of_the_environment():
    result = migrate(
        document(
            entry({"api_base": "os.environ/BASE"}),
            environment_variables={"BASE": "os.environ/REAL_BASE"},
        )
    )

    assert ([], True) == (result.lost, "BASE: os.environ/REAL_BASE" in result.document)


def test_notes_hold_no_secret():
    secret = "sk-very-secret-0123456789"
    result = migrate(
        document(
            entry({"api_key": secret, "azure_ad_token": secret + " x", secret: 1}),
            entry({"api_key": secret, "client_secret": secret}),
            guardrails=[secret],
            general_settings={"master_key": secret + " ", secret: secret, "database_url": secret},
        )
    )

    assert secret not in "".join(result.dropped + result.lost)


def test_what_is_left_of_an_entry_comes_out_of_itself():
    entries = [entry(model_info={"id": "twice"}), entry(model_info={"id": "twice"})]
    result = migrate(document(*entries))

    assert result.document == migrate(result.document).document
