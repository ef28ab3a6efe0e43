"""Entries with `*` in their `model_name`: which names they serve, as which deployments."""

import pytest
from support.documents import document, entry

from gateway.config.load import check, load
from gateway.config.wildcards import ServedNames


def served(*entries, **sections):
    return ServedNames(load(document(*entries, **sections), {}).models)


def wildcard(name, model, **params):
    return entry({"model": model} | params, name=name)


def called(names, name):
    """What a call of `name` goes to."""
    return [(each.name, each.targets["chat"].url) for each in names.deployments(name)]


URL = "https://r.openai.azure.com/openai/deployments/{}/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("pattern", "model", "name", "expected"),
    [
        ("*", "azure/*", "gpt-4o", "gpt-4o"),
        ("*", "azure/*", "azure/gpt-4o", "gpt-4o"),
        ("azure/*", "azure/*", "azure/gpt-4o_v1.2", "gpt-4o_v1.2"),
        ("gpt-*", "azure/prod-gpt-*", "gpt-4o", "prod-gpt-4o"),
        ("gpt-*", "azure/gpt-*-eu", "gpt-4o", "gpt-4o-eu"),
        ("team/*/x-*", "azure/*-x-*", "team/a/x-b", "a-x-b"),
        ("team-*-*", "azure/*", "team-a-b", "a"),
        ("gpt-*", "azure/the-one", "gpt-whatever/it is", "the-one"),
    ],
)
def test_what_stands_for_the_star_takes_its_place_in_the_model(pattern, model, name, expected):
    assert [(expected, URL.format(expected))] == called(served(wildcard(pattern, model)), name)


@pytest.mark.parametrize(
    "name",
    [
        "azure/",
        "azure/*",
        "azure/..",
        "azure/.",
        "azure/a/b",
        "azure/a%2fb",
        "azure/a b",
        "azure/a?b",
        "azure/a#b",
        "azure/ä",
        "azure/" + "x" * 65,
        "azure/a\nb",
        "gpt-4o",
        "Azure/gpt-4o",
    ],
)
def test_what_no_deployment_can_be_called_is_no_model(name):
    names = served(wildcard("azure/*", "azure/*"))

    assert (False, []) == (name in names, called(names, name))


def test_a_name_of_64_characters_is_one():
    assert "azure/" + "x" * 64 in served(wildcard("azure/*", "azure/*"))


def test_exact_names_win_and_then_the_closest_wildcard():
    names = served(
        wildcard("*", "azure/any-*"),
        wildcard("gpt-4*", "azure/four*"),
        wildcard("gpt-*", "azure/gpt-*"),
        wildcard("gpt-4o", "azure/exact"),
    )

    assert ["exact", "fouro-mini", "gpt-5", "any-o3"] == [
        called(names, name)[0][0] for name in ("gpt-4o", "gpt-4o-mini", "gpt-5", "o3")
    ]
    assert ["gpt-4o"] == list(names)


def test_all_entries_of_a_wildcard_are_one_group_with_an_id_for_each_name():
    names = served(
        wildcard("azure/*", "azure/*"), wildcard("azure/*", "azure/*", api_base="https://s.openai.azure.com")
    )

    assert ["azure/*#1:a", "azure/*#2:a"] == [each.id for each in names.deployments("azure/a")]
    assert [("a",), ("a",)] == [each.parts for each in names.deployments("azure/a")]


def test_a_deployment_in_the_address_stays():
    base = "https://r.openai.azure.com/openai/deployments/fixed"
    names = served(wildcard("azure/*", "azure/*", api_base=base))

    assert f"{base}/chat/completions?api-version=2024-10-21" == called(names, "azure/other")[0][1]


def test_the_v1_path_and_openai_name_it_in_the_body():
    names = served(
        wildcard("azure/*", "azure/*", api_version="v1"),
        wildcard("openai/*", "openai/*", api_base=..., api_key="sk-1"),
    )

    assert ("a", "https://r.openai.azure.com/openai/v1/chat/completions") == called(names, "azure/a")[0]
    assert "ft:gpt-4o:org::id" == called(names, "openai/ft:gpt-4o:org::id")[0][0]
    assert [] == called(names, "openai/gpt 4")


