"""`config`: the configuration in a vault, written, read and compared."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.adapters.identity import EntraTokens
from gateway.adapters.keyvault import VaultSecrets
from gateway.adapters.tables import TableStore
from gateway.config.deployment import Config
from gateway.config.differences import differences
from gateway.config.load import load
from gateway.config.merge import Part
from gateway.config.problems import ConfigError
from gateway.config.sources import read_text
from gateway.config.vault import ELSEWHERE, MAX_SECRET_BYTES, SecretMissing, SecretUnavailable, is_secret_name
from gateway.settings import Settings
from gateway.sharing.reload_mark import ReloadMark
from gateway.storage.guarded import GuardedStore

#: Seconds for a command in all.
COMMAND_SECONDS = 50.0


@dataclass(frozen=True, slots=True)
class SecretTarget:
    """The secret that a command is about."""

    settings: Settings
    vault: VaultSecrets
    name: str


def run(settings: Settings, action: str, *, name: str | None, file: str | None, now: bool) -> int:
    """Do `action`, which is push, pull or diff; returns 0. Raises ConfigError."""
    secret = name or settings.vault_secrets[1 if len(settings.vault_secrets) > 1 else 0]
    if not is_secret_name(secret):
        raise ConfigError(["--name: must be the name of a secret: letters, digits and dashes"])
    if now and settings.tables_endpoint is None and settings.storage is None:
        raise ConfigError(
            ["--now: set TABLES_ENDPOINT or AzureWebJobsStorage to the gateway's; the mark is left there"]
        )
    if settings.vault_url is None:
        raise ConfigError(["--vault: is missing; it is the vault's address, https://NAME.vault.azure.net"])
    return asyncio.run(_run(settings, settings.vault_url, action, secret, file, now=now))


async def _run(settings: Settings, url: str, action: str, secret: str, file: str | None, *, now: bool) -> int:
    tokens = EntraTokens(time.time, verify=settings.ca_bundle, hidden=settings.identity_secrets)
    vault = VaultSecrets(url, tokens, verify=settings.ca_bundle)
    target = SecretTarget(settings, vault, secret)
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            if action == "pull":
                await _pull(target)
            elif action == "diff":
                await _diff(target, file or "")
            else:
                await _push(target, file or "")
            if now:
                await _mark(settings, tokens)
    except TimeoutError:
        raise ConfigError([f"config {action}: the vault did not answer in time"]) from None
    except SecretUnavailable as error:
        raise ConfigError([f"{secret}: {error}"]) from None
    finally:
        await vault.close()
        await tokens.close()
    return 0


async def _pull(target: SecretTarget) -> None:
    """Print the secret as it is."""
    try:
        found = await target.vault.read(target.name)
    except SecretMissing:
        raise ConfigError([f"{target.name}: the vault has no such secret"]) from None
    sys.stdout.write(found.value if found.value.endswith("\n") else found.value + "\n")


async def _push(target: SecretTarget, file: str) -> None:
    """Write a file as it is, if it is valid together with what else the vault has."""
    text = read_text(file)
    size = len(text.encode())
    if size > MAX_SECRET_BYTES:
        raise ConfigError(
            [f"document: has {size} bytes, and a secret holds {MAX_SECRET_BYTES}; move a part elsewhere"]
        )
    config = _load(target, _replaced(await _parts(target), target, text))
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    json = text.lstrip().startswith("{")
    version = await target.vault.write(target.name, text, "application/json" if json else "application/yaml")
    print(f"{target.name}: version {version} is written.")


async def _diff(target: SecretTarget, file: str) -> None:
    """Print what a file would change in the place of the secret."""
    parts = await _parts(target)
    new = _load(target, _replaced(parts, target, read_text(file)))
    try:
        old = _load(target, parts)
    except ConfigError:
        print("What is in the vault is no valid configuration; all of the new one is new.")
        return
    print(*(differences(old, new) or ["No member, client or limit changes."]), sep="\n")


async def _mark(settings: Settings, tokens: EntraTokens) -> None:
    """Let all instances read their configuration now."""
    store = TableStore(
        time.time, endpoint=settings.tables_endpoint, connection_string=settings.storage, tokens=tokens
    )
    try:
        left = await ReloadMark(GuardedStore(store, time.time), _nothing, time.time).leave()
    finally:
        await store.close()
    if not left:
        raise ConfigError(["--now: the mark could not be left in the table; instances follow by themselves"])
    print("All instances read it now.")


async def _nothing() -> None:
    """Read no configuration: this process has none."""


def _load(target: SecretTarget, parts: Sequence[Part]) -> Config:
    settings = target.settings
    return load(parts, settings.environ, allow_anonymous=settings.allow_anonymous, secrets=ELSEWHERE)


async def _parts(target: SecretTarget) -> list[Part]:
    """What the vault has of the gateway's configuration; of another secret, nothing else belongs to it."""
    names = target.settings.vault_secrets
    if target.name not in names:
        names = (target.name,)
    found = []
    for name in names:
        try:
            found.append(Part(name, (await target.vault.read(name)).value))
        except SecretMissing:
            continue
    return found


def _replaced(parts: Sequence[Part], target: SecretTarget, text: str) -> list[Part]:
    """The parts with `text` in the place of the secret."""
    kept = {part.name: part for part in parts} | {target.name: Part(target.name, text)}
    order = (*target.settings.vault_secrets, target.name)
    return [kept[name] for name in dict.fromkeys(order) if name in kept]
