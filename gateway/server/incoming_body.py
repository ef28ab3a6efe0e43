"""The bytes of a request's body on their way to the server: how many at a time, and when too many. No I/O.

The parser says only how many bytes of a body it has found. What came besides is counted here: the framing of
chunks, and trailers.
"""

from __future__ import annotations

from aiohttp.streams import StreamReader

from gateway.server.connection_table import READ_BYTES

#: Bytes within a body, one after the other, that are no part of it: trailers, and the framing of chunks.
MAX_STRAY_BYTES = 65536
#: Bytes handed on at a time of a body whose end only the parser sees: as much of what is behind it is parsed.
CHUNKED_BYTES = 2048


class IncomingBody:
    """The body of one request. `reader` has what the parser has found of it."""

    __slots__ = ("_bytes", "_length", "_seen", "_stray_bytes", "reader")

    def __init__(self, reader: StreamReader, length: int | None = None) -> None:
        """`length` is the body's, where it was declared and is still to come."""
        self.reader = reader
        self._length = length
        #: Bytes that were handed on, framing included. What came with the head is in the reader already.
        self._bytes = reader.total_bytes
        self._seen = self._bytes
        #: Bytes that have not made it longer.
        self._stray_bytes = 0

    def next_size(self) -> int:
        """How many bytes may be handed on now; 0 where all of them were."""
        return CHUNKED_BYTES if self._length is None else self._length - self._bytes

    def count(self, nbytes: int) -> bool:
        """So many bytes were handed on; False if there are too many that do not become a body."""
        self._bytes += nbytes
        found = self.reader.total_bytes
        # What the server has not parsed yet is in it: as much as is read at a time.
        if self._bytes > READ_BYTES + MAX_STRAY_BYTES + found + found // 4:
            return False
        if found == self._seen:
            self._stray_bytes += nbytes
            return self._stray_bytes <= MAX_STRAY_BYTES
        self._seen = found
        self._stray_bytes = 0
        return True
