"""What holds for all deployments: strategy, rests, fallbacks, limits of clients."""

import pytest
from support.documents import KEY, document, entry, member

from gateway.config.access import ClientLimits, Limit
from gateway.config.deployment import Fallbacks
from gateway.config.load import check, load
from gateway.limits.tokens.signals import COOLDOWN_LONGEST

NOT_A_MODEL = "names a model that is not in model_list"
KINDS = {
    "fallbacks": "general",
    "context_window_fallbacks": "context_window",
    "content_policy_fallbacks": "content_policy",
}


def two(**sections):
    """A document with the models "gpt" and "big"."""
    return document(entry(name="gpt"), entry(name="big"), **sections)


def loaded(**sections):
    return load(two(**sections), {})


def problems(**sections):
    return check(two(**sections), {})[0]


def warnings(**sections):
    return check(two(**sections), {})[1]


def with_limits(limits):
    return {"general_settings": {"master_key": KEY, "client_limits": limits}}


# Strategy


@pytest.mark.parametrize(
    ("settings", "shuffle", "capped"),
    [
        ({}, False, False),
        ({"routing_strategy": "simple-shuffle"}, True, False),
        ({"routing_strategy": "usage-based-routing"}, False, True),
        ({"routing_strategy": "usage-based-routing-v2"}, False, True),
        ({"routing_strategy": "least-busy"}, False, False),
        ({"optional_pre_call_checks": ["enforce_model_rate_limits"]}, False, True),
        ({"optional_pre_call_checks": []}, False, False),
        ({"optional_pre_call_checks": ["prompt_caching"]}, False, False),
        (
            {
                "routing_strategy": "simple-shuffle",
                "optional_pre_call_checks": ["enforce_model_rate_limits"],
            },
            True,
            True,
        ),
    ],
)
def test_strategy_and_checks_decide_between_weights_choice_and_caps(settings, shuffle, capped):
    config = loaded(router_settings=settings)

    assert (shuffle, capped) == (config.shuffle, config.capped)


@pytest.mark.parametrize("strategy", ["least-busy", "latency-based-routing", "cost-based-routing"])
def test_a_strategy_that_ours_replaces_is_warned_of(strategy):
    instead = "deployments are chosen by their room per second until their limit renews"
    assert [f"router_settings.routing_strategy: {strategy} is not available; {instead}"] == warnings(
        router_settings={"routing_strategy": strategy}
    )


@pytest.mark.parametrize(
    "strategy", ["simple-shuffle", "usage-based-routing", "usage-based-routing-v2", None]
)
def test_a_strategy_that_is_served_is_not_warned_of(strategy):
    assert [] == warnings(router_settings={"routing_strategy": strategy})


def test_an_unknown_strategy_is_a_problem():
    known = "simple-shuffle, usage-based-routing, usage-based-routing-v2, least-busy, latency-based-routing"
    sentence = f"is not a known strategy; use one of {known}, cost-based-routing, or remove it"
    assert [f"router_settings.routing_strategy: {sentence}"] == problems(
        router_settings={"routing_strategy": "round-robin"}
    )


def test_other_checks_are_warned_of_by_name():
    assert [
        "router_settings.optional_pre_call_checks: prompt_caching has no effect",
        "router_settings.optional_pre_call_checks: responses_api_deployment_check has no effect",
    ] == warnings(
        router_settings={
            "optional_pre_call_checks": [
                "prompt_caching",
                "enforce_model_rate_limits",
                "responses_api_deployment_check",
            ]
        }
    )


# Fallbacks


@pytest.mark.parametrize("section", ["router_settings", "litellm_settings"])
@pytest.mark.parametrize("key", KINDS)
def test_each_kind_of_fallbacks_is_read_from_either_section(section, key):
    config = loaded(**{section: {key: [{"gpt": ["big"]}, {"big": ["gpt", "big"]}]}})

    expected = Fallbacks(**{KINDS[key]: {"gpt": ("big",), "big": ("gpt", "big")}})
    assert expected == config.fallbacks


