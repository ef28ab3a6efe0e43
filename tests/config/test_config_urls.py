import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.documents import member, problems

from gateway.config import urls
from gateway.protocol.operations import CHAT, COMPLETIONS, EMBEDDINGS, SPEECH

R = "https://r.openai.azure.com"
WRITTEN = f"{R}/openai/deployments/x"


@pytest.mark.parametrize(
    ("base", "version", "operation", "expected"),
    [
        (R, "2024-10-21", CHAT, f"{R}/openai/deployments/dep/chat/completions?api-version=2024-10-21"),
        (R, None, CHAT, f"{R}/openai/deployments/dep/chat/completions?api-version=2024-10-21"),
        (R, None, COMPLETIONS, f"{R}/openai/deployments/dep/completions?api-version=2024-10-21"),
        (R, None, EMBEDDINGS, f"{R}/openai/deployments/dep/embeddings?api-version=2024-10-21"),
        (R, None, SPEECH, f"{R}/openai/deployments/dep/audio/speech?api-version=2025-04-01-preview"),
        (R, "2024-10-21", SPEECH, f"{R}/openai/deployments/dep/audio/speech?api-version=2024-10-21"),
        (R, "v1", CHAT, f"{R}/openai/v1/chat/completions"),
        (R, "latest", SPEECH, f"{R}/openai/v1/audio/speech"),
        (R, "preview", SPEECH, f"{R}/openai/v1/audio/speech?api-version=preview"),
        (f"{R}/openai/v1", None, CHAT, f"{R}/openai/v1/chat/completions"),
        (f"{R}/openai/v1", "2024-10-21", CHAT, f"{R}/openai/v1/chat/completions"),
        (f"{R}/openai/v1", "preview", CHAT, f"{R}/openai/v1/chat/completions?api-version=preview"),
        (WRITTEN, "2024-10-21", CHAT, f"{WRITTEN}/chat/completions?api-version=2024-10-21"),
        (
            f"{WRITTEN}/extensions",
            None,
            CHAT,
            f"{WRITTEN}/extensions/chat/completions?api-version=2024-10-21",
        ),
        (f"{R}/extensions", None, CHAT, f"{R}/extensions/chat/completions?api-version=2024-10-21"),
        (f"{R}/team", None, CHAT, f"{R}/team/openai/deployments/dep/chat/completions?api-version=2024-10-21"),
    ],
)
def test_every_form_of_base_and_version_gives_its_url(base, version, operation, expected):
    assert expected == urls.azure_target(base, "dep", version, operation).url


@pytest.mark.parametrize(
    ("base", "version", "expected"),
    [(R, "v1", True), (f"{R}/openai/v1", None, True), (R, "2024-10-21", False), (WRITTEN, None, False)],
)
def test_the_body_names_the_deployment_on_v1_only(base, version, expected):
    assert expected == urls.azure_target(base, "dep", version, CHAT).model_in_body


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2023-05-15", False),
        ("2024-08-01-preview", False),
        ("2024-09-01-preview", True),
        ("2024-10-21", True),
        ("2025-04-01-preview", True),
        ("v1", True),
        ("preview", True),
    ],
)
def test_usage_is_asked_of_streams_from_september_2024_on(version, expected):
    assert expected == urls.azure_target(R, "dep", version, CHAT).stream_usage


def test_usage_is_asked_of_no_operation_that_has_no_stream_options():
    assert not urls.azure_target(R, "dep", "v1", EMBEDDINGS).stream_usage


def test_openai_members_are_called_below_their_base_with_the_model_in_the_body():
    target = urls.openai_target("https://api.openai.com/v1", CHAT)

    assert ("https://api.openai.com/v1/chat/completions", True, True) == (
        target.url,
        target.model_in_body,
        target.stream_usage,
    )


def test_a_deployment_name_is_one_encoded_path_segment():
    url = urls.azure_target(R, "ins t/x?y", None, CHAT).url

    assert f"{R}/openai/deployments/ins%20t%2Fx%3Fy/chat/completions?api-version=2024-10-21" == url


@pytest.mark.parametrize("version", ["v1", "latest", "preview"])
def test_a_base_with_a_deployment_and_a_v1_version_contradict_each_other(version):
    (problem,) = problems({"api_base": WRITTEN, "api_version": version})

    assert problem.startswith("model_list[0].litellm_params.api_version: v1, latest and preview need")


@pytest.mark.parametrize(
    "base",
    [
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://[::1]:80/x",
        "http://localhost:7072",
        "https://r.openai.azure.com:443/a%20b",
        "HTTPS://r.openai.azure.com",
    ],
)
def test_https_anywhere_and_http_on_this_machine_are_accepted(base):
    assert base == urls.check_base(base + "//")


