import pytest
from support.documents import member, problems, warnings

from gateway.config.deployment import (
    ApiKey,
    ClientSecret,
    DefaultIdentity,
    FederatedToken,
    ManagedIdentity,
    StaticToken,
)

AT = "model_list[0].litellm_params"
APPLICATION = {"tenant_id": "t", "client_id": "c", "client_secret": "s"}
OPENAI = {"model": "gpt-4", "api_base": ...}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"azure_ad_token": "tok", **APPLICATION}, StaticToken("tok")),
        (APPLICATION, ApiKey("azure-key")),
        ({"api_key": ..., **APPLICATION}, ClientSecret("t", "c", "s")),
        ({"api_key": ...}, DefaultIdentity()),
        (
            {"api_key": ..., "azure_scope": "https://ai.azure.com/.default"},
            DefaultIdentity("https://ai.azure.com/.default"),
        ),
        ({"api_key": ..., "azure_scope": "api://x", **APPLICATION}, ClientSecret("t", "c", "s", "api://x")),
    ],
)
def test_exactly_one_credential_is_chosen_token_then_key_then_application_then_identity(params, expected):
    assert expected == member(params).credential


def test_several_credentials_are_a_warning_that_says_which_one_is_used():
    assert [
        f"{AT}: several credentials are given (azure_ad_token, api_key, client_secret); only azure_ad_token is used"
    ] == warnings({"azure_ad_token": "tok", **APPLICATION})


@pytest.mark.parametrize("missing", ["tenant_id", "client_id", "client_secret"])
def test_an_application_needs_all_three_parts(missing):
    text = "is missing; tenant_id, client_id and client_secret belong together"

    assert [f"{AT}.{missing}: {text}"] == problems({"api_key": ..., **APPLICATION, missing: ...})


ENVIRON = {"AZURE_API_KEY": "key", "OPENAI_API_KEY": "other", "AZURE_AD_TOKEN": "token"}


@pytest.mark.parametrize(
    ("params", "environ", "expected"),
    [
        ({"api_key": ...}, ENVIRON, ApiKey("key")),
        ({"api_key": ...}, {"AZURE_AD_TOKEN": "token", "AZURE_API_KEY": " "}, StaticToken("token")),
        ({"api_key": ...}, {"OPENAI_API_KEY": "other"}, DefaultIdentity()),
        ({}, ENVIRON, ApiKey("azure-key")),
        ({"api_key": ..., "client_id": "c"}, ENVIRON, ManagedIdentity("c")),
        ({"api_key": ..., **APPLICATION}, ENVIRON, ClientSecret("t", "c", "s")),
    ],
)
def test_an_azure_members_own_credential_goes_before_the_environments(params, environ, expected):
    assert expected == member(params, environ=environ).credential


def test_a_key_of_the_environment_that_no_header_can_carry_is_refused():
    assert [
        "AZURE_API_KEY: AZURE_API_KEY holds characters that no header may carry; set it again"
    ] == problems({"api_key": ...}, environ={"AZURE_API_KEY": "a b"})


def test_a_client_id_alone_chooses_a_managed_identity():
    params = {"api_key": ..., "client_id": "c", "azure_scope": "api://x"}
    assert ManagedIdentity("c", "api://x") == member(params).credential


FEDERATED = {"api_key": ..., "tenant_id": "t", "client_id": "c"}


@pytest.mark.parametrize(
    ("params", "environ"),
    [
        ({"federated_token_file": "/run/token"}, {}),
        ({"azure_ad_token": "oidc/file//run/token"}, {}),
        ({}, {"AZURE_FEDERATED_TOKEN_FILE": "/run/token"}),
    ],
)
def test_an_application_may_sign_in_with_a_federated_token(params, environ):
    found = member(FEDERATED | params, environ=environ).credential
    assert FederatedToken("t", "c", "/run/token") == found


