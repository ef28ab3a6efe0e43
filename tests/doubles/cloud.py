"""All doubles together: a tenant, an identity, a vault, and the environment that leads a gateway to them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.certificates import Authority, make_authority

from .entra import EntraIssuer
from .identity import HEADER, ManagedIdentity
from .tokens import MARK
from .vault import KeyVault

#: A name that the certificates hold, too: for vaults behind a proxy.
VAULT_HOST = "kv-test.vault.azure.net"


@dataclass(frozen=True)
class Cloud:
    """Doubles that run."""

    authority: Authority
    identity: ManagedIdentity
    vault: KeyVault
    entra: EntraIssuer

    @property
    def secrets(self) -> set[str]:
        """Every secret that it has or has had: values of the vault but documents, tokens, what opens an identity."""
        values = {
            version.value.strip()
            for secrets in (self.vault.secrets, self.vault.deleted)
            for name, versions in list(secrets.items())
            if not name.startswith("gateway-")
            for version in versions
        }
        return values | {*self.entra.issued, *self.entra.secrets.values(), MARK, HEADER}

    @property
    def environment(self) -> dict[str, str]:
        """What a function app with this identity and vault has."""
        return {
            **self.identity.environment,
            **self.entra.environment,
            "SSL_CERT_FILE": str(self.authority.file),
            "KEY_VAULT_URL": self.vault.url,
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        }


@contextlib.contextmanager
def running_cloud(folder: Path) -> Iterator[Cloud]:
    """Run the doubles; certificates and keys lie in `folder`."""
    authority = make_authority(folder)
    tls = authority.server_context("127.0.0.1", VAULT_HOST)
    with ManagedIdentity() as identity, KeyVault(tls) as vault, EntraIssuer(tls) as entra:
        yield Cloud(authority, identity, vault, entra)
