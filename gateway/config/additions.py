"""What a member adds to requests and takes from them.

That is `extra_headers`, `extra_body`, `additional_drop_params`. Knows which headers and fields
are the gateway's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.config.problems import Path, Problems
from gateway.config.reading import Reading
from gateway.config.sections import Params
from gateway.protocol.field_paths import FieldPath, read_path

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


class Dropped(msgspec.Struct, frozen=True):
    """What `additional_drop_params` takes out of every request of a member."""

    #: Members of the body.
    names: frozenset[str]
    #: Fields within members.
    paths: tuple[FieldPath, ...]


def read_dropped(params: Params, path: Path, reading: Reading) -> Dropped:
    """`additional_drop_params`: fields that no request of the member has, by LiteLLM's notation."""
    names: set[str] = set()
    paths: list[FieldPath] = []
    for index, text in enumerate(params.additional_drop_params or ()):
        here = (*path, "additional_drop_params", index)
        steps = read_path(text)
        if steps is None:
            reading.problems.add(
                here, "is no path; write field, field.inner, field[*].inner or field[0].inner"
            )
        elif steps[0] in _OWN_FIELDS and len(steps) == 1:
            reading.problems.add(here, "names a field without which there is no request; remove it")
        elif steps[0] in _OWN_FIELDS:
            reading.remark(here, "has no effect: what is within this field is never taken out, as at LiteLLM")
        elif not isinstance(steps[-1], str):
            reading.remark(
                here, "has no effect: elements are never taken out, as at LiteLLM, only their fields"
            )
        elif len(steps) == 1:
            names.add(steps[-1])
        else:
            paths.append(steps)
    return Dropped(frozenset(names), tuple(paths))