WORKLOAD = {"AZURE_FEDERATED_TOKEN_FILE": "/run/t", "AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}


@pytest.mark.parametrize("token", ["oidc/azure", "oidc/azure/", "oidc/azure/api://AzureADTokenExchange"])
@pytest.mark.parametrize(
    ("params", "environ", "expected"),
    [
        ({}, WORKLOAD, FederatedToken("t", "c", "/run/t")),
        ({"client_id": "own"}, WORKLOAD, FederatedToken("t", "own", "/run/t")),
        ({"tenant_id": "t"}, {}, DefaultIdentity()),
        ({"client_id": "own", "azure_scope": "api://x"}, {}, ManagedIdentity("own", "api://x")),
    ],
)
def test_the_token_of_a_workload_is_its_identity(token, params, environ, expected):
    params = {"api_key": ..., "azure_ad_token": token, **params}

    assert expected == member(params, environ=environ).credential
    assert [] == warnings(params, environ=environ)


def test_a_federated_token_needs_its_application_and_no_secret():
    text = "is missing; tenant_id, client_id and federated_token_file belong together"
    assert [f"{AT}.tenant_id: {text}", f"{AT}.client_id: {text}"] == problems(
        {"api_key": ..., "federated_token_file": "/run/token"}
    )
    assert [f"{AT}.client_secret: stands beside a federated token; keep one of them"] == problems(
        {"api_key": ..., **APPLICATION, "federated_token_file": "/run/token"}
    )


def test_the_address_may_come_from_the_environment():
    found = member({"api_base": ...}, environ={"AZURE_API_BASE": "https://of-env.openai.azure.com/"})
    assert found.targets["chat"].url.startswith("https://of-env.openai.azure.com/openai/")
    (problem,) = problems({"api_base": ...}, environ={"AZURE_API_BASE": "http://of-env"})
    assert problem.startswith("AZURE_API_BASE: the environment variable must begin with https://")


def test_an_openai_member_takes_its_own_key_before_the_environment_s():
    environ = {"OPENAI_API_KEY": "from-env"}

    assert ApiKey("own") == member({**OPENAI, "api_key": "own"}, environ=environ).credential
    assert ApiKey("from-env") == member({**OPENAI, "api_key": ...}, environ=environ).credential


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": "  "}])
def test_an_openai_member_without_a_key_is_refused(environ):
    assert [f"{AT}.api_key: is missing; give it here or set OPENAI_API_KEY"] == problems(
        {**OPENAI, "api_key": ...}, environ=environ
    )


@pytest.mark.parametrize("key", ["azure_ad_token", "tenant_id", "client_id", "client_secret", "azure_scope"])
def test_an_openai_member_never_gets_anything_of_entra(key):
    text = "must not be given for an OpenAI member, which takes api_key only; remove it"

    assert [f"{AT}.{key}: {text}"] == problems({**OPENAI, key: "x"})


@pytest.mark.parametrize("key", ["api_key", "azure_ad_token", "tenant_id", "client_id", "client_secret"])
@pytest.mark.parametrize("blank", [None, "", "  "])
def test_a_blank_credential_is_refused_and_chooses_no_other_one(key, blank):
    found = problems({"api_key": ..., **APPLICATION, key: blank})

    assert 1 == len(found)
    assert found[0].startswith(f"{AT}.{key}: ")


@pytest.mark.parametrize("value", ["sk-1 x", "sk-2\n", "sk-3\t", "ключ", "sk-4\x7f"])
@pytest.mark.parametrize("key", ["api_key", "azure_ad_token"])
def test_a_credential_that_no_header_can_carry_is_refused_unquoted(key, value):
    (problem,) = problems({key: value})

    assert problem.startswith(f"{AT}.{key}: holds spaces, line breaks or other characters")
    assert value.strip() not in problem


def test_an_openai_key_of_the_environment_that_no_header_can_carry_is_refused():
    (problem,) = problems({**OPENAI, "api_key": ...}, environ={"OPENAI_API_KEY": "a\nb"})

    assert problem.startswith(f"{AT}.api_key: OPENAI_API_KEY holds characters")


def test_a_federated_token_reference_is_not_sent_as_a_token():
    (problem,) = problems({"azure_ad_token": "oidc/github"})
    assert problem.startswith(
        f"{AT}.azure_ad_token: of the federated tokens only oidc/file/PATH is supported"
    )


def test_a_tenant_that_would_change_the_sign_in_address_is_refused():
    assert [f"{AT}.tenant_id: must be a tenant's id or domain name"] == problems(
        {"api_key": ..., **APPLICATION, "tenant_id": "../evil"}
    )


def test_no_credential_shows_in_the_representation_of_a_deployment():
    params = {"api_key": ..., "tenant_id": "t", "client_id": "c", "client_secret": "hush-hush"}

    assert "hush-hush" not in repr(member(params))
    assert "azure-key" not in repr(member())


def test_the_organization_belongs_to_openai_members_only():
    assert "org-1" == member({**OPENAI, "organization": "org-1"}).organization
    assert member({"organization": "org-1"}).organization is None
    assert [f"{AT}.organization: has no effect for an Azure member"] == warnings({"organization": "org-1"})
    assert [f"{AT}.api_version: has no effect for an OpenAI member"] == warnings(
        {**OPENAI, "api_version": "v1"}
    )
