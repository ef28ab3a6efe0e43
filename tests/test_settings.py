"""Every setting has one default, one meaning, and one sentence when it is wrong."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from gateway import settings
from gateway.settings import Settings, SettingsError, arrival_timeout, read
from gateway.variables import SETTINGS

NUMBERS = [
    ("GATEWAY_MAX_BODY_BYTES", "max_body"),
    ("GATEWAY_MAX_HELD_BYTES", "max_held"),
    ("GATEWAY_MAX_REPLY_BYTES", "max_reply"),
    ("GATEWAY_UPLOAD_TIMEOUT", "upload_timeout"),
    ("GATEWAY_REPLY_TIMEOUT", "reply_timeout"),
    ("GATEWAY_STREAM_TIMEOUT", "stream_timeout"),
    ("GATEWAY_STREAM_HOLD", "stream_hold"),
    ("GATEWAY_KEEP_ALIVE", "keep_alive"),
    ("GATEWAY_REFRESH_SECONDS", "refresh_seconds"),
    ("GATEWAY_MAX_CONNECTIONS", "max_connections"),
]


def test_an_empty_environment_gives_the_defaults():
    values = read({})
    assert (None, False) == (values.config, values.allow_anonymous)
    expected = [100_000_000, 256_000_000, 64_000_000, 30, 220, 600, 30, 30, 300, 1000]
    assert expected == [getattr(values, member) for _, member in NUMBERS]


def test_the_hosts_default_for_a_reply_is_its_own():
    assert 600 == read({}, reply_timeout=600).reply_timeout
    assert 5 == read({"GATEWAY_REPLY_TIMEOUT": "5"}, reply_timeout=600).reply_timeout


@pytest.mark.parametrize(("name", "member"), NUMBERS)
def test_each_number_is_read_from_its_variable(name, member):
    environ = {"GATEWAY_MAX_BODY_BYTES": "1000", "GATEWAY_MAX_HELD_BYTES": "1000", name: " 1000 "}
    assert 1000 == getattr(read(environ), member)


@pytest.mark.parametrize("value", ["x", "0", "-1", "nan", "inf", "1,5"])
@pytest.mark.parametrize(("name", "member"), NUMBERS)
def test_a_number_that_is_none_above_zero_is_refused(name, member, value):
    with pytest.raises(SettingsError) as caught:
        read({name: value})
    assert [f"{name}: must be a number above 0"] == caught.value.problems


@pytest.mark.parametrize(("text", "seconds"), [("", 5), ("0", 0), ("0.5", 0.5), ("30", 30)])
def test_looks_at_the_configuration_may_be_switched_off(text, seconds):
    assert seconds == read({"GATEWAY_RELOAD_SECONDS": text}, reload_seconds=5).reload_seconds
    assert 0 == read({}).reload_seconds


@pytest.mark.parametrize("value", ["x", "-1", "nan", "inf"])
def test_a_time_between_looks_is_zero_or_more(value):
    with pytest.raises(SettingsError) as caught:
        read({"GATEWAY_RELOAD_SECONDS": value})
    assert ["GATEWAY_RELOAD_SECONDS: must be a number above 0, or 0"] == caught.value.problems


def test_all_problems_are_told_at_once():
    with pytest.raises(SettingsError) as caught:
        read({"GATEWAY_KEEP_ALIVE": "x", "GATEWAY_STREAM_HOLD": "y", "GATEWAY_ALLOW_ANONYMOUS": "maybe"})
    assert 3 == len(caught.value.problems)
    assert "maybe" not in str(caught.value)


def test_the_bound_for_all_bodies_holds_one():
    with pytest.raises(SettingsError) as caught:
        read({"GATEWAY_MAX_BODY_BYTES": "300000000"})
    assert ["GATEWAY_MAX_HELD_BYTES: must not be below GATEWAY_MAX_BODY_BYTES"] == caught.value.problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", True),
        ("TRUE", True),
        ("on", True),
        ("yes", True),
        ("0", False),
        ("", False),
        ("no", False),
        ("off", False),
    ],
)
def test_a_flag_is_said_in_many_words(text, value):
    assert value is read({"GATEWAY_ALLOW_ANONYMOUS": text}).allow_anonymous


def test_an_empty_configuration_is_none():
    assert read({"GATEWAY_CONFIG": ""}).config is None
    assert "a.yaml" == read({"GATEWAY_CONFIG": "a.yaml"}).config


def test_without_an_argument_the_processs_environment_is_read(monkeypatch):
    monkeypatch.setenv("GATEWAY_KEEP_ALIVE", "3")
    monkeypatch.setenv("GATEWAY_ARRIVAL_TIMEOUT", "4")
    assert 3 == read().keep_alive
    assert 4 == arrival_timeout()


def test_origins_are_a_list_with_commas():
    assert ("https://a.example", "*") == read(
        {"GATEWAY_CORS_ORIGINS": " https://a.example,, * "}
    ).cors_origins
    assert () == read({}).cors_origins


@pytest.mark.parametrize(
    "url", ["https://kv.vault.azure.net/", "https://kv.vault.azure.cn", "https://127.0.0.1:8443"]
)
def test_a_vault_has_an_https_address_of_any_host(url):
    assert url.rstrip("/") == read({"KEY_VAULT_URL": url}).vault_url
    names = {"GATEWAY_CONFIG_SECRET": "mine", "GATEWAY_CLIENTS_SECRET": "mine"}
    assert ("gateway-deployments", "mine") == read(names).vault_secrets


@pytest.mark.parametrize(
    "wrong",
    [
        {"KEY_VAULT_URL": "http://kv.vault.azure.net"},
        {"KEY_VAULT_URL": "kv"},
        {"KEY_VAULT_URL": "https://kv.vault.azure.net/secrets/x"},
        {"KEY_VAULT_URL": "https://user:pass@kv.vault.azure.net"},
        {"GATEWAY_CONFIG_SECRET": "no_underscores"},
        {"GATEWAY_CONFIG_SECRET": "../x"},
    ],
)
def test_what_is_no_vault_and_no_secret_is_refused_by_its_name(wrong):
    with pytest.raises(SettingsError) as caught:
        read(wrong)
    (name, value), (problem,) = *wrong.items(), caught.value.problems
    assert problem.startswith(f"{name}: must be")
    assert value not in problem


def test_certificates_to_trust_are_openssls_own_where_it_is_told_some():
    assert "/ca.pem" == read({"REQUESTS_CA_BUNDLE": "/ca.pem"}).ca_bundle
    assert read({"REQUESTS_CA_BUNDLE": "/ca.pem", "SSL_CERT_FILE": "/other.pem"}).ca_bundle is None


def test_settings_do_not_print_the_environment():
    assert "hunter2" not in repr(read({"SECRET": "hunter2"}))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7.5", 7.5), ("", 20), ("x", 20), ("0", 20), ("-1", 20), ("nan", 20), ("inf", 20), ("3601", 20)],
)
def test_the_arrival_timeout_never_stops_a_worker(value, seconds):
    assert seconds == arrival_timeout({"GATEWAY_ARRIVAL_TIMEOUT": value})


def test_the_table_lists_every_variable_that_the_code_names():
    code = "".join(path.read_text() for path in (Path(settings.__file__).parent).rglob("*.py"))
    named = set(
        re.findall(
            r'"(GATEWAY_[A-Z_]+|LITELLM_MASTER_KEY|AZURE_OPENAI_API_KEY|AZURE_API_[A-Z]+|AZURE_OPENAI_ENDPOINT|AZURE_SCOPE|AZURE_AD_TOKEN|AZURE_FEDERATED_TOKEN_FILE|AZURE_AUTHORITY_HOST|KEY_VAULT_URL|HTTPS_PROXY|NO_PROXY|REQUESTS_CA_BUNDLE|OPENAI_API_KEY|TABLES_ENDPOINT|AzureWebJobsStorage)"',
            code,
        )
    )
    assert named == {setting.name for setting in SETTINGS}
    assert len(NUMBERS) + 1 == sum(field.type in ("int", "float") for field in fields(Settings))
