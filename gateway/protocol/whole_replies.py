"""What must be there for a JSON reply under a 200 to be an answer. Pure."""

from __future__ import annotations

import re

_ERROR = re.compile(rb'\{\s*"error"\s*:\s*\{')
_RESULTS = re.compile(rb'"results"\s*:\s*\[')
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


def is_object(body: bytes) -> bool:
    """Whether `body` looks like one JSON object that answers: no error, which some send under a 200."""
    begin = body[:64].lstrip()
    return begin.startswith(b"{") and body[-64:].rstrip().endswith(b"}") and not _ERROR.match(begin)


def is_object_with_choices(body: bytes) -> bool:
    """Whether `body` looks like an object with choices.

    Without any it is no answer: an agent would take it for a turn and ask again, up to ten times.
    """
    return is_object(body) and not _NO_CHOICES.search(body)


def is_object_with_results(body: bytes) -> bool:
    """Whether `body` looks like an object with a list of results."""
    return is_object(body) and _RESULTS.search(body) is not None
