"""The simulator inside a test: in a thread, on a free port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from simulator.app import Simulator
from simulator.clock import Clock
from simulator.config import Config, parse
from simulator.faults import Fault
from simulator.journal import Documents
from simulator.server import listening


@dataclass(frozen=True, slots=True)
class Running:
    """A simulator that serves."""

    #: `http://127.0.0.1:PORT`, without a slash at the end.
    url: str
    simulator: Simulator

    @property
    def log(self) -> Documents:
        """The requests so far, oldest first; see `simulator.journal.Entry.document`."""
        return Documents(list(self.simulator.journal.entries))

    def log_of(self, *deployments: str) -> list[dict[str, Any]]:
        """The requests so far that these deployments got, oldest first."""
        return [entry.document() for entry in self.simulator.journal.of(*deployments)]

    def fault(self, deployment: str, *faults: Fault | Mapping[str, Any], account: str | None = None) -> None:
        """Replace the fault queue of a deployment."""
        queue = [fault if isinstance(fault, Fault) else Fault(**fault) for fault in faults]
        self.simulator.administration.script(deployment, queue, account)

    def reset(self) -> None:
        """Back to the beginning: log, limits, faults, numbering."""
        self.simulator.reset()


@contextmanager
def serve(
    config: Config | Mapping[str, Any], *, clock: Clock | None = None, port: int = 0
) -> Iterator[Running]:
    """Serve `config` while the block runs, on a free port unless `port` names one.

    Raises ConfigError for a wrong configuration, OSError for a taken port.
    """
    simulator = Simulator(config if isinstance(config, Config) else parse(config), clock)
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        stop = asyncio.Event()
        async with listening(simulator, port=port) as actual:
            started.set_result((actual, asyncio.get_running_loop(), stop))
            await stop.wait()

    def work() -> None:
        try:
            asyncio.run(run())
        except OSError as error:
            started.set_exception(error)

    thread = threading.Thread(target=work, name="simulator", daemon=True)
    thread.start()
    actual, loop, stop = started.result()
    try:
        yield Running(f"http://127.0.0.1:{actual}", simulator)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
