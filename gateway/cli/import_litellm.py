"""`import-litellm`: LiteLLM's configuration as one for this gateway."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from gateway.config.load import check
from gateway.config.migration import migrate
from gateway.config.sources import read_text
from gateway.config.vault import UNREAD


def problems(text: str, environ: Mapping[str, str], opened: bool) -> list[str]:
    """What is wrong with a document, secrets of a vault aside."""
    found, _ = check(text, environ, allow_anonymous=opened, secrets=UNREAD)
    return found


def run(file: str) -> int:
    """Print the configuration, and on stderr what became of the rest; 1 if something is lost.

    Raises ConfigError where the file cannot be read or nothing in it can be served.
    """
    result = migrate(read_text(file), problems)
    print(result.document, end="")
    for note in result.dropped:
        print(f"left out: {note}", file=sys.stderr)
    for loss in result.lost:
        print(f"LOST: {loss}", file=sys.stderr)
    return 1 if result.lost else 0
