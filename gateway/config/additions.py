"""What a member adds to requests and takes from them.

That is `extra_headers`, `extra_body`, `additional_drop_params`. Knows which headers and fields
are the gateway's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.config.problems import Path, Problems
from gateway.config.sections import Params

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
#: Headers that authenticate, route or frame a request: the gateway writes them itself.
_OWN_HEADERS = frozenset(
    (
        "accept-encoding",
        "api-key",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "openai-organization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
#: Fields that decide which deployment answers, and how: the client and the gateway write them.
_OWN_FIELDS = frozenset(("model", "stream", "stream_options", "stream_format", "messages", "input", "prompt"))


def read_headers(params: Params, path: Path, problems: Problems) -> Mapping[str, str]:
    """`extra_headers`, names in lower case; those that are the gateway's own are problems."""
    return checked_headers(params.extra_headers or {}, (*path, "extra_headers"), problems)


def checked_headers(headers: Mapping[str, str], path: Path, problems: Problems) -> Mapping[str, str]:
    """Headers to add to requests, names in lower case; those that are the gateway's own are problems."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        here, lower = (*path, name), name.lower()
        if not _TOKEN.fullmatch(name):
            problems.add(here, "is no name of a header")
        elif lower in _OWN_HEADERS:
            problems.add(here, "is written by the gateway itself; remove it (keys: api_key)")
        elif lower in found:
            problems.add(here, "is given twice; keep one")
        else:
            found[lower] = value
    return found


def read_body(params: Params, path: Path, problems: Problems) -> Mapping[str, Any]:
    """`extra_body`: fields for every request of the member that lacks them."""
    for name in _OWN_FIELDS & (params.extra_body or {}).keys():
        problems.add((*path, "extra_body", name), "is the client's or the gateway's to write; remove it")
    return params.extra_body or {}


def read_dropped(params: Params, path: Path, problems: Problems) -> frozenset[str]:
    """`additional_drop_params`: fields that no request of the member has."""
    for index, name in enumerate(params.additional_drop_params or ()):
        here = (*path, "additional_drop_params", index)
        if name in _OWN_FIELDS:
            problems.add(here, "names a field without which there is no request; remove it")
        elif any(mark in name for mark in ".[]*"):
            problems.add(here, "must be the name of a field at the top of the body")
    return frozenset(params.additional_drop_params or ())
