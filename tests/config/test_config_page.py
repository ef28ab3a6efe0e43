"""Every configuration of LiteLLM's Azure page loads as it is written there (the speech one re-indented)."""

import json
import textwrap

from gateway.config.deployment import ApiKey, ClientSecret, DefaultIdentity, StaticToken
from gateway.config.load import load

RESOURCE = "https://openai-gpt-4-test-v-1.openai.azure.com/openai/deployments"


def load_page(text, environ=None):
    return load(textwrap.dedent(text), environ or {}, allow_anonymous=True)


def only(config):
    ((deployment,),) = config.models.values()
    return deployment


def test_the_start_page_configuration_calls_its_deployment_with_the_key_from_the_environment():
    deployment = only(
        load_page(
            """
            model_list:
              - model_name: gpt-3.5-turbo
                litellm_params:
                  model: azure/chatgpt-v-2
                  api_base: https://openai-gpt-4-test-v-1.openai.azure.com/
                  api_version: "2023-05-15"
                  api_key: os.environ/AZURE_API_KEY # The `os.environ/` prefix tells litellm to read this from the env.
            """,
            {"AZURE_API_KEY": "from-env"},
        )
    )

    assert "gpt-3.5-turbo" == deployment.model_name
    assert f"{RESOURCE}/chatgpt-v-2/chat/completions?api-version=2023-05-15" == deployment.targets["chat"].url
    assert ApiKey("from-env") == deployment.credential


def test_the_o1_configuration_loads_and_says_what_its_flag_and_its_name_mean():
    config = load_page(
        """
        model_list:
          - model_name: o1-mini
            litellm_params:
              model: azure/o1-mini
              api_base: "os.environ/AZURE_API_BASE"
              api_key: "os.environ/AZURE_API_KEY"
              api_version: "os.environ/AZURE_API_VERSION"

        litellm_settings:
            enable_preview_features: true # KEY CHANGE
        """,
        {
            "AZURE_API_BASE": "https://r.openai.azure.com/",
            "AZURE_API_KEY": "k",
            "AZURE_API_VERSION": "2024-12-01-preview",
        },
    )

    assert (
        "https://r.openai.azure.com/openai/deployments/o1-mini/chat/completions?api-version=2024-12-01-preview"
        == only(config).targets["chat"].url
    )
    assert (
        (
            "model_list[0].litellm_params.model: is called after a model that takes other parameters than most, but names "
            "decide nothing; say model_info.base_model"
        ),
        "litellm_settings.enable_preview_features: has no effect: Nothing has to be switched on for newer models.",
    ) == config.warnings


def test_the_speech_configuration_keeps_the_slash_in_its_alias():
    deployment = only(
        load_page(
            """
            model_list:
              - model_name: azure/tts-1
                litellm_params:
                  model: azure/tts-1
                  api_base: "os.environ/AZURE_API_BASE_TTS"
                  api_key: "os.environ/AZURE_API_KEY_TTS"
                  api_version: "os.environ/AZURE_API_VERSION"
            """,
            {
                "AZURE_API_BASE_TTS": "https://tts.openai.azure.com",
                "AZURE_API_KEY_TTS": "k",
                "AZURE_API_VERSION": "2024-05-01-preview",
            },
        )
    )

    assert "azure/tts-1" == deployment.model_name
    assert (
        "https://tts.openai.azure.com/openai/deployments/tts-1/audio/speech?api-version=2024-05-01-preview"
        == deployment.targets["speech"].url
    )


def test_the_token_configuration_sends_the_token():
    deployment = only(
        load_page(
            """
            model_list:
              - model_name: gpt-3.5-turbo
                litellm_params:
                  model: azure/chatgpt-v-2
                  api_base: https://openai-gpt-4-test-v-1.openai.azure.com/
                  api_version: "2023-05-15"
                  azure_ad_token: os.environ/AZURE_AD_TOKEN
            """,
            {"AZURE_AD_TOKEN": "eyJ0.x.y"},
        )
    )

    assert StaticToken("eyJ0.x.y") == deployment.credential


