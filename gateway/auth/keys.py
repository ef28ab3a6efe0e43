"""Keys that the gateway makes: recognisable by their prefix, and by a checksum that tells a mistyped one.

`gwk_`, 43 characters that hold 256 random bits, 6 that hold their CRC-32: a scanner for leaked secrets can
tell a key from text that only looks like one. Keys of other forms are as good.
"""

from __future__ import annotations

import hashlib
import re
import zlib

PREFIX = "gwk_"
#: Random bytes in a key.
SECRET_BYTES = 32

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH = 43
_CHECK_LENGTH = 6
_KEY = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9A-Za-z]{{{_CHECK_LENGTH}}})", re.ASCII)


def make_key(random: bytes) -> str:
    """A key from SECRET_BYTES random bytes."""
    secret = _base62(int.from_bytes(random), _SECRET_LENGTH)
    return f"{PREFIX}{secret}{_check(secret)}"


def is_mistyped(key: str) -> bool:
    """Whether a key has the prefix of those that are made here, but not their checksum."""
    match = _KEY.fullmatch(key)
    return key.startswith(PREFIX) and (match is None or _check(match[1]) != match[2])


def hash_of(key: str) -> str:
    """What stands for a key in a configuration."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def _check(secret: str) -> str:
    return _base62(zlib.crc32(secret.encode()), _CHECK_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
