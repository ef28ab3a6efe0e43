"""Every name of LiteLLM's constructor is known to ours: it works, or is warned of, or refused for what it protects."""

from __future__ import annotations

import warnings

import pytest

from gateway import ConfigurationError, Router

#: litellm 1.110.2, the constructor's parameters, with a value that may be given.
NAMES = {
    "assistants_config": {"custom_llm_provider": "azure"},
    "search_tools": [{}],
    "redis_url": "redis://h",
    "redis_host": "h",
    "redis_port": 6379,
    "redis_password": "p",
    "redis_db": 1,
    "cache_responses": True,
    "cache_kwargs": {"a": 1},
    "caching_groups": [("a", "b")],
    "client_ttl": 60,
    "polling_interval": 0.1,
    "default_priority": 1,
    "num_retries": 3,
    "max_fallbacks": 2,
    "timeout": 30,
    "stream_timeout": 10.5,
    "default_litellm_params": {"temperature": 1},
    "default_max_parallel_requests": 5,
    "set_verbose": True,
    "debug_level": "DEBUG",
    "default_fallbacks": ["gpt"],
    "fallbacks": [{"gpt": ["gpt"]}],
    "context_window_fallbacks": [{"gpt": ["gpt"]}],
    "content_policy_fallbacks": [{"gpt": ["gpt"]}],
    "model_group_alias": {"other": "gpt"},
    "enable_pre_call_checks": True,
    "enable_tag_filtering": False,
    "tag_filtering_match_any": False,
    "retry_after": 1,
    "retry_policy": {"TimeoutErrorRetries": 2},
    "model_group_retry_policy": {"gpt": {"TimeoutErrorRetries": 2}},
    "allowed_fails": 2,
    "allowed_fails_policy": {"TimeoutErrorAllowedFails": 2},
    "cooldown_time": 5,
    "disable_cooldowns": True,
    "routing_strategy": "simple-shuffle",
    "optional_pre_call_checks": ["prompt_caching"],
    "routing_strategy_args": {"ttl": 10},
    "provider_budget_config": None,
    "alerting_config": {"a": 1},
    "router_general_settings": {"async_only_mode": True},
    "deployment_affinity_ttl_seconds": 5,
    "ignore_invalid_deployments": True,
    "guardrail_list": [],
    "tag_routing_prefix": "tag:",
    "plugins": [],
    "fallback_on_unsupported_params": False,
    "routing_groups": [{"a": 1}],
    "model_group_affinity_config": {"gpt": ["session_affinity"]},
    "enable_health_check_routing": True,
    "health_check_staleness_threshold": 60,
    "health_check_ignore_transient_errors": True,
    "background_health_check_model_groups": ["gpt"],
    "enable_weighted_failover": True,
    "enable_mid_stream_fallback_continuation": True,
    "fallback_access_check": None,
    "fallback_budget_check": None,
    "auto_router_capability_limit": lambda: None,
    "session_affinity_repin_on_failover": True,
}
ENTRY = {
    "model_name": "gpt",
    "litellm_params": {"model": "azure/x", "api_base": "https://x.openai.azure.com", "api_key": "k"},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_litellms_constructor_is_taken(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        Router([ENTRY], **{name: NAMES[name]})


def test_what_is_switched_off_is_not_warned_of():
    off = {"set_verbose": False, "enable_pre_call_checks": False, "cache_kwargs": {}, "retry_after": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Router([ENTRY], enable_tag_filtering=False, guardrail_list=[], redis_host="", **off)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("provider_budget_config", {"azure": {"budget_limit": 1}}),
        ("fallback_access_check", lambda **_: True),
        ("fallback_budget_check", lambda **_: True),
        ("plugins", [object()]),
    ],
    ids=["budget", "access", "fallbacks-budget", "plugins"],
)
def test_what_protects_is_refused_with_its_path(name, value):
    with pytest.raises(ConfigurationError, match=rf"router_settings.{name}: is refused"):
        Router([ENTRY], **{name: value})