def test_the_application_configuration_signs_in_with_its_secret():
    deployment = only(
        load_page(
            """
            model_list:
              - model_name: gpt-3.5-turbo
                litellm_params:
                  model: azure/chatgpt-v-2
                  api_base: https://openai-gpt-4-test-v-1.openai.azure.com/
                  api_version: "2023-05-15"
                  tenant_id: os.environ/AZURE_TENANT_ID
                  client_id: os.environ/AZURE_CLIENT_ID
                  client_secret: os.environ/AZURE_CLIENT_SECRET
            """,
            {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"},
        )
    )

    assert ClientSecret("t", "c", "s") == deployment.credential


def test_the_default_credential_configuration_uses_the_default_identity_and_version():
    config = load_page(
        """
        model_list:
          - model_name: gpt-3.5-turbo
            litellm_params:
              model: azure/your-deployment-name
              api_base: https://openai-gpt-4-test-v-1.openai.azure.com/

        litellm_settings:
            enable_azure_ad_token_refresh: true # KEY CHANGE
        """
    )

    assert DefaultIdentity() == only(config).credential
    assert (
        f"{RESOURCE}/your-deployment-name/chat/completions?api-version=2024-10-21"
        == only(config).targets["chat"].url
    )
    assert 1 == len(config.warnings)
    assert "enable_azure_ad_token_refresh" in config.warnings[0]


def test_the_load_balancing_list_becomes_one_group_of_three_with_its_limits():
    azure = {"api_key": "k", "api_version": "2024-10-21", "api_base": "https://r.openai.azure.com"}
    model_list = [
        {
            "model_name": "gpt-3.5-turbo",
            "litellm_params": {"model": "azure/chatgpt-v-2", **azure},
            "tpm": 240000,
            "rpm": 1800,
        },
        {
            "model_name": "gpt-3.5-turbo",
            "litellm_params": {"model": "azure/chatgpt-functioncalling", **azure},
            "tpm": 240000,
            "rpm": 1800,
        },
        {
            "model_name": "gpt-3.5-turbo",
            "litellm_params": {"model": "gpt-3.5-turbo", "api_key": "sk-openai"},
            "tpm": 1000000,
            "rpm": 9000,
        },
    ]
    group = load_page(json.dumps({"model_list": model_list})).models["gpt-3.5-turbo"]

    assert ["gpt-3.5-turbo#1", "gpt-3.5-turbo#2", "gpt-3.5-turbo#3"] == [member.id for member in group]
    assert [(1800, 240000), (1800, 240000), (9000, 1000000)] == [(member.rpm, member.tpm) for member in group]
    assert ["azure", "azure", "openai"] == [member.provider for member in group]
    assert "https://api.openai.com/v1/chat/completions" == group[2].targets["chat"].url


def test_the_vision_call_with_base_url_timeout_and_data_sources_works_as_an_entry():
    sources = [{"type": "AzureComputerVision", "parameters": {"endpoint": "https://v", "key": "vision-key"}}]
    params = {
        "model": "azure/gpt-4-vision",
        "base_url": "https://v.openai.azure.com/openai/deployments/gpt-4-vision/extensions",
        "api_key": "k",
        "timeout": 5,
        "enhancements": {"ocr": {"enabled": True}, "grounding": {"enabled": True}},
        "dataSources": sources,
    }
    deployment = only(load_page(json.dumps({"model_list": [{"model_name": "v", "litellm_params": params}]})))

    assert (
        "https://v.openai.azure.com/openai/deployments/gpt-4-vision/extensions/chat/completions"
        "?api-version=2024-10-21"
    ) == deployment.targets["chat"].url
    assert 5 == deployment.timeout
    assert {"enhancements": params["enhancements"], "dataSources": sources} == deployment.defaults
    assert "vision-key" not in repr(deployment)
