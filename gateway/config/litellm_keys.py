"""Every key that LiteLLM documents and that does nothing here, and what that means, section by section.

Data only. Keys with an effect are the fields of the models in `document`. docs/litellm-compatibility.md is
made from both (`scripts/compatibility.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

#: A sentence, and the keys that it is about.
Row = tuple[str, str]

_MONEY = "The gateway knows no prices, so no reply or log line carries a cost."
DATABASE = "There is no database: keys that LiteLLM made are refused, and users and teams do not exist."
_PAGES = "There is no user interface to sign in to."
_LOGS = "Log lines have a form of their own and never hold prompts or answers."
OBSERVERS = "The observer is not called; calls are logged as lines of JSON."
CACHE = "No reply is cached: each call goes upstream."
_REDIS = "Limits are shared through Table Storage, not through Redis."
OTHER_ENDPOINTS = "These endpoints are not served: calls to them are answered with 404."
_HEALTH = "Models are never called to see whether they are healthy; what calls bring about tells."
_CHOICE = "Deployments are chosen by their room, limits and failures, as routing.md says."
_PROVIDER = "It belongs to a provider that is not served."
_TRANSPORT = "Connections are the gateway's own: verified TLS, kept open."
_MODEL_FACT = "Facts about a model (prices, abilities, texts) change neither the choice nor a reply."
_AS_SENT = "Bodies are forwarded as they come, whatever the model."
_TAGS = "Tags are not read."
_ALERTS = "No alerts are sent; alert on the log lines instead."
VIRTUAL = "It concerns keys, users or teams of LiteLLM's database, which are refused here."
_PROCESS = "The process has bounds of its own (GATEWAY_MAX_HELD_BYTES) and the platform scales it."
_CLOSED = "It would open something that stays closed here."
_TIMEOUTS = "Time-outs are timeout and stream_timeout."
#: Of names that people write and LiteLLM leaves unread.
UNREAD = "LiteLLM does not read it, either."
#: Of names that nobody knows and that speak of nothing but `TELLING`.
BY_NAME = "It is not known here; what its name speaks of (logs, costs, caches, retries) protects nothing."

#: Section -> what is accepted without effect.
ACCEPTED: Mapping[str, tuple[Row, ...]] = {
    "document": (
        (
            OTHER_ENDPOINTS,
            (
                "mcp_servers mcp_tools mcp_aliases files_settings finetune_settings assistant_settings "
                "vector_store_registry search_tools sandbox_tools default_vertex_config agent_list agents "
                "pass_through_endpoints prompts cost_margin_config"
            ),
        ),
        (OBSERVERS, "callback_settings"),
        (_PROCESS, "worker_registry"),
        (
            UNREAD,
            (
                "routing_rules budget_manager logging logging_settings log_level debug features version "
                "server server_settings proxy_settings ui_settings cache_settings redis_settings "
                "health_check health_check_settings monitoring observability metrics default_model "
                "model_aliases fallback_models retry_settings custom_settings metadata name description "
                "model_groups model_config advanced_settings"
            ),
        ),
    ),
    "model_list": (
        (VIRTUAL, "access_groups"),
        (
            _MODEL_FACT,
            (
                "description display_name provider model_type model_id capabilities tier category use_case "
                "notes comment cost cost_per_1k_tokens context_window max_context_tokens"
            ),
        ),
        (UNREAD, "litellm_settings router_settings general_settings priority"),
    ),
    "litellm_params": (
        (_TIMEOUTS, "ttft_timeout stream_idle_timeout"),
        ("Write them as extra_headers.", "headers default_headers"),
        ("Prompts are never changed to make a model take them.", "modify_params"),
        (
            _MONEY,
            (
                "input_cost_per_token output_cost_per_token input_cost_per_second output_cost_per_second "
                "input_cost_per_pixel output_cost_per_pixel input_cost_per_character cost_per_second"
            ),
        ),
        ("A budget's period has no meaning without the budget.", "budget_duration"),
        (
            "Input and output tokens have no limits of their own; tpm holds for both.",
            "itpm otpm daily_reset_time",
        ),
        (
            "Retries are those of router_settings; a group with several members tries each of them.",
            "retry_policy",
        ),
        (
            "No function is asked for a token: without another credential it is the managed identity's.",
            "azure_ad_token_provider",
        ),
        ("Every call goes upstream.", "mock_response mock_tool_calls mock_timeout"),
        ("The region is not looked at.", "allowed_model_region"),
        (
            "Whether a reply is streamed is the client's choice.",
            "stream stream_format stream_options keepalive_seconds allow_client_keepalive_override",
        ),
        (_TAGS, "tags tag_regex"),
        (
            "The deployment is what stands in model.",
            "azure_deployment deployment_id deployment engine model_alias",
        ),
        (
            "Clients can never choose the address or the key of a call.",
            "configurable_clientside_auth_params",
        ),
        (
            "Time-outs do not depend on the service tier.",
            "timeout_by_service_tier stream_timeout_by_service_tier",
        ),
        (
            "Fallbacks are those of router_settings.",
            "fallbacks context_window_fallbacks context_window_fallback_dict",
        ),
        (CACHE, "caching cache ttl"),
        (
            _AS_SENT,
            (
                "merge_reasoning_content_in_choices thought_signature_in_tool_call_id "
                "cache_control_injection_points use_chat_completions_api responses_api_version "
                "custom_prompt_dict preset_cache_key supports_system_message "
                "disable_add_transform_inline_image_block model_file_id_mapping max_file_size_mb "
                "hf_model_name initial_prompt_value roles final_prompt_value bos_token eos_token prompt_id "
                "prompt_variables prompt_label prompt_version input_type"
            ),
        ),
        (_LOGS, "verbose logger_fn set_verbose litellm_trace_id litellm_call_id"),
        (_TRANSPORT, "ssl_verify api_type client use_litellm_proxy force_timeout provider_affinity_header"),
        (
            OTHER_ENDPOINTS,
            (
                "use_in_pass_through vector_store_id vector_store_ids realtime_protocol embedding_model "
                "index_name vector_bucket_name milvus_db_name milvus_partition_names milvus_text_field "
                "valkey_embedding_field valkey_host valkey_password valkey_port valkey_ssl valkey_text_field"
            ),
        ),
        (VIRTUAL, "litellm_session_id access_groups"),
        (
            _PROVIDER,
            (
                "aws_access_key_id aws_secret_access_key aws_session_token aws_region_name "
                "aws_session_name aws_profile_name aws_role_name aws_web_identity_token aws_sts_endpoint "
                "aws_external_id aws_session_tags aws_bedrock_runtime_endpoint "
                "aws_bedrock_control_plane_endpoint aws_bedrock_project_id aws_batch_role_arn "
                "vertex_project vertex_location vertex_credentials vertex_ai_project vertex_ai_location "
                "vertex_ai_credentials watsonx_region_name gcs_bucket_name bucket_name s3_bucket_name "
                "s3_endpoint_url s3_region_name s3_output_bucket_name s3_access_key_id "
                "s3_secret_access_key s3_encryption_key_id s3_bucket_owner bedrock_tags model_id "
                "project_id space_id use_xai_oauth auto_router_config auto_router_config_path "
                "auto_router_default_model auto_router_embedding_model complexity_router_config "
                "complexity_router_default_model adaptive_router_config adaptive_router_default_model "
                "quality_router_config quality_router_default_model kubernetes_pod_discovery "
                "switchyard_router_config auto_router_max_input_chars auto_router_model_compression "
                "auto_router_routing_compression chatgpt_auth_file thinking context_management "
                "include_server_side_tool_invocations allow_legacy_cloud_file_ids fireworks_forward_user_id "
                "anthropic_disable_workload_identity_federation anthropic_federation_rule_id "
                "anthropic_federation_workspace_id anthropic_identity_source anthropic_identity_token "
                "anthropic_identity_token_file anthropic_issuer_audience anthropic_issuer_signing_key_ref "
                "anthropic_issuer_subject anthropic_issuer_ttl_seconds anthropic_issuer_url "
                "anthropic_keycloak_auth_method anthropic_keycloak_client_id "
                "anthropic_keycloak_client_secret_ref anthropic_keycloak_scope anthropic_keycloak_token_url "
                "anthropic_organization_id anthropic_service_account_id"
            ),
        ),
    ),
    # Anything else is accepted in model_info, too: LiteLLM reads it as an open bag.
    "model_info": (
        (
            _HEALTH,
            (
                "disable_background_health_check health_check_max_tokens health_check_model "
                "health_check_timeout health_check_voice health_check_params"
            ),
        ),
        (
            "Failures are forgiven by their number (allowed_fails), not by their kind.",
            "allowed_fails_policy",
        ),
        (
            _MODEL_FACT,
            (
                "cost_per_ptu_per_hour description max_tokens max_input_tokens "
                "max_output_tokens supported_endpoints supported_modalities "
                "litellm_provider"
            ),
        ),
        (
            VIRTUAL,
            "access_groups team_public_model_name created_by created_at updated_by updated_at db_model",
        ),
    ),
    "router_settings": (
        (
            UNREAD,
            (
                "enable_fallbacks fallback_strategy fallback_models enable_failover failover retry_delay "
                "retry_strategy retry_backoff retry_backoff_factor exponential_backoff max_retry_delay "
                "retry_on_status_codes enable_retries enable_load_balancing load_balancing "
                "enable_health_checks cooldown_period enable_cooldown enable_cooldowns routing_rules debug "
                "verbose log_level"
            ),
        ),
        (
            "Failures are forgiven by their number (allowed_fails), not by their kind.",
            "allowed_fails_policy",
        ),
        (
            "Upstream judges a prompt's length; context_window_fallbacks hold for what it refuses.",
            "enable_pre_call_checks enable_pre_call_check",
        ),
        (_TIMEOUTS, "ttft_timeout stream_idle_timeout"),
        (
            _CHOICE,
            (
                "enable_weighted_failover routing_groups routing_strategy_args model_group_affinity_config "
                "weights deployment_affinity_ttl_seconds default_priority polling_interval "
                "default_deployment fallback_on_unsupported_params provider_default_deployment_ids "
                "caching_groups auto_router_capability_limit session_affinity_repin_on_failover"
            ),
        ),
        (
            "Nothing is tried after the first byte of an answer; a stream that breaks off is an error.",
            "enable_mid_stream_fallback_continuation",
        ),
        (_TAGS, "tag_filtering_match_any tag_routing_prefix"),
        (
            "Retries are num_retries for a lone deployment; a group tries each of its members.",
            "retry_after max_retries",
        ),
        (
            _REDIS,
            (
                "redis_host redis_password redis_port redis_url redis_db redis_ssl redis_username "
                "redis_startup_nodes"
            ),
        ),
        (CACHE, "cache_responses cache_kwargs client_ttl"),
        (_LOGS, "set_verbose debug_level"),
        (
            _HEALTH,
            (
                "enable_health_check_routing health_check_staleness_threshold "
                "health_check_ignore_transient_errors background_health_check_model_groups"
            ),
        ),
        (_ALERTS, "alerting_config"),
        (
            "Every entry is read and checked.",
            "ignore_invalid_deployments router_general_settings",
        ),
        (OTHER_ENDPOINTS, "assistants_config search_tools"),
        (
            "Write defaults into the entries' litellm_params.",
            "default_litellm_params",
        ),
    ),
    "litellm_settings": (
        (
            UNREAD,
            (
                "debug detailed_debug verbose log log_level log_file log_format logging_level timezone "
                "default_model default_params default_temperature default_max_tokens enable_streaming "
                "retry_delay retry_strategy enable_fallbacks fallback_models host port num_workers "
                "success_callbacks failure_callbacks enable_logging log_requests log_responses track_cost "
                "track_cost_per_request cost_tracking enable_cost_tracking enable_metrics metrics_port "
                "enable_cache enable_caching cache_enabled cache_ttl model_access_groups "
                "content_policy_fallback context_window_fallback model_config load_env_variables use_azure "
                "use_aws use_vertex_ai disable_adding_anthropic_headers"
            ),
        ),
        (
            CACHE,
            (
                "cache cache_params caching caching_with_models "
                "enable_caching_on_provider_specific_optional_params default_in_memory_ttl "
                "default_redis_ttl default_redis_batch_cache_expiry disable_copilot_system_to_assistant"
            ),
        ),
        (
            "Prompts and stop sequences are never changed to make a model take them.",
            "modify_params disable_stop_sequence_limit LITELLM_DISABLE_STOP_SEQUENCE_LIMIT",
        ),
        (
            (
                "LiteLLM does not read it there, either: the key is that of general_settings, "
                "GATEWAY_MASTER_KEY or LITELLM_MASTER_KEY."
            ),
            "master_key",
        ),
        ("It concerns guardrails, which are refused.", "skip_system_message_in_guardrail"),
        (_PROCESS, "max_parallel_requests global_max_parallel_requests"),
        ("Tokens of Entra ID are always renewed before they end.", "enable_azure_ad_token_refresh"),
        ("Nothing has to be switched on for newer models.", "enable_preview_features"),
        (
            _LOGS,
            (
                "set_verbose json_logs suppress_debug_info turn_off_message_logging "
                "redact_user_api_key_info redact_messages_in_exceptions log_raw_request_response "
                "disable_streaming_logging store_audit_logs standard_logging_payload_excluded_fields "
                "log_client_error_tracebacks log_auth_failure_key_identity request_correlation_in_logs "
                "expose_router_debug_in_errors global_disable_no_log_param "
                "allow_dynamic_callback_disabling"
            ),
        ),
        (
            OBSERVERS,
            (
                "success_callback failure_callback service_callback service_callbacks input_callback "
                "audit_log_callbacks callback_settings default_team_settings langfuse_default_tags "
                "langfuse_enable_update_trace_keys langsmith_batch_size argilla_batch_size "
                "argilla_transformation_object s3_callback_params s3_audit_callback_params "
                "aws_sqs_callback_params datadog_params datadog_llm_observability_params newrelic_params "
                "generic_logger_headers cold_storage_custom_logger gcs_pub_sub_use_v1 generic_api_use_v1 "
                "datadog_use_v1 otel_tenant_destination_mode email logging dynamodb_table_name "
                "custom_prometheus_metadata_labels custom_prometheus_tags prometheus_metrics_config "
                "prometheus_latency_buckets prometheus_initialize_budget_metrics "
                "prometheus_exclude_metrics prometheus_exclude_labels prometheus_emit_stream_label "
                "require_auth_for_metrics_endpoint enable_end_user_cost_tracking_prometheus_only "
                "disable_end_user_cost_tracking_prometheus_only"
            ),
        ),
        (
            _MONEY,
            (
                "disable_end_user_cost_tracking include_cost_in_streaming_usage cost_discount_config "
                "cost_margin_config model_cost extra_spend_tag_headers "
                "disable_add_user_agent_to_request_tags budget_exceeded_status_code default_soft_budget "
                "budget_rollover budget_duration internal_user_budget_duration"
            ),
        ),
        (
            VIRTUAL,
            (
                "default_internal_user_params default_team_params default_key_generate_params "
                "upperbound_key_generate_params key_generation_settings max_internal_user_budget "
                "default_max_internal_user_budget max_ui_session_budget "
                "default_key_max_budget_alert_emails key_alias_pattern enable_key_alias_format_validation "
                "priority_reservation priority_reservation_settings personal_key_model_access_from_teams "
                "validate_end_user_id_in_db max_end_user_budget_id enable_redis_auth_cache"
            ),
        ),
        (
            _PAGES,
            (
                "ui_theme_config public_model_groups public_model_groups_links public_agent_groups "
                "public_mcp_servers public_skills_index blog_posts_url autorouter_presets_url"
            ),
        ),
        (
            _TRANSPORT,
            (
                "ssl_verify ssl_certificate ssl_security_level ssl_ecdh_curve force_ipv4 "
                "use_aiohttp_transport disable_aiohttp_transport aiohttp_trust_env "
                "disable_aiohttp_trust_env http2 proxy_auth in_memory_llm_clients_cache client_session "
                "aclient_session network_mock forward_traceparent_to_llm_provider"
            ),
        ),
        ("Nothing is reported to anybody.", "telemetry"),
        (
            _AS_SENT,
            (
                "add_function_to_prompt reasoning_auto_summary reasoning_effort_rounding "
                "enable_json_schema_validation custom_prompt_dict disable_add_prefix_to_prompt "
                "filter_invalid_headers return_response_headers openai_system_messages_first "
                "route_all_chat_openai_to_responses add_user_information_to_llm_headers "
                "disable_token_counter disable_hf_tokenizer_download max_tokens "
                "bedrock_neutralize_orphaned_tool_blocks use_chat_completions_url_for_anthropic_messages "
                "disable_add_transform_inline_image_block overwrite_user_with_key_hash "
                "sse_keepalive_ping_interval_seconds model_fallbacks"
            ),
        ),
        (
            "Credentials and addresses stand in the entries of model_list.",
            (
                "api_base api_version api_key organization project headers azure_key openai_key "
                "use_litellm_proxy use_client"
            ),
        ),
        (
            _PROVIDER,
            (
                "vertex_project vertex_location vertex_ai_safety_settings custom_provider_map "
                "anthropic_key cohere_key groq_key huggingface_key replicate_key openrouter_key "
                "enable_anthropic_prompt_caching anthropic_prompt_caching_ttl "
                "enable_gemini_default_thinking_level_low gemini_include_thoughts_default "
                "gemini_live_defer_setup disable_anthropic_gemini_context_caching_transform "
                "disable_vertex_batch_output_transformation"
            ),
        ),
        (
            OTHER_ENDPOINTS,
            (
                "enable_loadbalancing_on_batch_endpoints require_managed_files vector_store_registry "
                "vector_store_index_registry mcp_aliases mcp_tool_search check_provider_endpoint "
                "global_bitbucket_config global_gitlab_config prompt_name_config_map"
            ),
        ),
        (
            "Write each name as an entry of model_list, or in router_settings.model_group_alias.",
            "model_alias_map model_group_settings",
        ),
        (_REDIS, "force_redis_hash_tag_grouping"),
        (
            "Retries are num_retries for a lone deployment; a group tries each of its members.",
            "num_retries_per_request retry",
        ),
        ("There is one mode: production.", "litellm_mode safe_memory_mode model_cost_map_url"),
    ),
    "general_settings": (
        (
            UNREAD,
            (
                "debug debug_mode detailed_debug verbose log log_level log_file log_format log_requests "
                "logging_level enable_logging timezone default_model environment disable_health_check "
                "health_check_endpoint enable_health_check enable_metrics metrics_port prometheus_port "
                "enable_prometheus enable_telemetry enable_ui disable_ui docs_url enable_docs title "
                "server_root_path proxy_base_url proxy_host proxy_port workers enable_model_list "
                "enable_spend_logging enable_spend_logs log_spend track_cost cost_tracking "
                "enable_cost_tracking enable_cache enable_caching cache_enabled enable_streaming "
                "enable_database use_database async_data_store model_config custom_headers "
                "disable_auth disable_authentication"
            ),
        ),
        (
            "A stream carries its usage where its client asks for it.",
            "always_include_stream_usage",
        ),
        (
            _HEALTH,
            (
                "background_health_checks health_check_interval health_check_details "
                "health_check_concurrency use_shared_health_check health_check_staleness_threshold "
                "health_check_ignore_transient_errors enable_health_check_routing "
                "health_check_skip_disabled_background_models model_list_healthy_only "
                "background_health_check_model_groups"
            ),
        ),
        ("A call ends when its client is gone, always.", "cancel_on_disconnect"),
        (
            DATABASE,
            (
                "database_url database_connection_pool_limit database_connection_pool_timeout "
                "database_connection_timeout database_connect_timeout database_socket_timeout "
                "database_max_idle_connection_lifetime database_extra_connection_params "
                "database_disable_prepared_statements database_type database_args "
                "disable_prisma_schema_update allow_requests_on_db_unavailable store_model_in_db "
                "supported_db_objects use_redis_transaction_buffer proxy_batch_write_at "
                "proxy_budget_rescheduler_min_time proxy_budget_rescheduler_max_time disable_reset_budget "
                "use_spend_logs_partitioning coordination_redis proxy_config_reload_interval_seconds "
                "scheduled_job_stagger disable_model_info_refresh salt_key "
                "scope_spend_list_endpoints_to_caller legacy_unscoped_spend_list_endpoints"
            ),
        ),
        (
            _LOGS,
            (
                "disable_spend_logs disable_spend_updates disable_error_logs store_prompts_in_spend_logs "
                "spend_logs_metadata_fields spend_logs_prompt_storage spend_report_frequency "
                "maximum_spend_logs_retention_period maximum_spend_logs_retention_interval "
                "maximum_spend_logs_cleanup_cron maximum_spend_logs_size "
                "maximum_health_check_retention_period spend_capture_rate_check "
                "disable_requester_ip_address_logging disable_adding_master_key_hash_to_db "
                "maximum_autorouter_session_retention_period maximum_daily_tag_spend_retention_period "
                "maximum_spend_logs_cleanup_target_size maximum_spend_logs_size_check_interval "
                "maximum_spend_logs_cleanup_batch_size maximum_spend_logs_cleanup_max_batches "
                "maximum_spend_logs_cleanup_run_budget maximum_spend_logs_cleanup_batch_timeout "
                "use_spend_logs_ledger include_call_id_in_error_body expose_fallback_errors_to_caller "
                "set_verbose otel tracing"
            ),
        ),
        (
            VIRTUAL,
            (
                "custom_key_generate custom_key_update custom_key_policy disable_custom_api_keys "
                "disable_master_key_return disable_key_generate_for_org_admin default_team_disabled "
                "disable_auto_add_proxy_admin_to_teams user_api_key_cache_ttl user_api_key_cache_max_size "
                "use_team_public_model_name team_metadata_schema custom_team_metadata_validate "
                "service_account_settings role_permissions enforce_rbac role_mappings "
                "self_serve_budget_policy apply_user_budget_to_team_keys disable_budget_reservation "
                "token_rate_limit_type disable_retry_on_max_parallel_request_limit_error "
                "enable_redis_auth_cache"
            ),
        ),
        (
            (
                "Who comes with a token that the gateway does not know is refused; entra in the document "
                "lets tokens of Entra ID in."
            ),
            (
                "enable_jwt_auth litellm_jwtauth enable_oauth2_auth enable_oauth2_proxy_auth "
                "oauth2_config_mappings allow_user_auth custom_auth_run_common_checks"
            ),
        ),
        (
            _PAGES,
            (
                "ui_access_mode custom_sso custom_ui_sso_sign_in_handler auto_redirect_ui_login_to_sso "
                "enable_public_model_hub password_policy_min_length password_policy_require_uppercase "
                "password_policy_require_lowercase password_policy_require_numbers "
                "password_policy_require_special_characters password_policy_check_breached_passwords "
                "disable_password_login_when_sso_enabled disable_env_credential_login "
                "hide_default_credentials_hint max_failed_login_attempts_per_source "
                "max_failed_login_attempts_per_source_overrides ui_username ui_password "
                "failed_login_window_seconds failed_login_block_seconds control_plane_url "
                "allow_cli_sso_verification_uri_complete litellm_license"
            ),
        ),
        (
            _ALERTS,
            "alerting alert_types alerting_args alerting_threshold alert_to_webhook_url alert_type_config",
        ),
        (
            OTHER_ENDPOINTS,
            (
                "pass_through_endpoints pass_through_request_timeout enable_mcp_registry search_tools "
                "max_batch_file_size_mb max_batch_file_records max_batch_file_uploads_per_day "
                "max_file_size_mb max_file_downloads_per_minute allowed_file_extensions "
                "blocked_file_extensions passthrough_managed_object_ids "
                "disable_batch_input_file_rate_limiting track_unmanaged_batch_cost "
                "skip_batch_input_file_rate_limiting_for_models "
                "skip_batch_input_file_rate_limiting_for_providers mcp_internal_ip_ranges "
                "mcp_trusted_proxy_ranges mcp_required_fields mcp_client_side_auth_header_name "
                "mcp_disabled_capabilities user_mcp_management_mode enable_openai_websocket_passthrough "
                "vector_store_deny_by_default search_tool_deny_by_default disable_responses_id_security "
                "allow_unmanaged_response_ids enable_drain_endpoint drain_endpoint_token "
                "responses_websocket_session_limit_seconds agent_access_default_deny skill_scanner "
                "enable_claude_code_gateway claude_code_gateway_managed_settings "
                "claude_code_marketplace_auth_required allowed_client_side_s3_buckets "
                "allowed_client_side_s3_endpoint_urls vertex_ai_pass_through_drop_anthropic_betas "
                "transcribe_media_buckets mcp_advertised_versions mcp_allowed_clients "
                "mcp_require_explicit_server_scope mcp_client_id_header mcp_xff_num_trusted_hops "
                "mcp_prefer_client_id_metadata_document provider_url_destination_allowed_hosts "
                "use_client_credentials_pass_through_routes require_end_user_mcp_access_defined "
                "image_generation_model proxy_batch_polling_interval"
            ),
        ),
        (
            "Headers of the client do not go upstream.",
            (
                "forward_client_headers_to_llm_api forward_openai_org_id forward_llm_provider_auth_headers "
                "user_header_name user_header_mappings"
            ),
        ),
        (
            _PROCESS,
            (
                "global_max_parallel_requests max_parallel_requests max_in_flight_requests_per_worker "
                "max_queued_requests_per_worker admission_queue_timeout_seconds host port num_workers"
            ),
        ),
        (
            _CLOSED,
            (
                "public_routes allow_client_side_credentials allow_public_health_readiness_details "
                "dangerously_permit_weak_or_unset_master_key infer_model_from_keys"
            ),
        ),
        ("Crawlers find nothing to read: every page needs a key.", "block_robots"),
        (
            "The caller names the model.",
            "completion_model embedding_model moderation_model return_wildcard_routes",
        ),
        (_TAGS, "reject_clientside_metadata_tags request_tag_mappings"),
        ("Callers send their key as Bearer, api-key or x-api-key.", "litellm_key_header_name"),
        ("The peer's address is not used.", "use_x_forwarded_for trusted_proxy_ranges"),
        ("Addresses within bodies are never fetched.", "user_url_validation user_url_allowed_hosts"),
        (
            _CHOICE,
            "enforce_fallback_model_access disable_fallbacks_on_per_model_rate_limits missing_session_id",
        ),
    ),
}

#: LiteLLM's callbacks that only observe.
OBSERVING = (
    "agentops argilla arize arize_phoenix athina aws_sqs azure_sentinel azure_storage braintrust "
    "clickhouse cloudzero datadog datadog_llm_observability datadog_metrics deepeval dynamodb focus "
    "galileo gcs_bucket gcs_pubsub generic_api greenscale helicone humanloop lago langfuse "
    "langfuse_otel langsmith langtrace levo literalai logfire lunary mavvrik mlflow newrelic "
    "openmeter opik otel pagerduty pointfive posthog prometheus promptlayer resend_email s3 s3_v2 "
    "sendgrid_email sentry signoz slack smtp_email sqs supabase ternary traceloop vantage wandb "
    "weave weave_otel weights_biases zerobus"
)

#: Words for what is told, kept, repeated or looked after, and words that stand beside them. A name of such
#: words alone limits, filters and lets in nothing.
TELLING = (
    "log logs logging logger verbose debug trace tracing metric metrics monitor monitoring telemetry "
    "observability prometheus otel opentelemetry grafana dashboard stats statistics analytics report "
    "reports reporting alert alerts alerting notification notifications webhook webhooks slack email "
    "spend cost costs pricing cache caching redis ttl database db postgres ui docs swagger health "
    "healthcheck retry retries backoff fallback fallbacks failover cooldown queue batching latency"
)
BESIDE = (
    "enable enabled disable disabled use store track tracking collect save show print set default level "
    "file path dir format type mode name url uri host port endpoint interval timeout time seconds delay "
    "settings config proxy model models request requests response responses on status code codes "
    "check checks write writes auto update updates connection pool optimization raw detailed details"
)

#: What any flag is that would open something.
CLOSED = _CLOSED
#: What any price in `litellm_params` is.
MONEY = _MONEY
#: What any other key of `model_info` is.
OPEN_BAG = _MODEL_FACT

_USER = (
    "sign-in by user name is not supported, and another identity would be used; "
    "use api_key, azure_ad_token or tenant_id, client_id and client_secret"
)
_VAULT = (
    "os.environ/NAME would be read from the environment instead of the key vault; remove it, set "
    "KEY_VAULT_URL and write keyvault/NAME for each secret"
)
_BUDGET = "spending would not be limited; remove it and set a budget on the Azure resource"
_GUARD = "a rule that guards or rewrites requests would not run; remove it to accept that"
_ROUTES = (
    "every route would be open to clients; remove it to accept that (openai_routes holds all that are served)"
)
_TEAM = "everyone could call a model that is kept for some; remove it, and say in clients who may use what"
_SIZE = "bodies of any size up to GATEWAY_MAX_BODY_BYTES would pass; remove it, and set that variable instead"
_PER_KEY = "per client key would not be limited; remove it to accept that"

#: Section -> what is refused, unless it is switched off.
REFUSED_ROWS: Mapping[str, tuple[Row, ...]] = {
    "document": ((_GUARD, "guardrails policies policy_attachments plugins classifier_plugin"),),
    "model_list": (("the deployment would be called; remove the entry instead", "blocked"),),
    "litellm_params": (
        (_USER, "azure_username azure_password"),
        (_BUDGET, "max_budget"),
        (f"requests {_PER_KEY}", "default_api_key_rpm_limit"),
        (f"tokens {_PER_KEY}", "default_api_key_tpm_limit"),
        ("a day's requests or tokens would not be limited; use rpm and tpm", "rpd tpd"),
        (_GUARD, "guardrails"),
    ),
    "model_info": (
        (_TEAM, "team_id"),
        ("the model would serve every environment; remove it to accept that", "supported_environments"),
        ("the model could be called at any time; remove it to accept that", "access_windows"),
        ("the deployment would be called; remove the entry instead", "blocked"),
        (_BUDGET, "max_budget"),
    ),
    "router_settings": (
        (
            (
                "deployments kept for certain tags would serve every request; "
                "remove it and give those deployments a model_name of their own"
            ),
            "enable_tag_filtering",
        ),
        (_BUDGET, "provider_budget_config"),
        (_GUARD, "guardrail_list"),
        (
            "fallbacks would be called without the check; remove it to accept that",
            "fallback_access_check fallback_budget_check",
        ),
        ("a plugin that chooses deployments would not run; remove it to accept that", "plugins"),
    ),
    "litellm_settings": (
        ("a callback that guards or rewrites requests would not run; remove it to accept that", "callbacks"),
        (
            _GUARD,
            (
                "guardrails pre_call_rules post_call_rules banned_keywords_list blocked_user_list "
                "llm_guard_mode llamaguard_model_name llamaguard_unsafe_content_categories "
                "openai_moderations_model_name google_moderation_confidence_threshold "
                "presidio_ad_hoc_recognizers output_parse_pii guardrail_name_config_map "
                "block_requests_for_models_without_pricing"
            ),
        ),
        (_BUDGET, "max_budget max_user_budget max_end_user_budget tag_budget_config default_end_user_params"),
        (_VAULT, "secret_manager_client"),
    ),
    "general_settings": (
        (_ROUTES, "allowed_routes admin_only_routes"),
        (_VAULT, "key_management_settings key_management_system use_azure_key_vault use_google_kms"),
        (
            "callers from every address would be let in; remove it, and use the platform's access rules",
            "allowed_ips",
        ),
        ("callers would be let in by other rules; remove it, and say in clients who may call", "custom_auth"),
        (
            "calls without these parameters would pass; remove it to accept that",
            "enforce_user_param enforced_params",
        ),
        (_SIZE, "max_request_size_mb"),
        (_GUARD, "plugins"),
        ("replies of any size would pass; remove it to accept that", "max_response_size_mb"),
        (
            "calls would pass while shared limits are unknown; remove it, and set strict_fails_open: false",
            "fail_closed_rate_limit_enforcement fail_closed_budget_enforcement",
        ),
    ),
}
