"""Who may pass, by which header, and in whose words the others are told."""

import hmac

import pytest

from gateway.auth import authenticator as auth
from gateway.auth.authenticator import ANONYMOUS, MASTER, Authenticator
from gateway.errors import Unauthorized

GATE = Authenticator("sk-master")


def refusal(headers, *, azure_path=False, gate=GATE):
    with pytest.raises(Unauthorized) as caught:
        gate.authenticate(headers, azure_path=azure_path)
    return caught.value


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer sk-master"},
        {"authorization": "bearer  sk-master "},
        {"api-key": "sk-master"},
        {"api-key": " sk-master"},
        {"authorization": "Bearer sk-master", "api-key": "sk-master"},
        {"authorization": "Basic abc", "api-key": "sk-master"},
    ],
)
def test_the_master_key_passes_in_every_form_that_clients_send(headers):
    assert MASTER == GATE.authenticate(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer sk-maste"},
        {"authorization": "Bearer sk-master2"},
        {"authorization": "Bearer SK-MASTER"},
        {"authorization": "Bearer sk-master, Bearer sk-master"},
        {"api-key": "é\x00"},
        {"authorization": "Bearer sk-master", "api-key": "other"},
        {"authorization": "Bearer other", "api-key": "sk-master"},
    ],
)
def test_a_wrong_key_and_keys_that_differ_are_refused(headers):
    error = refusal(headers)
    assert (401, "invalid_api_key", "Incorrect API key provided.") == (
        error.status,
        error.code,
        error.message,
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer  "},
        {"api-key": " "},
        {"authorization": "Basic sk-master"},
        {"authorization": "sk-master"},
    ],
)
def test_a_missing_key_is_named_so(headers):
    error = refusal(headers)
    assert (401, None) == (error.status, error.code)
    assert error.message.startswith("You didn't provide an API key.")


def test_azures_paths_get_azures_words_for_both():
    wrong, missing = refusal({"api-key": "x"}, azure_path=True), refusal({}, azure_path=True)
    assert wrong.message == missing.message
    assert ("401", "401") == (wrong.code, missing.code)
    assert wrong.message.startswith("Access denied due to invalid subscription key")


def test_no_refusal_repeats_the_key():
    assert "secret-of-mine" not in refusal({"api-key": "secret-of-mine"}).message


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer anything"}, {"api-key": ""}])
def test_an_open_gateway_takes_any_key_and_none(headers):
    assert ANONYMOUS == Authenticator(None).authenticate(headers)


def test_an_empty_master_key_is_no_open_gateway():
    refusal({}, gate=Authenticator(""))
    refusal({"api-key": ""}, gate=Authenticator(""))


def test_keys_beyond_ascii_are_compared():
    assert MASTER == Authenticator("schlüssel").authenticate({"api-key": "schlüssel"})


def test_digests_of_one_length_are_compared_in_constant_time(monkeypatch):
    seen = []

    def compare(left, right):
        seen.append((len(left), len(right)))
        return hmac.compare_digest(left, right)

    monkeypatch.setattr(auth, "hmac", type("Hmac", (), {"compare_digest": staticmethod(compare)}))
    GATE.authenticate({"api-key": "sk-master"})
    refusal({"api-key": "x"})
    assert [(32, 32), (32, 32)] == seen