@pytest.mark.parametrize(
    ("name", "model"),
    [("any", "azure/*"), ("a*", "azure/*-*"), ("any", "openai/*"), ("any", "azure_text/*"), ("any", "gpt-*")],
)
def test_a_star_that_nothing_stands_for_is_refused(name, model):
    problems, _ = check(document(wildcard(name, model)), {"OPENAI_API_KEY": "sk-1"})

    assert ["holds a * that model_name does not"] == [
        problem.split(": ")[1].split(";")[0] for problem in problems
    ]


def test_a_star_without_a_provider_is_refused_with_advice():
    problems, _ = check(document(wildcard("*", "*")), {})

    assert [
        "model_list[0].litellm_params.model: names no provider; write azure/* or openai/*, whichever of the two is meant"
    ] == problems


def test_fallbacks_aliases_limits_and_policies_may_name_what_a_wildcard_serves():
    router = {
        "fallbacks": [{"azure/*": ["azure/backup"]}, {"azure/a": ["exact"]}],
        "model_group_alias": {"fast": "azure/mini"},
        "model_group_retry_policy": {
            "azure/*": {"TimeoutErrorRetries": 1},
            "azure/a": {"RateLimitErrorRetries": 0},
        },
    }
    text = document(
        wildcard("azure/*", "azure/*"),
        entry(name="exact"),
        router_settings=router,
        clients=[
            {"name": "team", "keys": ["sha256:" + "0" * 64], "models": ["azure/a", "azure/gpt-*"],
             "limits": {"models": {"azure/a": {"rpm": 1}}}}
        ],
    )  # fmt: skip
    config = load(text, {})

    assert () == config.warnings
    assert {"azure/*": ("azure/backup",), "azure/a": ("exact",)} == config.fallbacks.general
    assert "azure/mini" == config.aliases["fast"].model
    assert {"azure/*": {"TimeoutError": 1}, "azure/a": {"RateLimitError": 0}} == config.retry_policies.groups


def test_a_wildcard_is_no_model_that_a_fallback_can_lead_to():
    config = load(
        document(wildcard("azure/*", "azure/*"), router_settings={"fallbacks": [{"azure/a": ["azure/*"]}]}),
        {},
    )

    assert {"azure/a": ()} == config.fallbacks.general
    assert [
        "router_settings.fallbacks[0].<key>: names a model that is not in model_list; it is left out"
    ] == list(config.warnings)


@pytest.mark.parametrize(
    ("pattern", "name", "marks"),
    [
        ("azure/*", "azure/o_series/think", (True, False)),
        ("*", "azure/o_series/think", (True, False)),
        ("*", "gpt5_series/think", (True, True)),
        ("*", "azure/think", None),
    ],
)
def test_a_caller_may_say_of_which_series_a_deployment_is(pattern, name, marks):
    (made,) = served(wildcard(pattern, "azure/*", max_tokens=5)).deployments(name)

    known = made.capabilities
    assert ("think", URL.format("think")) == (made.name, made.targets["chat"].url)
    assert marks == (None if known is None else (known.renames_max_tokens, known.streams))
    assert {"max_completion_tokens" if known else "max_tokens": 5} == made.defaults
    assert f"{pattern}#1:think" == made.id


@pytest.mark.parametrize(
    "name", ["azure/o_series/", "azure/o_series/a/b", "azure/x_series/a", "azure/o_series/o_series/a"]
)
def test_what_is_no_series_is_no_deployment(name):
    assert [] == called(served(wildcard("azure/*", "azure/*")), name)


def test_what_an_entry_says_of_its_model_goes_before_the_callers_series():
    names = served(wildcard("azure/*", "azure/*", base_model="o3-mini"))

    (made,) = names.deployments("azure/o_series/think")

    assert made.capabilities.streams
