"""aiohttp's protocol, as far as a connection has to know it."""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiohttp.streams import StreamReader


class ServerProtocol(Protocol):
    """Speaks HTTP on one connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Speak HTTP on `transport`."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give up what is under way."""

    def pause_writing(self) -> None:
        """Write no more for now."""

    def resume_writing(self) -> None:
        """Write again."""

    def data_received(self, data: bytes) -> None:
        """Parse what came."""

    def eof_received(self) -> None:
        """No more will come."""

    @property
    def pipelined(self) -> bool:
        """Whether another request has come before the reply to this one."""

    @property
    def reading_paused(self) -> bool:
        """Whether it wants no more to be read for now."""

    def refused(self, body: StreamReader) -> bool:
        """Whether what has come of `body` is no HTTP."""
