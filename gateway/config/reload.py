"""When a source is looked at again, and what becomes of a new version: it is used, or refused and told.

* A look reads the source. A version that is neither the one in use nor the one refused last is loaded, in a
  thread: parsing a large document takes seconds in which calls must go on.
* The first look is due at once, later ones `every` so many seconds; as long as nothing has been loaded, every
  RETRY_SECONDS.
* A timer starts looks. The worker may be frozen between requests, so each request also starts one that is
  overdue, without waiting for it.
* A version that cannot be used changes nothing but `state`.
* Whoever waits for a look may be cancelled; the look goes on for the others.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from gateway.config.deployment import Config
from gateway.config.problems import ConfigError
from gateway.config.sources import Document, Source

#: Seconds after which a load is tried again while nothing has been loaded.
RETRY_SECONDS = 5.0
#: Seconds that requests wait for the very first look.
FIRST_SECONDS = 20.0

_log = logging.getLogger("gateway")


class ConfigurationState(msgspec.Struct, frozen=True):
    """How the configuration is doing, for operators."""

    #: Of the document in use; None while there is none.
    version: str | None
    #: Seconds since 1970 since when it is used.
    loaded_at: float | None
    #: Why the newest version is not used; empty where it is.
    problems: Sequence[str]


class Reloader:
    """Keeps the configuration in use as new as its source."""

    def __init__(
        self,
        source: Source,
        load: Callable[[Document], Config],
        use: Callable[[Config], Awaitable[None]],
        *,
        every: float,
        clock: Callable[[], float],
    ) -> None:
        """`load` makes a configuration of a document or raises ConfigError; `use` puts it in force.

        `every`: seconds between looks at the source; 0 for none once something is loaded. `clock` gives
        seconds since 1970.
        """
        self._source = source
        self._load = load
        self._use = use
        self._every = every or math.inf
        self._clock = clock
        self._looked_at = -math.inf
        self._tried = False
        self._refused: str | None = None
        self._problems: Sequence[str] = ()
        self._version: str | None = None
        self._loaded_at: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def state(self) -> ConfigurationState:
        """How the configuration is doing now."""
        return ConfigurationState(self._version, self._loaded_at, self._problems)

    def watch(self) -> None:
        """Look by the timer from now on, ahead of the first request."""
        self._enter_loop()
        if self._version is None:
            self._start()
        elif self._looking is None and self._timer is None:
            self._schedule(self._interval)

    def look_if_due(self) -> None:
        """Start a look at the source if the last one is too long ago. Never waits."""
        if not 0 <= self._clock() - self._looked_at < self._interval:
            self._start()

    def look_soon(self) -> None:
        """Start a look as soon as possible. May be called from a signal handler, with or without a loop."""
        self._looked_at = -math.inf
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self.look_if_due)

    async def look(self) -> ConfigurationState:
        """Look at the source now, and wait for what comes of it."""
        if self._looking is not None:
            # It may have read the source before what the caller wants to be seen was there.
            await asyncio.wait({self._start()})
        await asyncio.wait({self._start()})
        return self.state

    async def first_look(self) -> None:
        """Wait until the first look has ended, FIRST_SECONDS at most. No request waits for a later one."""
        if not self._tried:
            await asyncio.wait({self._start()}, timeout=FIRST_SECONDS)
            self._tried = True

    def began_with(self, document: Document, config: Config) -> None:
        """A host loaded and used this one before it began to serve."""
        self._looked_at = self._clock()
        self._note(document, config)

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None and self._loop is asyncio.get_running_loop():
            self._looking.cancel()
            await asyncio.wait({self._looking})
        self._stop_timer()

    @property
    def _interval(self) -> float:
        return RETRY_SECONDS if self._version is None else self._every

    def _start(self) -> asyncio.Task[None]:
        """The look under way, or a new one."""
        self._enter_loop()
        if self._looking is None:
            self._stop_timer()
            self._looked_at = self._clock()
            self._looking = asyncio.create_task(self._look())
        return self._looking

    def _enter_loop(self) -> None:
        """Forget what belonged to an event loop that is gone: its tasks never end."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._looking, self._timer = loop, None, None

    def _schedule(self, seconds: float) -> None:
        if seconds < math.inf:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._start)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _look(self) -> None:
        try:
            await self._compare()
        finally:
            self._tried = True
            self._looking = None
            # Asked for while the source was being read: what was read may be older.
            self._schedule(0.0 if self._looked_at == -math.inf else self._interval)

    async def _compare(self) -> None:
        """Read the source, and use what is new in it."""
        version = None
        try:
            document = await self._source.read()
            version = document.version
            if version == self._version:
                self._refused, self._problems = None, ()
            elif version != self._refused:
                config = await asyncio.to_thread(self._load, document)
                await self._use(config)
                self._note(document, config)
        except ConfigError as error:
            self._refuse(version, error.problems)
        except Exception as error:  # noqa: BLE001  a defect in loading must not end what is in use
            self._refuse(version, [f"document: cannot be loaded ({type(error).__name__})"])

    def _note(self, document: Document, config: Config) -> None:
        """Remember what is in use."""
        for warning in config.warnings:
            _log.warning("configuration: %s", warning)
        if self._version is not None or self._problems:
            _log.info("configuration: version %s is used from now on", document.version)
        self._version, self._loaded_at = document.version, self._clock()
        self._refused, self._problems = None, ()

    def _refuse(self, version: str | None, problems: Sequence[str]) -> None:
        """Keep what is in use. Told once for each version, and for each reason why there is no document."""
        if version is None and problems == self._problems:
            return
        self._refused, self._problems = version, problems
        for problem in problems:
            _log.error("configuration: %s", problem)
        if self._version is not None:
            _log.error(
                "configuration: the new version is refused, and version %s stays in use", self._version
            )
