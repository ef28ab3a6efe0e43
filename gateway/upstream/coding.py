"""Replies in a content coding. Pure.

Upstream is asked for none (`accept-encoding: identity`). Some proxies code replies all the same.
"""

from __future__ import annotations

import zlib

#: Longest decoded reply, in bytes: a small coded one may hold any number.
LONGEST = 100_000_000
#: Bytes that are decoded at a time.
STEP = 1 << 20
#: Parts of one gzip reply.
MOST_MEMBERS = 1000
_GZIP = zlib.MAX_WBITS | 16
_WINDOW = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}
#: What is no coding, though some servers name it as one.
_NONE = frozenset({"", "identity", "none", "utf-8", "utf8"})


class CodingError(Exception):
    """A coding that is not known here, or bytes that are none of it."""


def applied(header: str) -> str | None:
    """The codings that a `content-encoding` names; None where it names none."""
    codings = [name for each in header.split(",") if (name := each.strip().lower()) not in _NONE]
    return ", ".join(codings) or None


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
        self._members = 1
        self._total = 0

    @property
    def pending(self) -> bool:
        """Whether `decode` has more to give of what it was fed."""
        # A finished decompressor may keep an unconsumed tail, which is what follows its end.
        return bool(self._behind() if self._inflate.eof else self._inflate.unconsumed_tail)

    def decode(self, piece: bytes, most: int = STEP) -> bytes:
        """What `piece` adds, `most` bytes of it and `STEP` at most. Raises CodingError."""
        data = self._inflate.unconsumed_tail + piece
        if self._inflate.eof:
            data = self._behind() + piece
            if self._deflate or not data.strip(b"\0"):
                return b""
            self._members += 1
            if self._members > MOST_MEMBERS:
                raise CodingError("too many members")
            self._inflate = zlib.decompressobj(_GZIP)
        try:
            decoded = self._inflate.decompress(data, min(most, STEP))
        except zlib.error as error:
            if self._begun or not self._deflate:
                raise CodingError(str(error)) from error
            # "deflate" means zlib's format, and is often sent without its head (RFC 9110, section 8.4.1.2).
            self._inflate, self._begun = zlib.decompressobj(-zlib.MAX_WBITS), True
            return self.decode(data, most)
        self._begun = self._begun or bool(data)
        self._total += len(decoded)
        if self._total > LONGEST:
            raise CodingError("too long")
        return decoded

    def _behind(self) -> bytes:
        """What follows a gzip member: another one (RFC 1952, section 2.2), unless zeros fill a block."""
        return b"" if self._deflate else self._inflate.unused_data.lstrip(b"\0")

    def check_end(self) -> None:
        """Raise CodingError where the reply ended before its coding does."""
        if not self._inflate.eof:
            raise CodingError("cut off")