@pytest.mark.parametrize(
    ("base", "why"),
    [
        ("http://r.openai.azure.com", "must begin with https://; http:// is allowed for"),
        ("http://localhost.evil.example", "must begin with https://; http:// is allowed for"),
        ("http://127.0.0.1.evil.example", "must begin with https://; http:// is allowed for"),
        ("http://[::ffff:127.0.0.1]", "must begin with https://; http:// is allowed for"),
        ("http://0.0.0.0", "must begin with https://; http:// is allowed for"),
        ("ftp://h", "must begin with https://"),
        ("r.openai.azure.com", "must begin with https://"),
        ("https:/h", "must begin with https://"),
        ("https://", "is not a valid URL"),
        ("https://h:0", "is not a valid URL"),
        ("https://h:99999", "is not a valid URL"),
        ("https://h:", "is not a valid URL"),
        ("https://h:x", "is not a valid URL"),
        ("https://[::1", "is not a valid URL"),
        ("https://h/{deployment}", "is not a valid URL"),
        ("https://h/%zz", "is not a valid URL"),
        ("https://h\\@x", "must not hold a user name"),
        ("https://user:secret@h", "must not hold a user name"),
        ("https://h/?api-version=1&x=2", "must have no query"),
        ("https://h/?api-version=1", "names an api-version that is none"),
        ("https://portal.azure.com/x", "is the address of a portal"),
        ("https://h/models", "ends in /models"),
        ("https://h/models/", "ends in /models"),
        ("https://h.services.ai.azure.com/anthropic", "ends in /anthropic"),
        ("https://h.services.ai.azure.com/api/projects/p", "ends in /api/projects/p"),
        ("https://h/openai/v1/responses", "ends in /openai/v1/responses"),
        ("https://h/#x", "must have no query"),
        ("https://h/a b", "holds spaces"),
        ("https://h\n", "holds spaces"),
        ("https://hé", "holds spaces"),
        ("  ", "is empty"),
        ("https://h/a/../b", "must have no . or .."),
        ("https://h/a/%2e%2e/b", "must have no . or .."),
        ("https://h/v1/chat/completions", "ends in /v1"),
        ("https://h/v1/audio/speech/", "ends in /v1"),
        ("https://h/openai/deployments/", "must name a deployment"),
    ],
)
def test_a_bad_base_is_refused_with_the_reason_and_without_the_address(base, why):
    (problem,) = problems({"api_base": base})

    assert problem.startswith(f"model_list[0].litellm_params.api_base: {why}")
    assert "secret" not in problem


@pytest.mark.parametrize("operation", [CHAT, SPEECH])
def test_the_version_of_the_environment_holds_for_every_operation_of_an_entry_without_one(operation):
    deployment = member(environ={"AZURE_API_VERSION": "2024-05-01-preview"})

    assert deployment.targets[operation.name].url.endswith("?api-version=2024-05-01-preview")


def test_the_entry_s_own_version_wins_over_the_environment():
    deployment = member({"api_version": "2024-10-21"}, environ={"AZURE_API_VERSION": "v1"})

    assert deployment.targets["chat"].url.endswith("/dep/chat/completions?api-version=2024-10-21")


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_version_in_the_environment_counts_as_none(blank):
    assert "2024-10-21" in member(environ={"AZURE_API_VERSION": blank}).targets["chat"].url


@pytest.mark.parametrize(
    "version", ["2024", "2024-13-01", "2024-10-21&x=1", "V1", "newest", "", "2024-10-21-"]
)
def test_a_version_that_is_neither_a_date_nor_v1_is_refused(version):
    (problem,) = problems({"api_version": version})

    assert problem == (
        "model_list[0].litellm_params.api_version: must be v1, latest, preview or a date such as 2024-10-21 or "
        "2025-04-01-preview"
    )


def test_a_bad_version_in_the_environment_is_a_problem_that_names_the_variable():
    assert [
        "AZURE_API_VERSION: the environment variable must be v1, latest, preview or a date such as 2024-10-21"
    ] == problems(environ={"AZURE_API_VERSION": "soon"})


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=60).map(lambda text: "https://" + text))
def test_any_text_is_a_base_or_a_value_error_and_a_base_gives_urls_on_its_own_host(text):
    try:
        base = urls.check_base(text)
    except ValueError:
        return
    url = urls.azure_target(base, "dep", None, CHAT).url

    assert url.startswith(base + "/")
    assert 1 == url.count("?")
    assert url.isascii()


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (f"{R}/openai", f"{R}/openai/deployments/dep/chat/completions?api-version=2024-10-21"),
        (f"{R}/openai/", f"{R}/openai/deployments/dep/chat/completions?api-version=2024-10-21"),
        (f"{WRITTEN}/chat/completions", f"{WRITTEN}/chat/completions?api-version=2024-10-21"),
        (f"{WRITTEN}/Chat/Completions/", f"{WRITTEN}/chat/completions?api-version=2024-10-21"),
        (
            f"{WRITTEN}/chat/completions?api-version=2025-01-01-preview",
            f"{WRITTEN}/chat/completions?api-version=2025-01-01-preview",
        ),
        (
            f"{WRITTEN}?api-version=2025-01-01-preview",
            f"{WRITTEN}/chat/completions?api-version=2025-01-01-preview",
        ),
        (
            f"{R}?api-version=2023-05-15",
            f"{R}/openai/deployments/dep/chat/completions?api-version=2023-05-15",
        ),
        (f"{R}/openai/v1/chat/completions", f"{R}/openai/v1/chat/completions"),
        (f"{R}/openai/v1/", f"{R}/openai/v1/chat/completions"),
    ],
)
def test_an_address_as_the_portal_shows_it_is_cut_to_what_is_needed(base, expected):
    assert expected == member({"api_base": base}).targets["chat"].url


def test_the_version_of_the_entry_wins_over_that_of_its_address():
    base = f"{WRITTEN}/chat/completions?api-version=2025-01-01-preview"
    target = member({"api_base": base, "api_version": "2024-10-21"}).targets["chat"]
    assert f"{WRITTEN}/chat/completions?api-version=2024-10-21" == target.url


@pytest.mark.parametrize(
    "base", ["https://api.openai.com", "https://api.openai.com/", "https://api.openai.com/v1"]
)
def test_openais_address_may_lack_its_v1(base):
    found = member({"model": "openai/gpt-4o", "api_base": base})
    assert "https://api.openai.com/v1/chat/completions" == found.targets["chat"].url
