"""Replies in a content coding. Pure.

Upstream is asked for none (`accept-encoding: identity`). Some proxies code replies all the same.
"""

from __future__ import annotations

import zlib

#: Longest decoded reply, in bytes: a small coded one may hold any number.
LONGEST = 100_000_000
#: Bytes that are decoded at a time.
STEP = 1 << 20
_GZIP = zlib.MAX_WBITS | 16
_WINDOW = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}


class CodingError(Exception):
    """A coding that is not known here, or bytes that are none of it."""


class Decoder:
    """Decodes one reply piece by piece."""

    def __init__(self, coding: str) -> None:
        """`coding` is what the reply's header names. Raises CodingError."""
        name = coding.strip().lower()
        if name not in _WINDOW:
            raise CodingError("unknown")
        self._deflate = name == "deflate"
        self._inflate = zlib.decompressobj(_WINDOW[name])
        self._begun = False
        self._total = 0

    @property
    def pending(self) -> bool:
        """Whether `decode` has more to give of what it was fed."""
        return bool(self._inflate.unconsumed_tail)

    def decode(self, piece: bytes) -> bytes:
        """What `piece` adds, `STEP` bytes at most. Raises CodingError."""
        data = self._inflate.unconsumed_tail + piece
        try:
            decoded = self._inflate.decompress(data, STEP)
        except zlib.error as error:
            if self._begun or not self._deflate:
                raise CodingError(str(error)) from error
            # "deflate" means zlib's format, and is often sent without its head (RFC 9110, section 8.4.1.2).
            self._inflate, self._begun = zlib.decompressobj(-zlib.MAX_WBITS), True
            return self.decode(data)
        self._begun = self._begun or bool(data)
        self._total += len(decoded)
        if self._total > LONGEST:
            raise CodingError("too long")
        return decoded

    def check_end(self) -> None:
        """Raise CodingError where the reply ended before its coding does."""
        if not self._inflate.eof:
            raise CodingError("cut off")
