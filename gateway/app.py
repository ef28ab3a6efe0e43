"""The composition root: which concrete class is used, decided in one place.

One gateway per worker process, made on its first request: on Functions there is no start-up hook, and a bad
configuration must not keep the host from listing the functions.
"""

from __future__ import annotations

import logging
import random
import secrets
import time

from gateway import settings as process
from gateway.adapters import tables
from gateway.adapters.identity import EntraTokens
from gateway.adapters.tables import TableStore
from gateway.auth.authenticator import Authenticator
from gateway.config.deployment import Config
from gateway.config.load import load, read
from gateway.config.problems import ConfigError
from gateway.errors import NotReady
from gateway.limits.balancing.balancer import Balancer
from gateway.pipeline.gateway import Gateway
from gateway.pipeline.status import Status
from gateway.routing.dispatcher import Dispatcher
from gateway.routing.models import Models
from gateway.settings import Settings, SettingsError
from gateway.sharing.replication import Replication
from gateway.storage.memory import MemoryStore
from gateway.storage.store import Store
from gateway.upstream.attempts import Attempts
from gateway.upstream.client import Upstream
from gateway.upstream.transport import PooledTransport

_log = logging.getLogger("gateway")

_NO_CONFIG = "GATEWAY_CONFIG: is not set; it holds the configuration document, or the path of one"


class App:
    """A gateway and what it holds open."""

    def __init__(self, config: Config, settings: Settings) -> None:
        self._upstream = Upstream(PooledTransport())
        self._tokens = EntraTokens(time.time)
        attempts = Attempts(
            config, self._upstream, self._tokens, clock=time.time, silence=settings.stream_timeout
        )
        balancer = Balancer(config, secrets.token_hex(6), random.random)
        store = _store(settings)
        self._tables = isinstance(store, TableStore)
        self._sharing = Replication(
            balancer,
            store,
            clock=time.time,
            random=random.random,
            strict_fails_open=config.strict_fails_open,
        )
        models = Models(config, created=int(time.time()))
        dispatcher = Dispatcher(config, models, attempts, balancer, self._sharing, random=random.random)
        authenticator = Authenticator(config.master_key)
        status = Status(authenticator, balancer, self._sharing)
        self.gateway = Gateway(settings, authenticator, models, dispatcher, status, clock=time.time)

    def load(self) -> None:
        """Import what a worker leaves for its first requests: for hosts that start ahead of them."""
        if self._tables:
            tables.load()

    async def close(self) -> None:
        """Write what the other instances should know, and close all connections."""
        await self._sharing.close()
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


def _store(settings: Settings) -> Store:
    """Table Storage where it is configured, else this process's memory."""
    if settings.tables_endpoint:
        return TableStore(time.time, endpoint=settings.tables_endpoint)
    if settings.storage:
        return TableStore(time.time, connection_string=settings.storage)
    return MemoryStore()


def build(settings: Settings) -> App:
    """An App from settings. Raises ConfigError with every problem; logs the configuration's warnings."""
    if settings.config is None:
        raise ConfigError([_NO_CONFIG])
    config = load(read(settings.config), settings.environ, allow_anonymous=settings.allow_anonymous)
    for warning in config.warnings:
        _log.warning("configuration: %s", warning)
    return App(config, settings)


root = Root()
