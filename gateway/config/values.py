"""Single values of a configuration: their types, ranges and forms. Knows no key and no section."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date
from typing import Annotated, TypeVar

from gateway.config import urls
from gateway.config.annotations import Before
from gateway.config.references import is_unresolved

#: More than any quota; keeps sums and shares of limits within what a float holds exactly.
_MOST = 10**12
#: Characters of a name, a model's or another. A caller can ask for no longer one.
LONGEST_NAME = 256

#: Seconds of the longest time-out: a day.
_LONGEST = 86_400.0

#: LiteLLM's form of a federated token: the path of its file follows.
OIDC_FILE = "oidc/file/"
#: And of the token of a workload identity, whose file Azure names in a variable; an audience may follow.
OIDC_AZURE = re.compile(r"oidc/azure(/.*)?", re.DOTALL)

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_TENANT = re.compile(r"[A-Za-z0-9.-]+", re.ASCII)


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; remove the key or give it a value")
    return text


def _resolved(text: str) -> str:
    """Any text but a reference that nothing has resolved."""
    _filled(text)
    if is_unresolved(text):
        raise ValueError(
            "is a reference that nothing has resolved, or a word for no value; write os.environ/NAME to read "
            "an environment variable, or the value itself"
        )
    return text


def header_safe(text: str) -> str:
    """Return `text` as a key or token. Raises ValueError: they travel in headers.

    Keys and tokens travel in headers, where anything but printable ASCII is lost or dangerous.
    """
    _resolved(text)
    if not _PRINTABLE.fullmatch(text):
        raise ValueError(
            "holds spaces, line breaks or other characters that no header may carry; remove them"
        )
    return text


def is_header_safe(text: str) -> bool:
    """Tell whether a header can carry `text`."""
    return _PRINTABLE.fullmatch(text) is not None


def _token(text: str) -> str:
    if (text.startswith(OIDC_FILE) and text != OIDC_FILE) or OIDC_AZURE.fullmatch(text):
        return text
    if text.startswith("oidc/"):
        raise ValueError(
            f"of the federated tokens only {OIDC_FILE}PATH is supported, and oidc/azure/ for a workload's; "
            "give the token itself, or no credential at all"
        )
    return header_safe(text)


def _tenant(text: str) -> str:
    if not _TENANT.fullmatch(text):
        raise ValueError("must be a tenant's id or domain name")
    return text


def _named(text: str) -> str:
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise ValueError("must be a name without spaces around it and without control characters")
    if len(text) > LONGEST_NAME:
        raise ValueError(f"must be a name of at most {LONGEST_NAME} characters")
    return text


def _version(text: str) -> str:
    if not is_version(text):
        raise ValueError("must be v1, latest, preview or a date such as 2024-10-21 or 2025-04-01-preview")
    return text


def is_version(text: str) -> bool:
    """Tell whether `text` can be an api-version: one of the v1 names, or a date with an optional suffix."""
    if text in urls.V1_VERSIONS:
        return True
    if not re.fullmatch(r"\d{4}-\d\d-\d\d(-[a-z0-9]{1,20})?", text, re.ASCII):
        return False
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True


def _header_value(text: str) -> str:
    """Any text that a header may carry, spaces within it included."""
    _resolved(text)
    if text != text.strip() or not all(" " <= character <= "~" for character in text):
        raise ValueError("holds characters that no header may carry, or spaces around it; remove them")
    return text


def _as_text(value: object) -> object:
    """LiteLLM takes a number for an id, too."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def as_fallbacks(value: object) -> object:
    """Fallbacks as LiteLLM has them, a list of `{model: [models]}`, of what people also write.

    That is one mapping in place of the list, and one name in place of a list of them.
    """
    entries = [{model: others} for model, others in value.items()] if isinstance(value, dict) else value
    if not isinstance(entries, list):
        return value
    return [
        {model: [others] if isinstance(others, str) else others for model, others in entry.items()}
        if isinstance(entry, dict)
        else entry
        for entry in entries
    ]


N = TypeVar("N", int, float)


def _number(*, most: N, least: N | None = None, above: N | None = None) -> Callable[[N], N]:
    """Check that a number is finite and within its bounds; `above` is itself none."""

    def check(number: N) -> N:
        if isinstance(number, float) and not math.isfinite(number):
            raise ValueError("must be a finite number")
        if number > most:
            raise ValueError(f"must be at most {most}")
        if least is not None and number < least:
            raise ValueError(f"must be at least {least}")
        if above is not None and number <= above:
            raise ValueError(f"must be greater than {above}")
        return number

    return check


Secret = Annotated[str, header_safe]
Name = Annotated[str, _named]
LimitValue = Annotated[int, _number(above=0, most=_MOST)]
Seconds = Annotated[float, _number(above=0.0, most=_LONGEST)]
Pause = Annotated[float, _number(least=0.0, most=_LONGEST)]
Retries = Annotated[int, _number(least=0, most=100)]
Base = Annotated[str, urls.check_base]
Version = Annotated[str, _version]
Token = Annotated[str, _token]
Tenant = Annotated[str, _tenant]
HeaderValue = Annotated[str, _header_value]
Filled = Annotated[str, _resolved]
FallbackLists = Annotated[list[dict[str, list[str]]], Before(as_fallbacks)]
Identity = Annotated[str, Before(_as_text), header_safe]
Weight = Annotated[float, _number(least=0.0, most=float(_MOST))]
