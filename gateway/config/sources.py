"""Where a configuration's document comes from, and which version of it is there now.

A source only reads. What is done with a document (`gateway.config.load`), and when it is looked for
(`gateway.config.reload`), is the same for all sources.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from gateway.config.document import TOP_LEVEL
from gateway.config.includes import expanded
from gateway.config.merge import Part, parse_parts
from gateway.config.problems import ConfigError, Problems
from gateway.config.syntax import MAX_BYTES, TOO_LARGE
from gateway.config.vault import (
    SecretMissing,
    SecretReader,
    SecretUnavailable,
    SecretValues,
    references,
)

_SECTION = re.compile("(?:" + "|".join(TOP_LEVEL) + r")\s*:")

_MISSING = "GATEWAY_CONFIG: is not set; it holds the configuration document, or the path of one"

#: Seconds in which a file that has changed must not change again: whoever writes it may not be done.
SETTLED_SECONDS = 0.2


class Document(msgspec.Struct, frozen=True):
    """A configuration as it is written, and what tells it from any other version of it."""

    parts: tuple[Part, ...]
    #: Another one whenever loading the document may have another result. Safe to log.
    version: str
    #: What its references to a vault stand for; None where there is no vault.
    secrets: SecretValues | None = None

    @property
    def text(self) -> str:
        """The text of a document that has one part."""
        return self.parts[0].text


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

    A file may include others, by paths from its folder. A document begins with `{` or one of its sections,
    or has several lines. Raises ConfigError when there is no such file or it is no text; the path is not
    repeated, since a setting may be a document gone wrong.
    """
    bare = setting.strip()
    if "\n" in bare or bare.startswith("{") or _SECTION.match(bare):
        return setting
    folder = Path(bare).parent
    return expanded(_read_file(bare), lambda name: _read_file(str(folder / name)))


def _read_file(path: str) -> str:
    """The text of a file. Raises ConfigError."""
    try:
        with Path(path).open("rb") as file:
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
    return Document((Part("", text),), hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12])


class VaultSource:
    """Up to three secrets of a vault, merged, with the secrets that they refer to.

    A look is one read of each secret. Secrets that are absent are no part of the document; all absent is a
    failure, and so is one that was there before.
    """

    def __init__(self, reader: SecretReader, names: Sequence[str]) -> None:
        self._reader = reader
        self._names = names
        self._seen: set[str] = set()
        self._resolver = _References(reader)

    async def read(self) -> Document:
        """The document. Raises ConfigError."""
        found = await asyncio.gather(*map(self._read, self._names))
        problems = [problem for _, _, problem in found if problem is not None]
        parts = [part for part, _, _ in found if part is not None]
        if problems:
            raise ConfigError(problems)
        if not parts:
            raise ConfigError([f"{', '.join(self._names)}: the vault has none of these secrets; write one"])
        self._seen.update(part.name for part in parts)
        versions = [f"{part.name}@{version}" for part, version, _ in found if part is not None]
        return await self._resolver.document(parts, versions)

    async def _read(self, name: str) -> tuple[Part | None, str, str | None]:
        """The part, its version, and the problem; without a part and a problem the secret is absent."""
        try:
            secret = await self._reader.read(name)
        except SecretMissing:
            if name in self._seen:
                return None, "", f"{name}: was there and is gone; recover it, or restart to do without"
            return None, "", None
        except SecretUnavailable as error:
            return None, "", f"{name}: cannot be read: {error}"
        return Part(name, secret.value), secret.version, None


class ReferringSource:
    """A document from elsewhere whose references are secrets of a vault, read every so often."""

    def __init__(
        self, source: SettingSource, reader: SecretReader, *, every: float, clock: Callable[[], float]
    ) -> None:
        """`every`: seconds after which the secrets are read again. `clock` gives seconds since 1970."""
        self._source = source
        self._every = every
        self._clock = clock
        self._resolver = _References(reader)
        self._last: Document | None = None
        self._plain: Document | None = None
        self._read_at = 0.0

    def expire(self) -> None:
        """Read the secrets with the next look, however new they are."""
        self._last = None

    async def read(self) -> Document:
        """The document. Raises ConfigError."""
        plain = await self._source.read()
        fresh = 0 <= self._clock() - self._read_at < self._every
        if self._last is None or not fresh or plain != self._plain:
            began = self._clock()
            self._last = await self._resolver.document(plain.parts, [plain.version])
            self._plain, self._read_at = plain, began
        return self._last


class _References:
    """Reads what a document's references name."""

    def __init__(self, reader: SecretReader) -> None:
        self._reader = reader
        self._parts: tuple[Part, ...] = ()
        self._names: tuple[str, ...] = ()

    async def document(self, parts: Sequence[Part], versions: Sequence[str]) -> Document:
        """The document of `parts`. Raises ConfigError where a secret cannot be read now."""
        parts = tuple(parts)
        if parts != self._parts:
            # In a thread: parsing a large document takes seconds in which calls must go on.
            self._names = await asyncio.to_thread(_names, parts)
            self._parts = parts
        found = await asyncio.gather(*map(self._read, self._names))
        if problems := [problem for _, _, _, problem in found if problem is not None]:
            raise ConfigError(problems)
        known = {name: value for name, value, _, _ in found if value is not None}
        failed = {name: "does not exist" for name, value, _, _ in found if value is None}
        versions = [*versions, *(f"{name}@{version}" for name, _, version, _ in found)]
        version = hashlib.sha256("\n".join(versions).encode()).hexdigest()[:12]
        return Document(parts, version, SecretValues(known, failed))

    async def _read(self, name: str) -> tuple[str, str | None, str, str | None]:
        """The secret's name, value and version, and the problem; without a value it does not exist."""
        try:
            secret = await self._reader.read(name)
        except SecretMissing:
            return name, None, "", None
        except SecretUnavailable as error:
            return name, None, "", f"the vault's secret {name} cannot be read: {error}"
        return name, secret.value, secret.version, None


def _names(parts: Sequence[Part]) -> tuple[str, ...]:
    """The secrets that a document refers to. None where it cannot be read: loading it will say why."""
    try:
        trees = parse_parts(parts, Problems())
    except ConfigError:
        return ()
    return tuple(sorted({name for _, tree in trees for name in references(tree)}))
