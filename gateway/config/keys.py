"""LiteLLM's keys that this gateway knows without acting on them: accepted with a warning, or refused.

A key is refused when a LiteLLM proxy would have denied, limited or hidden something because of it and this
gateway would not: an operator who moves a configuration over must not lose a protection in silence.
Everything else that has no effect is accepted, and named in one warning. A refused key that is switched off
(false, null, an empty list) asks for nothing and is accepted too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Section -> keys accepted without effect.
WITHOUT_EFFECT: Mapping[str, frozenset[str]] = {
    "litellm_params": frozenset(
        {
            "additional_drop_params",
            "allowed_openai_params",
            "base_model",
            "budget_duration",
            "drop_params",
            "extra_body",
            "extra_headers",
            "input_cost_per_token",
            "itpm",
            "max_parallel_requests",
            "max_retries",
            "mock_response",
            "num_retries",
            "otpm",
            "output_cost_per_token",
            "region_name",
            # Whether a reply is streamed is the client's choice: it reads what it asked for.
            "stream",
            "stream_format",
            "stream_options",
            "tags",
            # Lets clients choose base URL and key; here they never can, which is the stricter of the two.
            "configurable_clientside_auth_params",
        }
    ),
    "model_info": frozenset(
        {
            "allowed_fails_policy",
            "base_model",
            "cost_per_ptu_per_hour",
            "disable_background_health_check",
            "max_input_tokens",
            "supports_native_streaming",
            "health_check_max_tokens",
            "health_check_model",
            "health_check_timeout",
            "health_check_voice",
        }
    ),
    "router_settings": frozenset(
        {
            "allowed_fails_policy",
            "default_max_parallel_requests",
            "enable_pre_call_checks",
            "enable_weighted_failover",
            "model_group_alias",
            "model_group_retry_policy",
            "redis_host",
            "redis_password",
            "redis_port",
            "redis_url",
            "retry_after",
            "retry_policy",
            "routing_groups",
            "routing_strategy_args",
        }
    ),
    "litellm_settings": frozenset(
        {
            "cache",
            "cache_params",
            "drop_params",
            "enable_azure_ad_token_refresh",
            "enable_preview_features",
            "set_verbose",
        }
    ),
    "general_settings": frozenset(
        {
            "always_include_stream_usage",
            "background_health_checks",
            "cancel_on_disconnect",
            # Without the database there are no virtual keys: their holders are refused, nobody gains access.
            "database_url",
            "forward_client_headers_to_llm_api",
            "global_max_parallel_requests",
            "health_check_interval",
            # Capacity guards of one process. The bound on held bytes and upstream's own limits remain.
            "max_parallel_requests",
        }
    ),
}

_VAULT = (
    "os.environ/NAME would be read from the environment instead of the key vault; remove it, set "
    "KEY_VAULT_URL and write keyvault/NAME for each secret"
)

#: Section -> key -> why it is refused, and what to do.
REFUSED: Mapping[str, Mapping[str, str]] = {
    "litellm_params": {
        "azure_username": "sign-in by user name is not supported, and another identity would be used; "
        "use api_key, azure_ad_token or tenant_id, client_id and client_secret",
        "azure_password": "sign-in by password is not supported, and another identity would be used; "
        "use api_key, azure_ad_token or tenant_id, client_id and client_secret",
        "max_budget": "spending would not be limited; remove it and set a budget on the Azure resource",
        "default_api_key_rpm_limit": "requests per client key would not be limited; remove it to accept that",
        "default_api_key_tpm_limit": "tokens per client key would not be limited; remove it to accept that",
    },
    "model_info": {},
    "router_settings": {
        "enable_tag_filtering": "deployments kept for certain tags would serve every request; "
        "remove it and give those deployments a model_name of their own",
    },
    "litellm_settings": {
        "callbacks": "a callback that guards or rewrites requests would not run; remove it to accept that",
    },
    "general_settings": {
        "allowed_routes": "every route would be open to clients; remove it to accept that",
        "key_management_settings": _VAULT,
        "key_management_system": _VAULT,
        "use_azure_key_vault": _VAULT,
    },
}

#: LiteLLM's callbacks that only observe; any other one may be a guard.
_OBSERVERS = frozenset(
    (
        "arize",
        "azure_storage",
        "braintrust",
        "datadog",
        "galileo",
        "gcs_bucket",
        "helicone",
        "lago",
        "langfuse",
        "langfuse_otel",
        "langsmith",
        "logfire",
        "lunary",
        "mlflow",
        "openmeter",
        "opik",
        "otel",
        "prometheus",
        "s3",
        "sentry",
        "slack",
        "sqs",
        "weights_biases",
    )
)


def weakens(key: str, value: Any) -> bool:
    """Tell whether leaving out this key of `REFUSED`, with this value, would leave something unprotected."""
    if not value:
        # A budget or limit of zero forbids everything, which is a protection; other empty values ask nothing.
        return isinstance(value, int | float) and not isinstance(value, bool)
    names = value if isinstance(value, list) else [value]
    if key == "callbacks":
        return not all(isinstance(name, str) and name in _OBSERVERS for name in names)
    return True
