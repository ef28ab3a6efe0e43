"""Memory of large bodies, given back to the system.

glibc learns from the first large block that it frees to keep such blocks, and it keeps what lies below the
highest block in use: after some large bodies a process stays tens of megabytes larger than it has to be. Here
it is told to map large blocks apart (mallopt(3), M_MMAP_THRESHOLD) and to give back whole pages wherever they
are (malloc_trim(3)). Other C libraries have neither, and do without.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable
from typing import Any

#: Bytes from which a block is mapped apart, and a body leaves enough behind to look for it.
LARGE = 1 << 20
#: Seconds from the end of a large body to the look, and at least between two looks.
PAUSE_SECONDS = 2.0

#: mallopt's numbers.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class Heap:
    """Trims the heap a moment after much of it was freed."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def freed(self, size: int) -> None:
        """A body of `size` bytes is needed no longer."""
        if size >= LARGE:
            self.trim_soon()

    def trim_soon(self) -> None:
        """Much was freed, in however small blocks."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._trim)

    def _trim(self) -> None:
        self._timer = None
        # In a thread: it takes some milliseconds, in which it lets go of the interpreter.
        asyncio.get_running_loop().run_in_executor(None, trim)


async def joined(pieces: Iterable[bytes], size: int) -> bytes:
    """The pieces as one. Joining many lets go of the interpreter, so others are served meanwhile."""
    return await asyncio.to_thread(_joined_apart, pieces) if size >= LARGE else b"".join(pieces)


def _joined_apart(pieces: Iterable[bytes]) -> bytes:
    _allocator()
    return b"".join(pieces)


def trim() -> None:
    """Give all whole pages of freed memory back, where the C library can."""
    if (allocator := _allocator()) is not None:
        allocator.malloc_trim(0)


@functools.cache
def _allocator() -> Any:
    """glibc, told to map large blocks apart; None where it is another C library."""
    import ctypes  # noqa: PLC0415  most processes never see a large body

    try:
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, LARGE)
        library.mallopt(_M_TRIM_THRESHOLD, LARGE)
        library.malloc_trim  # noqa: B018  raises where it is missing
    except (AttributeError, OSError, TypeError):
        return None
    return library
