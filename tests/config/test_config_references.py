"""Texts that nothing has resolved are refused where a credential stands."""

import itertools
import time

import pytest
from support.documents import KEY, document, entry, member, problems

from gateway.config.litellm_keys import TELLING
from gateway.config.load import check
from gateway.config.references import is_unresolved

UNRESOLVED = [
    "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/key/)",
    "@microsoft.keyvault(VaultName=v;SecretName=s)",
    "${AZURE_API_KEY}",
    "$AZURE_API_KEY",
    "$(AZURE_API_KEY)",
    "${{ secrets.KEY }}",
    "{{ .Values.key }}",
    "{key}",
    "%AZURE_API_KEY%",
    "<your-api-key>",
    "[your-api-key]",
    "#{AzureKey}#",
    "env:AZURE_API_KEY",
    "env.AZURE_API_KEY",
    "ENV/AZURE_API_KEY",
    "os.getenv('AZURE_API_KEY')",
    'os.environ["AZURE_API_KEY"]',
    "os.environ.get('X')",
    "os.environ/X/Y",
    "environ/X",
    "process.env.KEY",
    "op://vault/item/field",
    "secretref:key",
    "secret://key",
    "vault:secret/data/key#value",
    "None",
    "null",
    "undefined",
    "changeme",
    "xxxxx",
    "****",
    "'${KEY}'",
    "k-os.environ/KEY",
    "sk-${KEY}-1",
]


@pytest.mark.parametrize("text", UNRESOLVED)
@pytest.mark.parametrize("key", ["api_key", "azure_ad_token"])
def test_an_unresolved_reference_is_no_credential(text, key):
    (problem,) = problems({"api_key": ..., key: text})
    assert problem.startswith(f"model_list[0].litellm_params.{key}: is ")
    assert text not in problem


@pytest.mark.parametrize("text", UNRESOLVED)
def test_an_unresolved_reference_is_no_master_key(text):
    found, _ = check(document(entry(), general_settings={"master_key": text}), {})
    assert ["general_settings.master_key"] == [problem.split(":")[0] for problem in found]


@pytest.mark.parametrize("text", ["os.environ/OTHER", "${X}", "None", "@Microsoft.KeyVault(SecretUri=x)"])
def test_a_variable_that_holds_a_reference_is_none_either(text):
    (problem,) = problems({"api_key": "os.environ/KEY"}, environ={"KEY": text, "OTHER": "k"})
    assert problem.startswith("model_list[0].litellm_params.api_key: is ")


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        "sk-proj-Ab_1",
        "0123456789abcdef0123456789abcdef",
        "none-of-your-business",
        "environment",
        "a.b~c$d",
        "pa$$word",
    ],
)
def test_a_key_is_no_reference(text):
    assert not is_unresolved(text)
    assert text == member({"api_key": text}).credential.key


@pytest.mark.parametrize(
    "model", ["claude-sonnet-4", "gemini-2.0-flash", "mistral-large", "llama3", "command-r"]
)
def test_a_bare_name_of_another_provider_is_refused(model):
    (problem,) = problems({"model": model, "api_base": ...})
    assert "model_list[0].litellm_params.model: is no OpenAI model" in problem


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o",
        "gpt-5.4-mini",
        "o1",
        "o3-mini",
        "chatgpt-4o-latest",
        "text-embedding-3-small",
        "tts-1",
        "whisper-1",
        "dall-e-3",
        "omni-moderation-latest",
        "ft:gpt-4o:org::id",
        "davinci-002",
    ],
)
def test_a_bare_name_of_openais_is_taken(model):
    assert ("openai", model) == ((found := member({"model": model, "api_base": ...})).provider, found.name)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("azure/responses/x", "is of another API (responses/)"),
        ("azure/speech/x", "is of another API (speech/)"),
        ("azure/o_series/", "names no deployment"),
        ("azure/gpt5_series/a/b", "must name a deployment"),
        ("azure/*", "holds a * that"),
        ("azure/gpt-*", "holds a * that"),
        ("azure/x/", "must name a deployment"),
        ("azure/a b", "must name a deployment"),
        ("azure/a%2fb", "must name a deployment"),
        ("azure/../x", "must name a deployment"),
        ("azure/é", "must name a deployment"),
        ("azure/" + "a" * 65, "must name a deployment"),
        ("azure_text/x/y", "must name a deployment"),
    ],
)
def test_only_a_deployments_name_follows_azure(model, why):
    (problem,) = problems({"model": model})
    assert problem.startswith(f"model_list[0].litellm_params.model: {why}")


@pytest.mark.parametrize("number", ["0600", "010", "1:30", "10:00:00", "1_0:30", "00"])
def test_numbers_that_yaml_reads_in_another_base_are_refused(number):
    text = f"""
model_list:
  - model_name: gpt
    litellm_params: {{model: azure/dep, api_base: "https://r.openai.azure.com", api_key: k-1}}
    rpm: {number}
general_settings: {{master_key: sk-1234}}
"""
    found, _ = check(text, {})
    assert 1 == len(found)
    assert found[0].startswith("model_list[0].rpm: is a number that YAML reads in base 8 or 60")


def test_a_number_of_the_environment_has_no_leading_zeros_either():
    (problem,) = problems({"rpm": "os.environ/RPM"}, environ={"RPM": "0600"})
    assert "model_list[0].litellm_params.rpm: must be a whole number; write it without quotes" == problem


MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"key{number}: 1" for number in range(70_000)),
        "model_list:\n" + "".join(f"- {{apikey{number}: 1}}\n" for number in range(40_000)),
        "model_list:\n" + "- {}\n" * 45_000,
        "[" * MEGABYTE,
        "{" * MEGABYTE,
        "- " * (MEGABYTE // 2),
        "a: " + "x" * (MEGABYTE - 10),
        "k" * (MEGABYTE - 10) + ": 1",
        "&a " * (MEGABYTE // 3),
        "? " * (MEGABYTE // 2),
        "'" * MEGABYTE,
        "a: |\n" + " x\n" * (MEGABYTE // 4),
        '{"model_list": [' + ",".join(["{}"] * 300_000) + "]}",
        '{"model_list": ' + "[" * 900_000,
        "model_list: [" + "os.environ/X, " * 70_000 + "]",
        "!" * MEGABYTE,
        "a: &a [1]\nb: [" + "*a, " * 200_000 + "]",
        # Each name tells by itself that it protects nothing.
        "".join(f"{'_'.join(words)}: 1\n" for words in itertools.permutations(TELLING.split()[:40], 3)),
    ],
    ids=range(18),
)
def test_a_document_of_a_megabyte_is_refused_about_as_soon_as_a_sound_one_is_taken(text, sound):
    began = time.process_time()
    found, _ = check(text[:MEGABYTE], {})
    assert found
    assert time.process_time() - began < 4 * sound


@pytest.fixture(scope="module")
def sound():
    """CPU seconds for a sound document of about a megabyte, in this run."""
    entries = (entry(name=f"m{number}") for number in range(6500))
    text = document(*entries)
    began = time.process_time()
    assert ([], []) == check(text, {})
    return time.process_time() - began
