"""Who may pass, by which header, and in whose words the others are told."""

import asyncio
import hmac

import pytest

from gateway.auth import authenticator as auth
from gateway.auth.authenticator import Authenticator, digest
from gateway.auth.principal import ANONYMOUS, MASTER, ModelFilter
from gateway.config.access import ClientKey, ClientLimits, ClientSpec, Limit
from gateway.config.deployment import Config
from gateway.errors import Unauthorized

NOW = 1_700_000_000.0


def gate_of(master_key=None, **fields):
    return Authenticator(Config(models={}, master_key=master_key, **fields), None)


def enter(gate, headers, now=NOW, **options):
    return asyncio.run(gate.authenticate(headers, now, **options))


GATE = gate_of("sk-master")


def refusal(headers, *, azure_path=False, gate=GATE):
    with pytest.raises(Unauthorized) as caught:
        enter(gate, headers, azure_path=azure_path)
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
    principal = enter(GATE, headers)
    assert (MASTER, True) == (principal.name, principal.admin)


@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
def test_a_key_of_any_letters_is_known_in_whatever_coding_it_is_sent(coding):
    """Hosts read headers as Latin-1; the hash is of UTF-8."""
    gate = gate_of(clients=(ClientSpec("a", (ClientKey(digest("schlüssel")),)),))
    assert "a" == enter(gate, {"api-key": "schlüssel".encode(coding).decode("latin-1")}).name
    refusal({"api-key": "\xff\xfe"}, gate=gate)


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
    principal = enter(gate_of(allow_anonymous=True), headers)
    assert (ANONYMOUS, False) == (principal.name, principal.admin)


def test_an_empty_master_key_is_no_open_gateway():
    refusal({}, gate=gate_of(""))
    refusal({"api-key": ""}, gate=gate_of(""))


def test_keys_beyond_ascii_are_compared():
    assert MASTER == enter(gate_of("schlüssel"), {"api-key": "schlüssel"}).name


def test_digests_of_one_length_are_compared_in_constant_time(monkeypatch):
    seen = []

    def compare(left, right):
        seen.append((len(left), len(right)))
        return hmac.compare_digest(left, right)

    monkeypatch.setattr(auth, "hmac", type("Hmac", (), {"compare_digest": staticmethod(compare)}))
    enter(GATE, {"api-key": "sk-master"})
    refusal({"api-key": "x"})
    assert [(32, 32), (32, 32)] == seen


def client(name, *keys, **fields):
    found = [key if isinstance(key, ClientKey) else ClientKey(digest(key)) for key in keys]
    return ClientSpec(name, tuple(found), **fields)


def test_each_of_a_clients_keys_opens_as_that_client():
    limits = ClientLimits(Limit(rpm=5, strict=True))
    gate = gate_of("sk-master", clients=(client("a", "one", "two", limits=limits), client("b", "three")))

    assert ["a", "a", "b", "master"] == [
        enter(gate, {"api-key": key}).name for key in ("one", "two", "three", "sk-master")
    ]
    assert limits == enter(gate, {"api-key": "two"}).limits
    assert not enter(gate, {"api-key": "one"}).admin


def test_without_a_master_key_clients_pass_and_nobody_else():
    gate = gate_of(clients=(client("a", "one"),))
    assert "a" == enter(gate, {"authorization": "Bearer one"}).name
    assert refusal({"api-key": "two"}, gate=gate).code == "invalid_api_key"
    refusal({}, gate=gate)


def test_a_key_passes_until_its_end_and_others_of_its_client_beyond_it():
    gate = gate_of(clients=(client("a", ClientKey(digest("old"), NOW), "new"),))

    assert NOW == enter(gate, {"api-key": "old"}, NOW - 0.001).expires
    assert "a" == enter(gate, {"api-key": "new"}, NOW).name
    refusal({"api-key": "old"}, gate=gate)


def test_wrong_expired_and_unknown_keys_get_one_and_the_same_answer():
    gate = gate_of("sk-master", clients=(client("a", ClientKey(digest("expired"), NOW - 1)),))

    answers = [refusal({"api-key": key}, gate=gate) for key in ("expired", "unknown", "sk-maste", "a")]
    assert 1 == len({(each.status, each.code, each.message, tuple(each.headers())) for each in answers})


def test_limits_in_shadow_are_not_exact():
    limits = ClientLimits(Limit(rpm=5, strict=True), {"m": Limit(tpm=9, strict=True)})
    principal = enter(gate_of(clients=(client("a", "k", limits=limits, shadow=True),)), {"api-key": "k"})

    assert (True, ClientLimits(Limit(rpm=5), {"m": Limit(tpm=9)})) == (principal.shadow, principal.limits)


@pytest.mark.parametrize(
    ("patterns", "model", "allowed"),
    [
        (["gpt-4o"], "gpt-4o", True),
        (["gpt-4o"], "gpt-4o-mini", False),
        (["gpt-4o"], "GPT-4o", False),
        (["gpt-*"], "gpt-", True),
        (["gpt-*"], "my-gpt-4", False),
        (["*-mini", "x"], "gpt-4o-mini", True),
        (["*-mini", "x"], "x", True),
        (["a*b*c"], "aXbYc", True),
        (["a.c"], "abc", False),
        (["[ab]"], "a", False),
        (["a?"], "ab", False),
        (["*"], "any/thing\nat all", True),
        (["a|b*"], "a", False),
        ([], "gpt-4o", False),
    ],
)
def test_models_are_named_whole_or_by_globs(patterns, model, allowed):
    assert allowed is ModelFilter(patterns).allows(model)
