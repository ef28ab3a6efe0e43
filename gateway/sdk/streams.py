"""Streams of chunks for Python callers, synchronous and asynchronous.

A stream ends its call upstream when it is closed, left by its `with` block, or held by nobody any more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Generic, Self, TypeVar

from gateway.exceptions import APITimeoutError
from gateway.protocol.messages import Stream
from gateway.protocol.sse import EventSplitter, event_json
from gateway.sdk.engine import Engine
from gateway.sdk.failures import event_error
from gateway.sdk.results import Completion
from gateway.upstream.relay import SILENT

C = TypeVar("C", bound=Completion)


class ChunkReader(Generic[C]):
    """Chunks out of a stream's bytes. Pure."""

    def __init__(self, kind: type[C], *, empty: bool) -> None:
        """`empty` keeps chunks without choices, for callers who asked for the usage that one of them has."""
        self._kind = kind
        self._empty = empty
        self._splitter = EventSplitter()

    def read(self, piece: bytes) -> list[C | Exception]:
        """The chunks in `piece`; the last one may be the error in which the stream ends."""
        chunks: list[C | Exception] = []
        for event in self._splitter.feed(piece):
            values = event_json(event)
            if not values:
                continue  # `[DONE]` among them
            if values.get("error") is not None:
                chunks.append(event_error(values))
            elif self._empty or values.get("choices"):
                chunks.append(self._kind(values))
        return chunks


class Source:
    """A stream's body on the engine's loop."""

    def __init__(self, engine: Engine, body: Stream, timeout: float | None) -> None:
        """`timeout` is the longest silence, in seconds; None for the engine's."""
        self.engine = engine
        self._body = body
        self._timeout = timeout
        self._over = False

    async def piece(self) -> bytes | None:
        """The next bytes, None at the end. Runs on the engine's loop. Raises APITimeoutError."""
        try:
            async with asyncio.timeout(self._timeout):
                return await anext(aiter(self._body))
        except StopAsyncIteration:
            self._over = True
            return None
        except TimeoutError:
            await self.end()
            raise APITimeoutError(SILENT) from None

    async def end(self) -> None:
        """End the call. Runs on the engine's loop; more than once does no harm."""
        self._over = True
        # A piece that is being waited for in another thread ends with it.
        with contextlib.suppress(RuntimeError):
            await self._body.aclose()

    def __del__(self) -> None:
        if not self._over:
            # At the interpreter's end the loop may be gone, and with it the call.
            with contextlib.suppress(Exception):
                self.engine.submit(_ended(self._body))


async def _ended(body: Stream) -> None:
    with contextlib.suppress(RuntimeError):
        await body.aclose()


class _Chunks(Generic[C]):
    """The chunks of a stream that have come and were not asked for yet."""

    def __init__(self, source: Source, reader: ChunkReader[C]) -> None:
        self._source = source
        self._reader = reader
        self._chunks: deque[C | Exception] = deque()
        self._closed = False

    def _take(self, piece: bytes | None) -> None:
        """Read a piece of the stream, None at its end."""
        if piece is None:
            self._closed = True
        elif not self._closed:  # by another who holds it, while this one waited
            self._chunks.extend(self._reader.read(piece))

    def _forget(self) -> bool:
        """Drop what has come. Whether the call has still to be ended."""
        self._chunks.clear()
        was_open, self._closed = not self._closed, True
        return was_open


class ChunkStream(_Chunks[C]):
    """A synchronous stream."""

    def __iter__(self) -> Iterator[C]:
        return self

    def __next__(self) -> C:
        while not self._chunks:
            if self._closed:
                raise StopIteration
            self._take(self._source.engine.wait(self._source.piece()))
        chunk = self._chunks.popleft()
        if isinstance(chunk, Exception):
            self.close()
            try:
                raise chunk
            finally:
                del chunk  # its traceback holds this frame
        return chunk

    def close(self) -> None:
        """End the call upstream."""
        if self._forget():
            self._source.engine.wait(self._source.end())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncChunkStream(_Chunks[C]):
    """An asynchronous stream."""

    def __aiter__(self) -> AsyncIterator[C]:
        return self

    async def __anext__(self) -> C:
        while not self._chunks:
            if self._closed:
                raise StopAsyncIteration
            self._take(await self._source.engine.reach(self._source.piece()))
        chunk = self._chunks.popleft()
        if isinstance(chunk, Exception):
            await self.aclose()
            try:
                raise chunk
            finally:
                del chunk  # its traceback holds this frame
        return chunk

    async def aclose(self) -> None:
        """End the call upstream."""
        if self._forget():
            await self._source.engine.reach(self._source.end())

    #: openai-python's name.
    close = aclose

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
