"""`check`: what is wrong with a configuration, and what its members authenticate with."""

from __future__ import annotations

import asyncio
import sys
import time

from gateway.adapters.identity import EntraTokens
from gateway.adapters.keyvault import VaultSecrets
from gateway.cli.table import table
from gateway.config.deployment import Config, TokenIdentity
from gateway.config.differences import describe_credential
from gateway.config.load import load
from gateway.config.problems import SCREEN, ConfigError
from gateway.config.sources import ReferringSource, SettingSource, read_text
from gateway.config.vault import MAX_SECRET_BYTES, UNREAD
from gateway.settings import Settings
from gateway.upstream.credentials import IdentityFailed, renewable

#: Seconds for all that `--resolve` asks.
RESOLVE_SECONDS = 50.0


def run(settings: Settings, *, resolve: bool, everything: bool = False) -> int:
    """Print warnings, and what will be called; returns 0. Raises ConfigError with every problem.

    `resolve`: read what `keyvault/NAME` refers to, and ask for a token with each distinct credential.
    `everything`: print all warnings, not only as many as fit on a screen.
    """
    if resolve:
        return asyncio.run(_resolved(settings, everything=everything))
    text = read_text(settings.config or "")
    config = load(text, settings.environ, allow_anonymous=settings.allow_anonymous, secrets=UNREAD)
    _print(config, text, everything=everything)
    print("The configuration is valid.")
    return 0


def _print(config: Config, text: str, *, everything: bool) -> None:
    size = len(text.encode())
    warnings = list(config.warnings)
    if size > MAX_SECRET_BYTES:
        warnings.insert(0, f"document: has {size} bytes, and a secret of a vault holds {MAX_SECRET_BYTES}")
    shown = warnings if everything or len(warnings) <= SCREEN else warnings[: SCREEN - 1]
    for warning in shown:
        print(f"warning: {warning}", file=sys.stderr)
    if len(shown) < len(warnings):
        print(f"and {len(warnings) - len(shown)} more warnings; --all shows them", file=sys.stderr)
    print(*table(config), sep="\n")


async def _resolved(settings: Settings, *, everything: bool) -> int:
    if settings.vault_url is None:
        raise ConfigError(["KEY_VAULT_URL: is not set; it is the vault that --resolve reads"])
    tokens = EntraTokens(time.time, verify=settings.ca_bundle, hidden=settings.identity_secrets)
    vault = VaultSecrets(settings.vault_url, tokens, verify=settings.ca_bundle)
    source = ReferringSource(SettingSource(settings.config), vault, every=1.0, clock=time.time)
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            document = await source.read()
            config = load(
                document.parts,
                settings.environ,
                allow_anonymous=settings.allow_anonymous,
                secrets=document.secrets,
            )
            _print(config, document.text, everything=everything)
            failed = await _sign_in(config, tokens)
    except TimeoutError:
        raise ConfigError(["--resolve: vault or identities did not answer in time"]) from None
    finally:
        await vault.close()
        await tokens.close()
    if failed:
        raise ConfigError([f"{name}: no token could be had; the lines above say why" for name in failed])
    print("The configuration is valid, and every credential that can be tried signs in.")
    return 0


async def _sign_in(config: Config, tokens: EntraTokens) -> list[str]:
    """Ask for a token with each distinct credential; what has none. Keys cannot be tried without a call."""
    identities: dict[TokenIdentity, str] = {}
    for group in config.models.values():
        for member in group:
            if (identity := renewable(member)) is not None:
                identities.setdefault(identity, describe_credential(identity))
    failed = []
    for identity, name in identities.items():
        try:
            await tokens.token(identity)
        except IdentityFailed:
            failed.append(name)
        else:
            print(f"signs in: {name}")
    return failed
