"""What the first deployment leaves behind serves: the package, with the template's settings and secrets.

The real Functions runtime, azure-identity and azure-keyvault-secrets, with doubles of the identity endpoint and the
vault. The identity is user-assigned and may read secrets, and that is all it may.
"""

from __future__ import annotations

import json
import sys
import zipfile

import pytest
from compiler import PARAMETERS
from doubles.identity import ManagedIdentity
from doubles.vault import KeyVault
from support.calls import call
from support.certificates import make_authority
from support.hosts import start_functions_host
from support.programs import finished
from world import settings_of

#: The key whose hash two-regions.bicepparam has.
KEY = "foo"
CLIENT_ID = "00000000-0000-0000-0000-0000000000c1"


@pytest.fixture
def unpacked(tmp_path):
    """The package, as the app has it."""
    path = tmp_path / "gateway.zip"
    write = f"import package, pathlib; package.write_zip(pathlib.Path({str(path)!r}))"
    code, output = finished(sys.executable, "-c", write, PYTHONPATH="scripts")
    assert 0 == code, output
    with zipfile.ZipFile(path) as package:
        package.extractall(tmp_path / "app")
    return tmp_path / "app"


def test_it_serves(compiler, world, unpacked, tmp_path):
    deployed = world("two-regions")
    callers = compiler.parameters(PARAMETERS / "two-regions.bicepparam")["callers"]
    authority = make_authority(tmp_path)
    with (
        ManagedIdentity(CLIENT_ID, system=False) as identity,
        KeyVault(authority.server_context("127.0.0.1")) as vault,
    ):
        vault.readers, vault.officers = {CLIENT_ID}, set()
        vault.put("gateway-deployments", json.dumps(deployed.configurations[0]))
        vault.put("gateway-clients", json.dumps(callers))
        # What stands in the template; what is known to Azure only, such as the client id, comes from the doubles.
        settings = {
            name: value
            for name, value in settings_of(deployed.sites[0]).items()
            if not value.startswith("[") and not name.startswith("AzureWebJobsStorage")
        }
        settings |= {
            "KEY_VAULT_URL": vault.url,
            "AZURE_CLIENT_ID": CLIENT_ID,
            "SSL_CERT_FILE": str(authority.file),
        }
        with start_functions_host(unpacked, settings | identity.environment) as host:
            ready = call(host.port, "GET", "/readyz")
            models = call(host.port, "GET", "/v1/models", key=KEY)
            refused = call(host.port, "GET", "/v1/models", key="bar")
            log = host.log()

    assert [200, 200, 401] == [ready.status, models.status, refused.status], log
    assert ["gpt-5.4-mini"] == [model["id"] for model in models.json()["data"]]
