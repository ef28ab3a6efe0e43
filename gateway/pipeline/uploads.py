"""Reads request bodies within two bounds: the size of one body, and of all that are held at once."""

from __future__ import annotations

import asyncio
import re
from typing import Self

from gateway.errors import BadRequest, Overloaded, PayloadTooLarge, UploadTimeout
from gateway.pipeline.heap import Heap, joined
from gateway.protocol.messages import Request
from gateway.upstream.time_limit import TimeLimit

#: Average bytes a second that an upload must make. A limit on the pause between two pieces alone would let a
#: body of single bytes hold its place for weeks.
SLOWEST_UPLOAD = 1024
#: A declared length. Parsers of HTTP let any number of zeros stand before it; Python reads 4,300 digits.
_LENGTH = re.compile(r"[0-9]{1,20}")


def declared_length(text: str) -> int | None:
    """The bytes that a Content-Length header declares; None where it is no number of ours."""
    return int(text) if _LENGTH.fullmatch(text) else None


class UploadLimits:
    """Reads bodies and counts the bytes held until they are released."""

    def __init__(self, *, max_body: int, max_held: int, upload_timeout: float) -> None:
        """Limits in bytes for one body and for all together; `upload_timeout` in seconds between chunks."""
        self.max_body = max_body
        self.max_held = max_held
        self.upload_timeout = upload_timeout
        self.held = 0
        self.heap = Heap()

    def check(self, size: int) -> None:
        """Raise PayloadTooLarge where one body of `size` bytes is too large."""
        if size > self.max_body:
            raise PayloadTooLarge(f"The request body is larger than {self.max_body} bytes.")

    def hold(self) -> Upload:
        """A new upload that holds nothing yet. Release it when its body is no longer needed."""
        return Upload(self)


class Upload:
    """The bytes of one request's body, counted until released. As a context it releases them at its end."""

    __slots__ = ("_limits", "_size")

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    async def read(self, request: Request) -> bytes:
        """The whole body.

        Raises PayloadTooLarge before reading more than the limit, Overloaded when all bodies
        together would exceed theirs, UploadTimeout when the caller stalls or trickles.
        """
        declared = request.headers.get("content-length")
        if declared is not None:
            # Transfer-Encoding beside Content-Length is refused by the HTTP server.
            length = declared_length(declared)
            if length is None:
                raise BadRequest("The Content-Length header is not a number.")
            # Nothing is held for it yet: a promise of many bytes must not keep others out.
            self._limits.check(length)
        chunks = []
        size = 0
        patience = self._limits.upload_timeout
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            with TimeLimit(loop, began + patience) as stalled:
                async for chunk in request.caller.chunks():
                    chunks.append(chunk)
                    size += len(chunk)
                    stalled.extend(patience + min(loop.time(), began + size / SLOWEST_UPLOAD))
                    if size > self._size:
                        self._grow(size)
        except TimeoutError:
            raise UploadTimeout from None
        return chunks[0] if len(chunks) == 1 else await joined(chunks, size)

    def handed_over(self) -> Upload:
        """The same bytes under a new owner. Releasing this upload does nothing afterwards."""
        successor = Upload(self._limits)
        successor._size, self._size = self._size, 0
        return successor

    def release(self) -> None:
        """Give the bytes back. More than once does no harm."""
        if self._size:
            self._limits.held -= self._size
            self._limits.heap.freed(self._size)
            self._size = 0

    def _grow(self, size: int) -> None:
        limits = self._limits
        limits.check(size)
        if limits.held - self._size + size > limits.max_held:
            raise Overloaded(retry_after=1)
        limits.held += size - self._size
        self._size = size
