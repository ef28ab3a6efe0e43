"""TABLES_ENDPOINT: the environment's identity, a token from it, and Azurite over TLS checking that token."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.azurite import ACCOUNT, Azurite, require_azurite

pytestmark = pytest.mark.system

PROGRAM = """
import asyncio, sys, time
from gateway.adapters.tables import TableStore
from gateway.storage.store import StoredRow

async def main():
    store = TableStore(time.time, endpoint=sys.argv[1])
    await asyncio.gather(*(store.write(StoredRow("p", str(number), "x"), 20_000) for number in range(5)))
    print(len(await store.read("p", "0", 20_000)))
    await store.close()

asyncio.run(main())
"""


@pytest.fixture
def certificate(tmp_path):
    """The files of a certificate for 127.0.0.1, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


@pytest.fixture
def identity():
    """A managed identity's endpoint, and the resources that tokens were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path.partition("resource=")[2].partition("&")[0])
            body = {
                "access_token": _token(),
                "expires_on": str(int(time.time()) + 3600),
                "token_type": "Bearer",
            }
            data = json.dumps({**body, "resource": "https://storage.azure.com"}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/msi/token", asked
    server.shutdown()
    server.server_close()


def _token() -> str:
    now = int(time.time())
    claims = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/tenant/"}
    claims |= {"iat": now - 60, "nbf": now - 60, "exp": now + 3600}
    parts = ({"alg": "RS256", "typ": "JWT"}, claims, {"signature": "not checked by Azurite"})
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts
    )


def test_the_environments_identity_opens_the_tables_with_one_token(certificate, identity):
    require_azurite()
    endpoint, asked = identity
    cert, key = certificate
    environment = {
        **os.environ,
        "SSL_CERT_FILE": str(cert),
        "IDENTITY_ENDPOINT": endpoint,
        "IDENTITY_HEADER": "secret",
        "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
    }
    with Azurite("--oauth", "basic", "--cert", str(cert), "--key", str(key)) as azurite:
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM, f"https://127.0.0.1:{azurite.port}/{ACCOUNT}"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert (0, "5\n", "") == (result.returncode, result.stdout, result.stderr)
    assert ["https://storage.azure.com"] == asked
