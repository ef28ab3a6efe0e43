"""The sound that a speech call brings."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from gateway.exceptions import HeaderMap


class SpeechAudio:
    """A whole sound: `content`, and openai-python's ways to read and write it."""

    def __init__(self, content: bytes, headers: dict[str, str]) -> None:
        self.content = content
        #: Of the answer, among them its content type.
        self.headers = HeaderMap(headers)

    def read(self) -> bytes:
        """The sound."""
        return self.content

    async def aread(self) -> bytes:
        """The sound."""
        return self.content

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The sound in pieces of `chunk_size` bytes; in one piece without it."""
        size = chunk_size or max(1, len(self.content))
        for start in range(0, len(self.content), size):
            yield self.content[start : start + size]

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """As `iter_bytes`."""
        for piece in self.iter_bytes(chunk_size):
            yield piece

    def write_to_file(self, file: str | os.PathLike[str]) -> None:
        """Write the sound to a file, which is replaced."""
        Path(file).write_bytes(self.content)

    def stream_to_file(self, file: str | os.PathLike[str], *, chunk_size: int | None = None) -> None:  # noqa: ARG002
        """As `write_to_file`."""
        self.write_to_file(file)

    async def astream_to_file(self, file: str | os.PathLike[str], *, chunk_size: int | None = None) -> None:  # noqa: ARG002
        """As `write_to_file`."""
        self.write_to_file(file)

    def __repr__(self) -> str:
        return f"SpeechAudio({len(self.content)} bytes, {self.headers.get('content-type')})"
