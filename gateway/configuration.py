"""Which source the configuration has, and what belongs to it: a part of the composition root.

`--config` goes before GATEWAY_CONFIG, that before the vault; they are never mixed. A document of either of
the first two may refer to secrets of the vault, which are all that is read there then.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from gateway.adapters.identity import EntraTokens
from gateway.adapters.keyvault import VaultSecrets
from gateway.config.deployment import Config
from gateway.config.load import check
from gateway.config.problems import ConfigError
from gateway.config.reload import ConfigurationState, Reloader
from gateway.config.renewal import SecretRenewal
from gateway.config.sources import Document, ReferringSource, SettingSource, Source, VaultSource
from gateway.config.vault import UNREAD
from gateway.settings import Settings

#: The share by which the refreshes of instances differ, so that they do not all ask at once.
_JITTER = 0.1

_SECRET = re.compile(r"the vault's secret [0-9A-Za-z-]+", re.ASCII)


class Configuration:
    """The source of one process, the secrets that it reads, and when."""

    def __init__(
        self,
        settings: Settings,
        tokens: EntraTokens,
        load: Callable[[Document], Config],
        use: Callable[[Config], Awaitable[None]],
    ) -> None:
        """`load` and `use` are the Reloader's."""
        self._settings = settings
        self._setting = SettingSource(settings.config)
        self._vault: VaultSecrets | None = None
        self._referring: ReferringSource | None = None
        self.renewal: SecretRenewal | None = None
        source: Source = self._setting
        every = settings.reload_seconds
        if settings.vault_url is not None:
            self._vault = VaultSecrets(settings.vault_url, tokens, verify=settings.ca_bundle)
            self.renewal = SecretRenewal(self._vault, self.look_soon, clock=time.time)
            every = settings.refresh_seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  no secret
            if settings.config is None:
                source = VaultSource(self._vault, settings.vault_secrets)
            else:
                source = self._referring = ReferringSource(
                    self._setting, self._vault, every=every, clock=time.time
                )
                every = min(every, settings.reload_seconds or every)
        self.reloader = Reloader(source, load, use, every=every, clock=time.time)

    @property
    def remote(self) -> bool:
        """Whether other instances have the same source: a mark left by one of them is news here."""
        return self._vault is not None

    def read_now(self) -> Document | None:
        """The document, for a host that has not begun to serve; None where it needs the vault.

        Raises ConfigError with what is wrong even without the vault.
        """
        settings = self._settings
        if self._vault is None:
            return self._setting.read_now()
        if settings.config is not None:
            problems, _ = check(
                self._setting.read_now().parts,
                settings.environ,
                allow_anonymous=settings.allow_anonymous,
                secrets=UNREAD,
            )
            if problems:
                raise ConfigError(problems)
        return None

    async def read_again(self) -> None:
        """Read the source now, secrets included."""
        if self._referring is not None:
            self._referring.expire()
        await self.reloader.look()

    def state(self) -> ConfigurationState:
        """How the configuration is doing, in words that name no secret of the vault."""
        state = self.reloader.state
        if self._vault is None:
            return state
        problems = [_SECRET.sub("a secret of the vault", problem) for problem in state.problems]
        for name in self._settings.vault_secrets:
            problems = [problem.replace(f"{name}: ", "").replace(name, "a secret") for problem in problems]
        return replace(state, problems=tuple(problems))

    async def close(self) -> None:
        """End what is under way, and release connections."""
        await self.reloader.close()
        if self.renewal is not None:
            await self.renewal.close()
        if self._vault is not None:
            await self._vault.close()

    def look_soon(self) -> None:
        """Read the source as soon as possible, secrets included. May be called from a signal handler."""
        if self._referring is not None:
            self._referring.expire()
        self.reloader.look_soon()