@pytest.mark.parametrize("key", KINDS)
def test_the_routers_fallbacks_win_kind_by_kind(key):
    other = next(kind for kind in KINDS if kind != key)
    config = loaded(
        router_settings={key: [{"gpt": ["big"]}]},
        litellm_settings={key: [{"big": ["gpt"]}], other: [{"big": ["gpt"]}]},
    )

    assert {"gpt": ("big",)} == getattr(config.fallbacks, KINDS[key])
    assert {"big": ("gpt",)} == getattr(config.fallbacks, KINDS[other])


def test_default_fallbacks_are_those_of_models_without_their_own():
    config = loaded(litellm_settings={"default_fallbacks": ["big"]})

    assert Fallbacks(default=("big",)) == config.fallbacks


def test_a_star_among_the_fallbacks_is_the_default():
    config = loaded(router_settings={"fallbacks": [{"*": ["big"]}, {"big": ["gpt"]}]})

    assert Fallbacks(general={"big": ("gpt",)}, default=("big",)) == config.fallbacks


def test_default_fallbacks_win_over_the_star():
    config = loaded(router_settings={"fallbacks": [{"*": ["big"]}], "default_fallbacks": ["gpt"]})

    assert ("gpt",) == config.fallbacks.default


@pytest.mark.parametrize("key", ["context_window_fallbacks", "content_policy_fallbacks"])
def test_a_star_among_the_other_kinds_stands_for_every_model_without_an_entry_but_not_for_itself(key):
    entries = [{"*": ["big", "gpt"]}, {"other": []}]
    text = document(entry(name="gpt"), entry(name="big"), entry(name="other"), router_settings={key: entries})

    assert (
        Fallbacks(**{KINDS[key]: {"gpt": ("big",), "big": ("gpt",), "other": ()}}) == load(text, {}).fallbacks
    )


@pytest.mark.parametrize("key", KINDS)
def test_what_a_star_leads_to_is_a_model(key):
    assert [f"router_settings.{key}[0].<key>: {NOT_A_MODEL}; it is left out"] == warnings(
        router_settings={key: [{"*": ["big", "none"]}]}
    )


@pytest.mark.parametrize("section", ["router_settings", "litellm_settings"])
@pytest.mark.parametrize("key", KINDS)
def test_fallbacks_of_and_to_unknown_models_are_left_out_with_a_warning(section, key):
    settings = {section: {key: [{"big": ["gpt"]}, {"none": ["big"]}, {"gpt": ["big", "nothing"]}]}}

    assert [
        f"{section}.{key}[1].none: {NOT_A_MODEL}; it is left out",
        f"{section}.{key}[2].gpt: {NOT_A_MODEL}; it is left out",
    ] == warnings(**settings)
    assert {"big": ("gpt",), "gpt": ("big",)} == getattr(loaded(**settings).fallbacks, KINDS[key])


@pytest.mark.parametrize("section", ["router_settings", "litellm_settings"])
def test_an_unknown_default_is_left_out_with_a_warning(section):
    settings = {section: {"default_fallbacks": ["big", "none"]}}

    assert [f"{section}.default_fallbacks: {NOT_A_MODEL}; it is left out"] == warnings(**settings)
    assert ("big",) == loaded(**settings).fallbacks.default


@pytest.mark.parametrize(
    ("value", "place"),
    [("big", ""), ([["big"]], "[0]"), ([{"gpt": {}}], "[0].gpt"), ([{"gpt": [1]}], "[0].gpt[0]")],
)
def test_fallbacks_of_another_shape_are_problems(value, place):
    (problem,) = problems(router_settings={"fallbacks": value})

    assert problem.startswith(f"router_settings.fallbacks{place}: ")


@pytest.mark.parametrize("value", [{"gpt": ["big"]}, [{"gpt": "big"}], {"gpt": "big"}])
def test_fallbacks_in_other_shapes_that_people_write_are_taken(value):
    assert {"gpt": ("big",)} == loaded(router_settings={"fallbacks": value}).fallbacks.general


def test_many_names_that_nothing_serves_are_one_warning():
    fallbacks = [{"gpt": [f"gone-{number}" for number in range(20)]}]

    assert [
        "router_settings.fallbacks: names models that are not in model_list, 20 times; they are left out"
    ] == warnings(router_settings={"fallbacks": fallbacks})


