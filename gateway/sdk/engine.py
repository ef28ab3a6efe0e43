"""The event loop behind the Python API: one daemon thread, started by the first call.

All calls run on it, whatever loop or thread they come from, so that connections, tokens and limits are one
for the process: from any number of threads, within a running loop, from one `asyncio.run` to the next. A
forked child gets an engine of its own with its first call, and touches nothing of its parent's. At the
process's end the engine writes what other processes should know, closes its connections and says nothing.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from gateway import settings as environment
from gateway.adapters.identity import EntraTokens
from gateway.exceptions import ConfigurationError
from gateway.sdk.crossing import Crossing
from gateway.settings import Settings, SettingsError
from gateway.upstream.client import Upstream
from gateway.upstream.proxy import Network

#: Seconds for a call in all, as at LiteLLM, and for a silence in it, as at openai-python.
LONGEST_CALL = 6000.0
LONGEST_SILENCE = 600.0
#: Seconds for a silence that nothing fills: a caller in the same process needs no keep-alive.
_NEVER = 86_400.0
_OF_NETWORK = (
    *("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"),
    "AZURE_AUTHORITY_HOST",
)
#: Seconds at the process's end for what is still to be written.
_END_SECONDS = 2.0

T = TypeVar("T")


class Closing(Protocol):
    """What has something to do at the process's end."""

    async def close(self) -> None:
        """Write what others should know, and release connections."""


class Engine:
    """The loop, and what lives as long as it: connections and tokens."""

    def __init__(self) -> None:
        """Start the thread. Raises ConfigurationError where the environment's settings cannot be used."""
        # The calling program configures logging; without it a library is silent.
        logging.getLogger("gateway").addHandler(logging.NullHandler())
        logging.getLogger("azure.core").setLevel(logging.WARNING)
        self.settings = _settings()
        network = Network(self.settings.https_proxy, self.settings.no_proxy, self.settings.ca_bundle)
        self.upstream = Upstream(network)
        self.tokens = EntraTokens(
            time.time, verify=self.settings.ca_bundle, hidden=self.settings.identity_secrets
        )
        #: For what is made once on each engine: after a fork it is another one, which nobody holds.
        self.lock = threading.Lock()
        self._closing: set[Closing] = set()
        self._inherited = False
        self._ending = False
        self._loop = asyncio.new_event_loop()
        # Python's development mode is for the caller's loops; a full machine is no fault to tell of here.
        self._loop.set_debug(False)
        self._crossing = Crossing(self._loop)
        self._thread = threading.Thread(target=self._work, name="gateway", daemon=True)
        self._thread.start()

    def inherit(self) -> None:
        """After a fork, in the child: what the engine holds is the parent's, and is kept as it is for ever.

        The end of a connection's object would stop the parent's loop from reading from it.
        """
        self._inherited = True

    def keep(self, owner: object, closing: Closing) -> None:
        """Close `closing` when `owner` is gone, at the latest at the process's end."""
        self._closing.add(closing)
        finalizer = weakref.finalize(owner, self._let_go, closing)
        finalizer.atexit = False  # the engine's own end sees to it

    def _let_go(self, closing: Closing) -> None:
        # At the interpreter's end, and in a forked child, there is nothing to do it with.
        with contextlib.suppress(RuntimeError):
            self.submit(self._closed(closing))

    async def _closed(self, closing: Closing) -> None:
        self._closing.discard(closing)
        await closing.close()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run `work` on the engine's loop. Raises RuntimeError where that has ended, or is a parent's."""
        self._check_own(work)
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, for a thread that may wait. What interrupts the wait ends the work."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a synchronous call from within the API's own thread would wait for itself")
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            if self._ending:
                # The process ends. Only a daemon thread can wait still: it ends with it, and in silence.
                raise SystemExit from None
            raise
        finally:
            # It holds the exception, that its traceback, that this frame: a reference cycle.
            del future

    async def reach(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, for a caller on another loop. Cancelling the caller cancels the work."""
        self._check_own(work)
        return await self._crossing.reach(work)

    def _check_own(self, work: Coroutine[Any, Any, Any]) -> None:
        """Raise RuntimeError in a forked child, where the loop does not run."""
        if self._inherited:
            work.close()
            raise RuntimeError("this belongs to a call of the parent process")

    def close(self) -> None:
        """End the loop and its thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_END_SECONDS + 1)

    def _work(self) -> None:
        """The thread's work."""
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            with contextlib.suppress(Exception):
                self._loop.run_until_complete(self._end())
            self._loop.close()

    async def _end(self) -> None:
        self._ending = True
        self._crossing.end()
        calls = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await asyncio.gather(*(each.close() for each in self._closing), return_exceptions=True)
                await self.upstream.close()
                await self.tokens.close()
        await asyncio.get_running_loop().shutdown_asyncgens()


class _Engines:
    """The process's engine, and those of its ancestors, which it must not touch."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.current: Engine | None = None
        #: Kept, for their end would close what the parent still uses.
        self.inherited: list[Engine] = []
        self._watching = False
        self._over = False

    def engine(self) -> Engine:
        current = self.current
        if current is not None:
            return current
        with self.lock:
            if self._over and threading.current_thread() is not threading.main_thread():
                # A daemon thread that goes on calling while the process ends: it ends here, in silence.
                raise SystemExit
            if self.current is None:
                self._watch()
                self.current = Engine()
            return self.current

    def _watch(self) -> None:
        """Learn of forks, and of the process's end."""
        if not self._watching:
            self._watching = True
            atexit.register(self.close)
            if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
                os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """After a fork, in the child: the thread is not there, and the lock may be held by nobody."""
        self.lock = threading.Lock()
        if self.current is not None:
            self.current.inherit()
            self.inherited.append(self.current)
            self.current = None

    def close(self) -> None:
        with self.lock:
            self._over = True
            current, self.current = self.current, None
        if current is not None:
            current.close()


_engines = _Engines()


def engine() -> Engine:
    """The process's engine, started by the first call."""
    return _engines.engine()


def _settings() -> Settings:
    """What the environment says of the network, with the patience of a library in place of a host's.

    What it says of a gateway is none of a guest's business.
    """
    environ = environment.process_environment()
    of_network = {name: environ[name] for name in _OF_NETWORK if name in environ}
    try:
        settings = environment.read(of_network, reply_timeout=LONGEST_CALL)
    except SettingsError as error:
        raise ConfigurationError("\n".join(error.problems)) from error
    return replace(settings, stream_timeout=LONGEST_SILENCE, stream_hold=_NEVER, keep_alive=_NEVER)
