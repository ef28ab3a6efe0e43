"""The composition root: which concrete class is used, decided in one place.

What lives as long as the worker (connections, tokens, ledgers) is the `Process`. What follows from a
configuration is a `Snapshot`, replaced as a whole when the configuration changes. Both are made on the first
request: on Functions there is no start-up hook, and a bad configuration must not keep the host from listing
the functions.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time

from gateway import settings as environment
from gateway.adapters import tables
from gateway.adapters.entra_keys import EntraSigningKeys
from gateway.adapters.identity import EntraTokens
from gateway.adapters.tables import TableStore
from gateway.auth.authenticator import Authenticator
from gateway.auth.entra import TokenVerifier
from gateway.config.deployment import Config
from gateway.config.load import load
from gateway.config.reload import RETRY_SECONDS
from gateway.config.sources import Document
from gateway.configuration import Configuration
from gateway.errors import RETRY_AFTER_MAX, NotReady
from gateway.limits.balancing.balancer import Balancer
from gateway.pipeline.gateway import Gateway
from gateway.pipeline.snapshot import Snapshot
from gateway.pipeline.status import Status
from gateway.routing.dispatcher import Dispatcher
from gateway.routing.models import Models
from gateway.settings import Settings, SettingsError
from gateway.sharing.reload_mark import ReloadMark
from gateway.sharing.replication import Replication
from gateway.storage.memory import MemoryStore
from gateway.storage.store import Store
from gateway.upstream.attempts import Attempts
from gateway.upstream.client import Upstream
from gateway.upstream.credentials import renewable, vault_secret
from gateway.upstream.proxy import Network

_log = logging.getLogger("gateway")

#: What the limits know before a configuration is loaded.
_NOTHING = Config(models={})


class Process:
    """What this process holds open and counts, and the snapshot in force."""

    def __init__(self, settings: Settings) -> None:
        _quiet_sdks()
        self._settings = settings
        self._created = int(time.time())
        self._upstream = Upstream(_network(settings))
        self._tokens = EntraTokens(time.time, verify=settings.ca_bundle, hidden=settings.identity_secrets)
        #: For the vault and the storage, which a configuration does not name.
        self._own_tokens = EntraTokens(time.time, verify=settings.ca_bundle, hidden=settings.identity_secrets)
        self._signing_keys = EntraSigningKeys(
            time.time, authority=settings.authority, verify=settings.ca_bundle
        )
        self._verifier = TokenVerifier(self._signing_keys)
        store = _store(settings, self._own_tokens)
        self._tables = isinstance(store, TableStore)
        self._balancer = Balancer(_NOTHING, secrets.token_hex(6), random.random)
        self._sharing = Replication(self._balancer, store, clock=time.time, random=random.random)
        self._configuration = Configuration(settings, self._own_tokens, self._load, self._use)
        self.reloader = self._configuration.reloader
        self._mark: ReloadMark | None = None
        if store.shared:
            self._mark = ReloadMark(self._sharing.storage, self._configuration.read_again, time.time)
        self._snapshot: Snapshot | None = None
        status = Status(self._balancer, self._sharing, self._configuration.state, self._reload)
        self.gateway = Gateway(settings, self._current, status, clock=time.time)

    def start(self) -> None:
        """Load the configuration, and what a worker leaves for its first requests. Raises ConfigError.

        For hosts that start ahead of the first request.
        """
        document = self._configuration.read_now()
        if document is not None:
            config = self._load(document)
            self._balancer.configure(config)
            self._install(config)
            self.reloader.began_with(document, config)
        if self._tables:
            tables.load()

    def look_soon(self) -> None:
        """Read the configuration again as soon as possible. May be called from a signal handler."""
        self._configuration.look_soon()

    async def close(self) -> None:
        """Write what the other instances should know, and close all connections."""
        await self._configuration.close()
        if self._mark is not None:
            await self._mark.close()
        await self._sharing.close()
        await self._upstream.close()
        await self._tokens.close()
        await self._own_tokens.close()
        await self._signing_keys.close()

    async def _current(self) -> Snapshot:
        """The snapshot for a request that begins now. Raises NotReady where none was loaded yet."""
        self.reloader.look_if_due()
        if self._snapshot is None:
            await self.reloader.first_look()
        elif self._mark is not None and self._configuration.remote:
            await self._mark.follow()
        if self._snapshot is None:
            raise NotReady(retry_after=RETRY_SECONDS)
        return self._snapshot

    async def _reload(self) -> bool:
        """Read the configuration again; whether other instances are told to do so."""
        # Where each instance has a file of its own, none follows the mark.
        mark = self._mark if self._configuration.remote else None
        everywhere = mark is not None and await mark.leave()
        await self._configuration.read_again()
        return everywhere

    def _load(self, document: Document) -> Config:
        settings = self._settings
        return load(
            document.parts,
            settings.environ,
            allow_anonymous=settings.allow_anonymous,
            secrets=document.secrets,
        )

    async def _use(self, config: Config) -> None:
        """Let the limits know `config` while calls go on, then use it."""
        for _ in self._balancer.configuring(config):
            await asyncio.sleep(0)
        self._install(config)

    def _install(self, config: Config) -> None:
        """Answer requests that begin from now on by `config`; those under way end by their own snapshots."""
        self._sharing.reservations.fails_open = config.strict_fails_open
        members = [member for group in config.models.values() for member in group]
        self._tokens.keep({identity for member in members if (identity := renewable(member)) is not None})
        if (renewal := self._configuration.renewal) is not None:
            renewal.settle(found for member in members if (found := vault_secret(member)) is not None)
        models = Models(config, self._created)
        attempts = Attempts(
            config,
            self._upstream,
            self._tokens,
            renewal,
            clock=time.time,
            silence=self._settings.stream_timeout,
            max_reply=self._settings.max_reply,
        )
        dispatcher = Dispatcher(config, models, attempts, self._balancer, self._sharing, random=random.random)
        self._snapshot = Snapshot(Authenticator(config, self._verifier), models, dispatcher)


class Root:
    """The process's one Process, or why there is none."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._failed = False

    def install(self, process: Process) -> None:
        """Use `process`, which a host made at its start."""
        self._process = process

    def gateway(self) -> Gateway:
        """The process's gateway, made on the first call. Raises NotReady where the settings are wrong."""
        if self._process is None and not self._failed:
            try:
                self._process = Process(environment.read())
            except SettingsError as error:
                # Not tried again: settings change with a restart of the worker.
                self._failed = True
                for problem in error.problems:
                    _log.error("configuration: %s", problem)
        if self._process is None:
            raise NotReady(retry_after=RETRY_AFTER_MAX)
        return self._process.gateway


def _network(settings: Settings) -> Network:
    """How upstreams are reached."""
    return Network(settings.https_proxy, settings.no_proxy, settings.ca_bundle)


def _quiet_sdks() -> None:
    """Keep Azure's SDKs from logging every request, which the worker's root logger would pass on."""
    logging.getLogger("azure.core").setLevel(logging.WARNING)


def _store(settings: Settings, tokens: EntraTokens) -> Store:
    """Table Storage where it is configured, else this process's memory."""
    if settings.tables_endpoint:
        return TableStore(time.time, endpoint=settings.tables_endpoint, tokens=tokens)
    if settings.storage:
        return TableStore(time.time, connection_string=settings.storage)
    return MemoryStore()


root = Root()