@pytest.mark.parametrize(
    ("settings", "most"), [({}, 5), ({"max_fallbacks": 0}, 0), ({"max_fallbacks": 2}, 2)]
)
def test_at_most_so_many_fallbacks_are_tried(settings, most):
    assert most == loaded(router_settings=settings).fallbacks.most


@pytest.mark.parametrize(("settings", "most"), [({}, 6), ({"max_upstream_calls": 1}, 1)])
def test_a_request_makes_so_many_upstream_calls_at_most(settings, most):
    assert most == loaded(router_settings=settings).max_upstream_calls


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "5"])
def test_a_request_makes_one_upstream_call_at_least(value):
    (problem,) = problems(router_settings={"max_upstream_calls": value})

    assert problem.startswith("router_settings.max_upstream_calls: must be ")


# Rests and waiting


def test_rests_are_configured_for_all_and_the_routers_word_wins():
    config = loaded(
        router_settings={"allowed_fails": 0, "cooldown_time": 7},
        litellm_settings={"allowed_fails": 3, "cooldown_time": 9},
    )

    assert (0, 7) == (config.allowed_fails, config.cooldown_time)


def test_no_rest_at_all_is_a_rest_of_its_own_length():
    text = document(
        entry({"cooldown_time": 0}, model_info={"cooldown_time": 5}),
        router_settings={"cooldown_time": 0},
        litellm_settings={"cooldown_time": 9},
    )
    config = load(text, {})
    ((deployment,),) = config.models.values()

    assert (0, 0) == (config.cooldown_time, deployment.cooldown_time)


def test_the_librarys_word_on_rests_counts_where_the_router_has_none():
    config = loaded(litellm_settings={"allowed_fails": 3, "cooldown_time": 9.5})

    assert (3, 9.5) == (config.allowed_fails, config.cooldown_time)


def test_nothing_is_configured_by_default():
    config = loaded()

    assert (None, None, False, 0.0, None, Fallbacks()) == (
        config.allowed_fails,
        config.cooldown_time,
        config.disable_cooldowns,
        config.max_wait,
        config.client_limits,
        config.fallbacks,
    )


def test_cooldowns_can_be_disabled_and_waiting_allowed():
    config = loaded(router_settings={"disable_cooldowns": True, "max_wait": 2.5})

    assert (True, 2.5) == (config.disable_cooldowns, config.max_wait)


def test_rests_that_are_configured_longer_than_any_rest_are_warned_of_where_they_stand():
    places = "in gpt#1, short, router_settings, litellm_settings"
    text = document(
        entry({"cooldown_time": 61}),
        entry({"cooldown_time": COOLDOWN_LONGEST}),
        entry(model_info={"id": "short", "cooldown_time": 300.5}),
        router_settings={"cooldown_time": COOLDOWN_LONGEST + 1},
        litellm_settings={"cooldown_time": 3600},
    )

    assert [f"cooldown_time: a rest ends after 60 seconds at the latest ({places})"] == check(text, {})[1]


def test_rests_of_up_to_the_longest_are_not_warned_of():
    assert [] == warnings(
        router_settings={"cooldown_time": COOLDOWN_LONGEST}, litellm_settings={"cooldown_time": 0}
    )


@pytest.mark.parametrize("key", ["cooldown_time", "max_wait"])
@pytest.mark.parametrize("value", [-1, True, "5", float("nan")])
def test_seconds_are_positive_numbers(key, value):
    (problem,) = problems(router_settings={key: value})

    assert problem.startswith(f"router_settings.{key}: must be ")


@pytest.mark.parametrize("key", ["allowed_fails", "max_fallbacks"])
@pytest.mark.parametrize("value", [-1, 1.5, True, "5"])
def test_counts_are_whole_numbers_from_zero(key, value):
    (problem,) = problems(router_settings={key: value})

    assert problem.startswith(f"router_settings.{key}: must be ")


def test_a_members_own_rests_are_read():
    deployment = member({"cooldown_time": 3}, model_info={"allowed_fails": 0, "cooldown_time": 9})

    assert (3, 0) == (deployment.cooldown_time, deployment.allowed_fails)


def test_a_members_rest_may_stand_in_its_model_info():
    assert 9 == member(model_info={"cooldown_time": 9}).cooldown_time


