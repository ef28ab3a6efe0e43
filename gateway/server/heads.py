"""What has come on a connection and is not handed on yet: half a head, or what is pipelined. No I/O."""

from __future__ import annotations

import re

#: How a packet ends, and how many lines it has at most, that is one request to all appearances.
USUAL_ENDS = (b"}", b"\r\n\r\n")
USUAL_LINES = 64

_LINE_END = re.compile(rb"[\r\n]")
_BLANK = b"\r\n"


def seems_one_request(packet: bytes) -> bool:
    """Whether it looks like a head with a body in JSON or none, as nearly all do.

    It may be handed on as it is: if it only looks so, little is behind it.
    """
    return packet.endswith(USUAL_ENDS) and packet.count(b"\n\r\n") == 1 and packet.count(b"\n") <= USUAL_LINES


class HeldBytes:
    """Bytes on their way to the server, which gets each as it came."""

    __slots__ = ("_bytes", "_in_headers", "_in_line", "_searched")

    def __init__(self) -> None:
        self._bytes: bytes | bytearray = b""
        #: Bytes in which no end of a head was found.
        self._searched = 0
        #: The request line has begun to be handed on; all of it was.
        self._in_line = self._in_headers = False

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def whole_head(self) -> bool:
        """Whether an empty line is in it."""
        return self._head_end() >= 0

    def add(self, data: bytes) -> None:
        """More has come."""
        if not self._bytes:
            self._bytes = data
        elif isinstance(self._bytes, bytearray):
            self._bytes += data
        else:
            self._bytes = bytearray(self._bytes) + data

    def take_head(self) -> bytes:
        """What to hand on now: a head as soon as it is whole.

        Of one that is not, the request line, for what is no HTTP is to be refused at once; and blank lines
        before it.
        """
        held = self._bytes
        if not self._in_line and held[0] in _BLANK:
            return self.take(len(held) - len(held.lstrip(_BLANK)))
        end = self._head_end()
        if end >= 0:
            self._in_line = self._in_headers = False
            return self.take(end)
        self._searched = len(held)
        if self._in_headers:
            return b""
        self._in_line = True
        found = _LINE_END.search(held)
        self._in_headers = found is not None
        return self.take(found.start() if found else len(held))

    def take(self, count: int) -> bytes:
        """The first `count` bytes."""
        held = self._bytes
        self._searched = 0
        if count >= len(held):
            self._bytes = b""
            return bytes(held)
        self._bytes = held[count:]
        return bytes(held[:count])

    def clear(self) -> None:
        """Nothing of it is wanted."""
        self._bytes = b""

    def _head_end(self) -> int:
        """Where a head ends, behind its empty line; -1 where none does."""
        begin = max(0, self._searched - 2)
        end = self._bytes.find(b"\n\r\n", begin)
        if end >= 0:
            return end + 3
        # The server refuses lines that end so, and may do it now.
        end = self._bytes.find(b"\n\n", begin)
        return end + 2 if end >= 0 else -1
