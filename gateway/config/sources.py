"""Where a configuration's document comes from, and which version of it is there now.

A source only reads. What is done with a document (`gateway.config.load`), and when it is looked for
(`gateway.config.reload`), is the same for all sources.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gateway.config.document import TOP_LEVEL
from gateway.config.problems import ConfigError
from gateway.config.syntax import MAX_BYTES, TOO_LARGE

_SECTION = re.compile("(?:" + "|".join(TOP_LEVEL) + r")\s*:")

_MISSING = "GATEWAY_CONFIG: is not set; it holds the configuration document, or the path of one"

#: Seconds in which a file that has changed must not change again: whoever writes it may not be done.
SETTLED_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration as it is written, and what tells it from any other version of it."""

    text: str = field(repr=False)
    #: Another one whenever loading the document may have another result. Safe to log.
    version: str


class Source(Protocol):
    """Yields the document that holds now."""

    async def read(self) -> Document:
        """The document. Raises ConfigError where it cannot be had; an earlier one then stays in use."""


class SettingSource:
    """The setting GATEWAY_CONFIG, or --config: a document, or the path of a file that may change."""

    def __init__(self, setting: str | None) -> None:
        """`setting` of None is a source that has nothing."""
        self._setting = setting
        self._last: str | None = None

    def read_now(self) -> Document:
        """As `read`, for a host that has not begun to serve. Raises ConfigError."""
        if self._setting is None:
            raise ConfigError([_MISSING])
        self._last = read_text(self._setting)
        return _document(self._last)

    async def read(self) -> Document:
        """The document. Raises ConfigError.

        A file that has changed is read again until it stays the same: half of a YAML document is often valid.
        """
        before = self._last
        document = await asyncio.to_thread(self.read_now)
        while before is not None and document.text != before:
            before = document.text
            await asyncio.sleep(SETTLED_SECONDS)
            document = await asyncio.to_thread(self.read_now)
        return document


def read_text(setting: str) -> str:
    """Get the document that `setting` is or names.

    A document begins with `{` or one of its sections, or has several lines. Raises ConfigError when there is
    no such file or it is no text; the path is not repeated, since a setting may be a document gone wrong.
    """
    bare = setting.strip()
    if "\n" in bare or bare.startswith("{") or _SECTION.match(bare):
        return setting
    try:
        with Path(bare).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"document: the file cannot be read ({error.strerror}); check its path"]) from None
    except ValueError:
        raise ConfigError(["document: is neither a document nor the path of one"]) from None
    if len(content) > MAX_BYTES:
        raise ConfigError([TOO_LARGE])
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigError(["document: the file is not UTF-8 text; save it as UTF-8"]) from None


def _document(text: str) -> Document:
    return Document(text, hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12])