@pytest.mark.parametrize(("info", "ptu"), [({}, False), ({"ptu_count": 100}, True)])
def test_a_count_of_ptus_makes_a_member_provisioned(info, ptu):
    assert ptu == member(model_info=info).ptu


@pytest.mark.parametrize("value", [0, -1, 1.5, "100"])
def test_a_count_of_ptus_is_a_positive_whole_number(value):
    (problem,) = check(document(entry(model_info={"ptu_count": value})), {})[0]

    assert problem.startswith("model_list[0].model_info.ptu_count: must be ")


# Caps that are exact

ENFORCED = {"optional_pre_call_checks": ["enforce_model_rate_limits"]}
IDLE = (
    "model_list: strict has no effect (in gpt#1); it makes rpm and tpm exact where "
    "router_settings.optional_pre_call_checks holds enforce_model_rate_limits"
)


@pytest.mark.parametrize("place", ["entry", "params", "info"])
def test_a_members_cap_can_be_strict_wherever_its_limit_may_stand(place):
    given = {
        "entry": entry({"rpm": 5}, strict=True),
        "params": entry({"rpm": 5, "strict": True}),
        "info": entry({"rpm": 5}, model_info={"strict": True}),
    }
    config = load(document(given[place], router_settings=ENFORCED), {})

    assert (True, ()) == (config.models["gpt"][0].strict, config.warnings)


@pytest.mark.parametrize(
    ("params", "router"), [({"rpm": 5}, {}), ({}, ENFORCED)], ids=["no caps", "no limit"]
)
def test_strict_without_a_cap_is_warned_of(params, router):
    text = document(entry({"strict": True, **params}), router_settings=router)

    assert [IDLE] == check(text, {})[1]


# Limits of clients


def test_limits_of_the_client_are_read_in_all_and_by_model():
    config = loaded(
        **with_limits(
            {"rpm": 20, "strict": True, "models": {"gpt": {"tpm": 1000}, "big": {"rpm": 1, "tpm": 2}}}
        )
    )

    assert (
        ClientLimits(Limit(20, None, strict=True), {"gpt": Limit(None, 1000), "big": Limit(1, 2)})
        == config.client_limits
    )


def test_limits_of_single_models_need_none_in_all():
    assert (
        ClientLimits(Limit(), {"gpt": Limit(rpm=3)})
        == loaded(**with_limits({"models": {"gpt": {"rpm": 3}}})).client_limits
    )


AT = "general_settings.client_limits"


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"rpm": 0}, f"{AT}.rpm: must be greater than 0"),
        ({"tpm": "x"}, f"{AT}.tpm: must be a whole number; write it without quotes"),
        ({"rps": 1}, f"{AT}.rps: unknown key, did you mean rpm?"),
        ({"strict": True}, f"{AT}.strict: has no limit to make exact; set rpm or tpm beside it"),
        ({"models": {"none": {"rpm": 1}}}, f"{AT}.models.none: {NOT_A_MODEL}"),
        ({"models": {"gpt": 5}}, f"{AT}.models.gpt: must be a mapping of keys to values"),
        ({"models": {"gpt": {"rpm": -1}}}, f"{AT}.models.gpt.rpm: must be greater than 0"),
        (
            {"models": {"gpt": {"strict": True}}},
            f"{AT}.models.gpt.strict: has no limit to make exact; set rpm or tpm beside it",
        ),
        (
            {"models": {"gpt": {"rpm": 1, "models": {}}}},
            f"{AT}.models.gpt.models: must stand beside the limits of all models, not within one's",
        ),
    ],
)
def test_what_is_wrong_with_a_clients_limits_is_told_where_it_stands(limits, problem):
    assert [problem] == problems(**with_limits(limits))


@pytest.mark.parametrize(("value", "opens"), [(None, True), (True, True), (False, False)])
def test_strict_caps_fail_open_unless_configured_otherwise(value, opens):
    config = loaded(general_settings={"master_key": KEY, "strict_fails_open": value})

    assert opens == config.strict_fails_open
    assert () == config.warnings


def test_whether_strict_caps_fail_open_is_true_or_false():
    assert ["general_settings.strict_fails_open: must be true or false; write it without quotes"] == problems(
        general_settings={"master_key": KEY, "strict_fails_open": "no"}
    )
