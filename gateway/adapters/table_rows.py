"""How a row's text lies in the properties of an entity: 64 KiB at most each, 1 MiB in all."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

from gateway.storage.store import StoreError, StoreFailure

#: Characters in a text property: 64 KiB of UTF-16. What is longer is compressed into binary properties.
TEXT_LIMIT = 32_768
#: Bytes in a binary property. A row may have four of them.
BINARY_LIMIT = 65_536
_BINARIES = ("z0", "z1", "z2", "z3")
#: Bytes of a row's text after decompression. Instances write far less; more is a bomb.
INFLATED_LIMIT = 1 << 20
SELECT = ",".join(("RowKey", "text", *_BINARIES))


def pack(text: str) -> dict[str, str | bytes]:
    """The properties that hold `text`. Raises StoreError if no row can."""
    if len(text) > INFLATED_LIMIT:
        raise StoreError(StoreFailure.TOO_LARGE)
    # In UTF-16 a character beyond U+FFFF counts twice; the core writes ASCII, so that is for safety only.
    if len(text) <= TEXT_LIMIT and (text.isascii() or len(text.encode("utf-16-le")) <= 2 * TEXT_LIMIT):
        return {"text": text}
    data = zlib.compress(text.encode(), level=1)
    if len(data) > BINARY_LIMIT * len(_BINARIES):
        raise StoreError(StoreFailure.TOO_LARGE)
    pieces = [data[start : start + BINARY_LIMIT] for start in range(0, len(data), BINARY_LIMIT)]
    return dict(zip(_BINARIES, pieces, strict=False))


def unpack(entity: Mapping[str, Any]) -> str | None:
    """The text that an entity holds; None where it holds none that can be read.

    Anybody who may write to the table can write any entity, so nothing about it is taken for granted.
    """
    text = entity.get("text")
    if text is not None:
        return text if isinstance(text, str) else None
    try:
        data = b"".join(_bytes(entity.get(name)) for name in _BINARIES)
        stream = zlib.decompressobj()
        inflated = stream.decompress(data, INFLATED_LIMIT)
        return inflated.decode() if stream.eof and not stream.unused_data else None
    except (ValueError, zlib.error):
        return None


def _bytes(value: Any) -> bytes:
    """A binary property. Raises ValueError for another type."""
    if isinstance(value, str):
        # Selected but absent properties come as null, and without their type.
        return base64.b64decode(value, validate=True)
    if value is None or isinstance(value, bytes):
        return value or b""
    raise ValueError("not a binary property")
