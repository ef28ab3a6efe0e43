"""`python -m gateway config` and `check --resolve`, with the real SDKs against doubles of vault and identity."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest
from aiohttp import web
from doubles.cloud import running_cloud
from doubles.identity import SYSTEM
from doubles.server import HANG
from support import processes
from support.azurite import empty_account
from support.calls import wait_for
from support.certificates import make_authority
from support.programs import finished, gateway_command

from gateway.config.vault import MAX_SECRET_BYTES

HASH = "sha256:" + "ab" * 32
SECRET = "secret-canary"


def entry(name="gpt-4o", **params):
    azure = {"model": "azure/d", "api_base": "https://r.openai.azure.com", "api_key": "keyvault/UPSTREAM_KEY"}
    params = {key: value for key, value in (azure | params).items() if value is not None}
    return {"model_name": name, "litellm_params": params}


@pytest.fixture
def cloud(tmp_path):
    with running_cloud(tmp_path) as running:
        running.vault.put("gateway-deployments", {"model_list": [entry()]})
        running.vault.put("UPSTREAM-KEY", SECRET)
        yield running


@pytest.fixture
def run(cloud, tmp_path):
    """Run a command on a document: exit code and output."""

    def command(*arguments, document=None, start=gateway_command, **settings):
        if document is not None:
            path = tmp_path / "document"
            path.write_text(document if isinstance(document, str) else json.dumps(document))
            arguments = (*arguments, str(path))
        environment = {**cloud.environment, **settings}
        code, output = start(*arguments, seconds=60, **environment)
        assert "Traceback" not in output
        assert SECRET not in output
        return code, output

    return command


def anew(*arguments, **settings):
    """Run a command as an operator does."""
    return finished(sys.executable, "-m", "gateway", *arguments, **settings)


CONFIG = "# the operator's\ngeneral_settings:\n  master_key: os.environ/MASTER_OF_THE_APP\n"


def test_a_valid_file_is_written_as_it_is_and_read_back(cloud, run):
    code, output = run("config", "push", document=CONFIG, start=anew)
    assert (0, True) == (code, output.startswith("gateway-config: version "))
    (version,) = cloud.vault.secrets["gateway-config"]
    assert (CONFIG, "application/yaml") == (version.value, version.content_type)
    assert (0, CONFIG) == run("config", "pull", start=anew)
    deployments = json.dumps({"model_list": [entry()]}) + "\n"
    assert (0, deployments) == run("config", "pull", "--name", "gateway-deployments")
    assert 0 == cloud.vault.count("UPSTREAM-KEY")


def test_a_file_that_does_not_fit_what_is_there_is_not_written(cloud, run):
    code, output = run("config", "push", document={"general_settings": {"masterkey": "x"}})
    assert (1, True) == (code, output.startswith("gateway-config: general_settings.masterkey: unknown key"))
    cloud.vault.put("gateway-clients", {"clients": [{"name": "a", "keys": [HASH]}]})
    code, output = run("config", "push", document={"clients": [{"name": "a"}]})
    twice = "gateway-clients: clients[0].name: is given twice, also at gateway-config: clients[0].name\n"
    assert (1, twice) == (code, output)
    assert "gateway-config" not in cloud.vault.secrets


def test_a_file_is_told_to_be_too_large_before_the_vault_is_asked(cloud, run):
    code, output = run("config", "push", document=CONFIG + "#" * MAX_SECRET_BYTES)
    assert (1, True) == (code, f"a secret holds {MAX_SECRET_BYTES}" in output)
    assert [] == cloud.vault.requests
    whole = {"model_list": [entry()], "general_settings": {"master_key": "m" * MAX_SECRET_BYTES}}
    code, output = run("check", document=whole)
    assert (0, True) == (code, "warning: document: has" in output)


def test_writing_needs_a_role_that_is_named(cloud, run):
    cloud.vault.officers = set()
    code, output = run("config", "push", document=CONFIG)
    assert (1, True) == (code, "Key Vault Secrets Officer (b86a8fe4-44ce-4948-aee5-eccb2c155cd7)" in output)
    cloud.vault.readers = {"another"}
    code, output = run("config", "pull")
    assert (1, True) == (code, "Key Vault Secrets User (4633458b-17de-408a-b874-0445c86b69e6)" in output)
    assert SYSTEM not in output


@pytest.mark.parametrize("command", ["push", "diff", "pull"])
def test_a_vault_that_is_down_is_a_message(cloud, run, command):
    cloud.vault.stop()
    code, output = run("config", command, document=None if command == "pull" else CONFIG)
    assert (1, True) == (code, "the vault cannot be reached" in output)


def test_a_vault_that_answers_oddly_or_cannot_be_trusted_is_a_message(cloud, run, tmp_path_factory):
    cloud.vault.odd = lambda: web.Response(body=b'{"value": "tor', content_type="application/json")
    code, output = run("config", "pull", "--name", "gateway-deployments")
    assert (1, "gateway-deployments: the vault's answer cannot be read\n") == (code, output)
    other = make_authority(tmp_path_factory.mktemp("other"))
    code, output = run("config", "diff", document=CONFIG, SSL_CERT_FILE=str(other.file))
    assert (1, True) == (code, "the vault's certificate is not trusted" in output)


def test_who_interrupts_a_command_gets_no_traceback(cloud):
    cloud.vault.down = HANG
    command = [sys.executable, "-m", "gateway", "config", "pull"]
    environment = processes.environment(cloud.environment)
    with subprocess.Popen(
        command, cwd=processes.ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as waiting:
        assert wait_for(lambda: cloud.vault.requests)
        waiting.send_signal(signal.SIGINT)
        output, _ = waiting.communicate(timeout=120)
    assert (130, b"") == (waiting.returncode, output)


def test_what_would_change_is_told_without_a_secret(cloud, run):
    one, two = HASH, "sha256:" + "cd" * 32
    a = {"name": "a", "keys": [one], "limits": {"rpm": 5}}
    cloud.vault.put("gateway-clients", {"clients": [a, {"name": "b", "keys": []}]})
    new = {"clients": [a | {"keys": [one, two], "limits": {"rpm": 9}, "models": ["gpt-*"]}, {"name": "c"}]}
    code, output = run("config", "diff", "--name", "gateway-clients", document=new, start=anew)
    keys = "keys: sha256:abababab... -> sha256:abababab... sha256:cdcdcdcd..."
    expected = [
        "- client b",
        f"~ client a: {keys}, models: None -> gpt-*",
        "+ client c",
        "~ limits a: rpm: 5 -> 9",
    ]
    assert (0, expected) == (code, output.splitlines())
    members = {"model_list": [entry(rpm=7), entry(api_key=None)]}
    code, output = run("config", "diff", "--name", "gateway-deployments", document=members)
    assert ["~ member gpt-4o#1: rpm: None -> 7", "+ member gpt-4o#2"] == output.splitlines()
    assert 0 == cloud.vault.count("UPSTREAM-KEY")


def test_all_instances_are_told_where_there_is_a_table(cloud, run):
    code, output = run("config", "push", "--now", document=CONFIG)
    assert (1, True) == (code, output.startswith("--now: set TABLES_ENDPOINT or AzureWebJobsStorage"))
    storage = {"AzureWebJobsStorage": empty_account().connection_string}
    code, output = run("config", "push", "--now", document=CONFIG, **storage)
    assert (0, "All instances read it now.") == (code, output.splitlines()[-1])


@pytest.fixture
def file(cloud):
    """Members with a key, an identity and an application."""
    application = {
        "tenant_id": cloud.entra.tenant,
        "client_id": "app-id",
        "client_secret": "keyvault/APP_SECRET",
    }
    members = [entry(), entry("own", api_key=None), entry("app", api_key=None, **application)]
    return {"model_list": members, "general_settings": {"master_key": "m"}}


def test_a_check_accepts_references_and_asks_nobody(cloud, run, file):
    code, output = run("check", document=file)
    _, *members, last = output.splitlines()
    expected = {
        "gpt-4o#1": "api_key from keyvault/UPSTREAM-KEY",
        "own#1": "default identity (DefaultAzureCredential)",
        "app#1": "tenant_id, client_id and client_secret (application app-id)",
    }
    found = {(cells := re.split(r" {2,}", member))[1]: cells[5] for member in members}
    assert (0, expected, "The configuration is valid.") == (code, found, last)
    assert ([], [], []) == (cloud.vault.requests, cloud.identity.requests, cloud.entra.requests)


def test_resolving_reads_the_secrets_and_signs_in_once_with_each_credential(cloud, run, file):
    cloud.vault.put("APP-SECRET", SECRET)
    cloud.entra.secrets["app-id"] = SECRET
    code, output = run("check", "--resolve", document=file, start=anew)
    assert (0, True) == (code, output.endswith("every credential that can be tried signs in.\n")), output
    assert 2 == output.count("signs in: ")
    assert 2 == len(cloud.identity.issued)  # for the vault and for Azure OpenAI

    cloud.entra.secrets["app-id"] = "another"
    code, output = run("check", "--resolve", document=file)
    assert (1, True) == (code, "(application app-id): no token could be had" in output)


def test_resolving_tells_what_the_vault_does_not_have(cloud, run, file):
    missing = "model_list[2].litellm_params.client_secret: the vault's secret APP-SECRET does not exist\n"
    assert (1, missing) == run("check", "--resolve", document=file)
    unset = "KEY_VAULT_URL: is not set; it is the vault that --resolve reads\n"
    assert (1, unset) == run("check", "--resolve", document=file, KEY_VAULT_URL="")
