"""Globs on the names of models: `*` stands for any text, all else for itself."""

from __future__ import annotations

import re


def glob(pattern: str) -> str:
    """The regular expression of a glob."""
    return ".*".join(re.escape(part) for part in re.split(r"\*+", pattern))


def matches(pattern: str, model: str) -> bool:
    """Whether `pattern` is the whole of `model`, upper and lower case told apart."""
    return re.fullmatch(glob(pattern), model, re.DOTALL) is not None
