"""Texts from outside, fit for a message or a log line: short, and without characters that do something.

A line break forges lines of a log, an escape sequence rewrites a terminal, half of a surrogate pair cannot
be written at all.
"""

from __future__ import annotations

import json

#: Characters of a text that are shown.
LONGEST = 200


def shown(text: str) -> str:
    """`text` for a message: its beginning, with escapes of JSON for what cannot be printed."""
    piece = _printable(text[: LONGEST + 1])
    return piece if len(piece) <= LONGEST else f"{piece[:LONGEST]}..."


def logged(text: str, longest: int = LONGEST) -> str:
    """`text` for a log line: its beginning, in ASCII, which every output can write."""
    piece = _printable(text[:longest])
    return (piece if piece.isascii() else piece.encode("ascii", "backslashreplace").decode())[:longest]


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
