"""The composition root: which concrete class is used, decided in one place.

One gateway per worker process, made on its first request: on Functions there is no start-up hook, and a bad
configuration must not keep the host from listing the functions.
"""

from __future__ import annotations

import logging
import random
import time

from gateway import settings as process
from gateway.adapters.identity import Tokens
from gateway.config.deployment import Config
from gateway.config.load import load, read
from gateway.config.problems import ConfigError
from gateway.dispatch import Dispatcher
from gateway.errors import NotReady
from gateway.pipeline import Gateway
from gateway.settings import Settings, SettingsError
from gateway.transport import PooledTransport
from gateway.upstream import Upstream

_log = logging.getLogger("gateway")

_NO_CONFIG = "GATEWAY_CONFIG: is not set; it holds the configuration document, or the path of one"


class App:
    """A gateway and what it holds open."""

    def __init__(self, config: Config, settings: Settings) -> None:
        self._upstream = Upstream(PooledTransport())
        self._tokens = Tokens(time.time)
        dispatcher = Dispatcher(
            config,
            self._upstream,
            self._tokens,
            clock=time.time,
            random=random.random,
            silence=settings.stream_timeout,
        )
        self.gateway = Gateway(config, settings, dispatcher, clock=time.time)

    async def close(self) -> None:
        """Close all connections."""
        await self._upstream.close()
        await self._tokens.close()


class Root:
    """The process's one App, or why there is none."""

    def __init__(self) -> None:
        self._app: App | None = None
        self._failed = False

    def install(self, app: App) -> None:
        """Use `app`, which a host made at its start."""
        self._app = app

    def gateway(self) -> Gateway:
        """The process's gateway, made on the first call. Raises NotReady; the log then lists the problems."""
        if self._app is not None:
            return self._app.gateway
        if not self._failed:
            try:
                self._app = build(process.read())
            except (ConfigError, SettingsError) as error:
                # Not tried again: settings change with a restart of the worker, and a flood of requests
                # must not read a broken document once for each.
                self._failed = True
                for problem in error.problems:
                    _log.error("configuration: %s", problem)
            else:
                return self._app.gateway
        raise NotReady


def build(settings: Settings) -> App:
    """An App from settings. Raises ConfigError with every problem; logs the configuration's warnings."""
    if settings.config is None:
        raise ConfigError([_NO_CONFIG])
    config = load(read(settings.config), settings.environ, allow_anonymous=settings.allow_anonymous)
    for warning in config.warnings:
        _log.warning("configuration: %s", warning)
    return App(config, settings)


root = Root()
