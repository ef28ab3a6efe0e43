"""Single values of a configuration: their types, ranges and forms. Knows no key and no section."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config import urls
from gateway.config.references import is_unresolved

#: More than any quota; keeps sums and shares of limits within what a float holds exactly.
_MOST = 10**12
#: Characters of a name, a model's or another. A caller can ask for no longer one.
LONGEST_NAME = 256

#: Seconds of the longest time-out: a day.
_LONGEST = 86_400

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


Secret = Annotated[str, AfterValidator(header_safe)]
Name = Annotated[str, AfterValidator(_named)]
LimitValue = Annotated[int, Field(gt=0, le=_MOST)]
Seconds = Annotated[float, Field(gt=0, le=_LONGEST, allow_inf_nan=False)]
Pause = Annotated[float, Field(ge=0, le=_LONGEST, allow_inf_nan=False)]
Retries = Annotated[int, Field(ge=0, le=100)]
Base = Annotated[str, AfterValidator(urls.check_base)]
Version = Annotated[str, AfterValidator(_version)]
Token = Annotated[str, AfterValidator(_token)]
Tenant = Annotated[str, AfterValidator(_tenant)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
Filled = Annotated[str, AfterValidator(_resolved)]
FallbackLists = Annotated[list[dict[str, list[str]]], BeforeValidator(as_fallbacks)]
Identity = Annotated[str, BeforeValidator(_as_text), AfterValidator(header_safe)]
Weight = Annotated[float, Field(ge=0, le=_MOST, allow_inf_nan=False)]
