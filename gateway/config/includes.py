"""`include`: a file of a configuration that names others beside it. Texts are passed in; no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from gateway.config.merge import merge
from gateway.config.problems import ConfigError, Problems
from gateway.config.syntax import parse, write

_KEY = "include"
#: A document that may have the key; parsing every document for it would be for nothing.
_MENTIONS = re.compile(r"^[\"']?include[\"']?\s*:", re.MULTILINE)
#: Files that one document may include.
_MOST = 100


def expanded(text: str, read: Callable[[str], str]) -> str:
    """The document in `text` with those that it includes; `text` itself where it includes none.

    `read` gives the text of an included one by its name. `model_list` and `clients` follow one another,
    mappings are merged. Raises ConfigError with what is wrong in a file, and with keys that have two values.
    """
    if not _MENTIONS.search(text):
        return text
    tree = _parsed("", lambda: text)
    names = tree.pop(_KEY, None) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) > _MOST:
        raise ConfigError([f"{_KEY}: must be a list of at most {_MOST} paths of files"])
    trees = [("the file itself", tree)]
    for name in names:
        included = _parsed(name, partial(read, name))
        if _KEY in included:
            raise ConfigError([f"{name}: {_KEY}: must stand in the first file only"])
        trees.append((name, included))
    problems = Problems()
    whole = merge(trees, problems)
    if problems:
        raise ConfigError(problems.sentences())
    return write(whole)


def _parsed(name: str, read: Callable[[], str]) -> dict[str, Any]:
    problems = Problems()
    shown = f"{name}: " if name else ""
    try:
        tree = parse(read(), problems)
    except ConfigError as error:
        raise ConfigError([shown + sentence for sentence in error.problems]) from None
    if not isinstance(tree, dict):
        problems.add((), "must be a mapping of keys to values")
    if problems:
        raise ConfigError([shown + sentence for sentence in problems.sentences()])
    return dict(tree)
