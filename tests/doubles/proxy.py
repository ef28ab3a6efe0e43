"""A company's proxy: tunnels to hosts that it knows, and a list of who asked for which."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future


class TunnelProxy:
    """Tunnels `HOST:PORT` to the port of this machine that `hosts` has for it; refuses others with 403."""

    def __init__(self, hosts: dict[str, int], *, credentials: str | None = None) -> None:
        self.hosts = hosts
        self.credentials = credentials
        #: The targets asked for.
        self.asked: list[str] = []
        self.port = 0
        self._serving: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[TunnelProxy]:
        """Serve while the block runs."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            # What is still copied ends with its connections.
            await asyncio.sleep(0.05)
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[TunnelProxy]:
        """The same for tests without an event loop."""
        ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

        async def work() -> None:
            over = asyncio.Event()
            async with self.running():
                ready.set_result((asyncio.get_running_loop(), over))
                await over.wait()

        # `asyncio.run` leaves closed connections the turns of the loop in which they end.
        thread = threading.Thread(target=lambda: asyncio.run(work()), daemon=True)
        thread.start()
        loop, over = ready.result()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split(" ", 2)
            self.asked.append(target)
            allowed = (
                self.credentials is None
                or f"\r\nproxy-authorization: basic {self.credentials}".lower() in head.lower()
            )
            if method != "CONNECT" or target not in self.hosts or not allowed:
                writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
                writer.close()
                return
            there, back = await asyncio.open_connection("127.0.0.1", self.hosts[target])
            with contextlib.closing(back):
                writer.write(b"HTTP/1.1 200 Connection established\r\nvia: proxy\r\n\r\n")
                await asyncio.gather(_copy(reader, back), _copy(there, writer))
                await asyncio.gather(back.wait_closed(), writer.wait_closed(), return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()
