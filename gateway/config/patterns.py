"""Globs on the names of models: `*` stands for any text, all else for itself.

Without regular expressions: with several `*` they try every way to part a name, and the name is a caller's.
"""

from __future__ import annotations

STAR = "*"


def matches(pattern: str, model: str) -> bool:
    """Whether `pattern` is the whole of `model`, upper and lower case told apart."""
    return stars(pattern, model) is not None


def stars(pattern: str, text: str, *, least: int = 0) -> tuple[str, ...] | None:
    """What of `text` stands for each `*` of `pattern`, `least` characters or more; None where nothing fits.

    Where there are several ways, the first `*` stands for as much as it can, then the second.
    """
    first, *pieces = pattern.split(STAR)
    if not pieces:
        return () if text == pattern else None
    *middle, last = pieces
    if not (text.startswith(first) and text.endswith(last)):
        return None
    start, end = len(first) + least, len(text) - len(last)
    found = []
    for piece in reversed(middle):
        # A negative end would count from the text's.
        place = text.rfind(piece, start, max(0, end - least))
        if place < 0:
            return None
        found.append(text[place + len(piece) : end])
        end = place
    if end < start:
        return None
    found.append(text[len(first) : end])
    return tuple(reversed(found))
