"""What upstream's errors say: their parsed values, and the messages that are known as a whole. Pure.

A client can make upstream repeat its text, so no text is searched for words: codes are compared as values,
and a message counts where all of it has a known form, which begins with upstream's own words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.limits.tokens.signals import Kind

#: "retry after 4.5 seconds", as Azure words it, and "try again in 6m0s" or "120ms", as OpenAI does.
_WAIT = re.compile(
    r"(?:retry after|try again in) (?=\d)"
    r"(?:(?P<ms>\d{1,9}(?:\.\d{1,9})?) ?(?:ms|milliseconds?)"
    r"|(?:(?P<h>\d{1,4})h)?(?:(?P<m>\d{1,6})m)?(?:(?P<s>\d{1,9}(?:\.\d{1,9})?) ?s(?:econds?)?)?)(?!\w)",
    re.IGNORECASE | re.ASCII,
)
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}

#: Messages of limits: Azure's of 2023, those of 2025, without capacity, of provisioned throughput; OpenAI's.
_LIMITS = (
    re.compile(
        r"Requests to the [\w./ -]{1,100} Operation under .{1,200}? have exceeded (?:the )?"
        r"(?:(?P<kind>token|call) rate limit|provisioned throughput)(?P<rest>.{0,1000})",
        re.DOTALL,
    ),
    re.compile(
        r"Your requests to .{1,300}? have exceeded (?:the )?(?P<kind>token|call) rate limit"
        r"(?P<rest>.{0,1000})",
        re.DOTALL,
    ),
    re.compile(
        r"The system is currently experiencing high demand(?P<kind>(?!))?(?P<rest>.{0,1000})", re.DOTALL
    ),
    re.compile(
        r"Rate limit reached for .{1,300}? on (?P<kind>token|request)s per (?:min|minute|hour|day) "
        r"\([RT]P[MHD]\)(?P<rest>.{0,1000})",
        re.DOTALL,
    ),
)
_KINDS: Mapping[str | None, Kind] = {"token": "tokens", "call": "requests", "request": "requests"}

#: The model answered, and what it said is none: a prompt that brings that about does so on every deployment.
_MODELS_OWN = re.compile(
    r"The (?:server had an error: the )?model (?:produced|generated|returned) (?:an )?invalid "
    r"[A-Za-z ]{1,40}(?:[.:] ?.{0,500})?",
    re.DOTALL | re.IGNORECASE,
)
#: Azure's v1 path, where the model is named in the body: its 404 is a 400.
_NO_DEPLOYMENT = re.compile(
    r"Could not find an existing deployment to match the model in the request(?:\. ?.{0,1000})?\.?", re.DOTALL
)
_NO_VERSION = re.compile(r"API version not supported\.?")
_NO_PATH = re.compile(r"Resource not found\.?")
#: Azure's front door, which reads no body.
_NO_ENTRY = re.compile(
    r"Access denied due to Virtual Network/Firewall rules\."
    r"|Public access is disabled\. Please configure private endpoint\."
)


#: Codes, and types where there is none, of errors that say whose fault they are by their status.
_STATUSES = {
    **dict.fromkeys(
        ("401", "Unauthorized", "PermissionDenied", "invalid_api_key", "authentication_error"), 401
    ),
    **dict.fromkeys(("403", "Forbidden", "permission_error"), 403),
    **dict.fromkeys(("404", "DeploymentNotFound", "model_not_found"), 404),
    **dict.fromkeys(("ModelDeprecated", "DeploymentDeprecated"), 410),
    **dict.fromkeys(("429", "RateLimitReached", "NoCapacity", "TooManyRequests", "rate_limit_exceeded"), 429),
    **dict.fromkeys(("insufficient_quota", "rate_limit_error", "tokens", "requests"), 429),
}


class Said(msgspec.Struct, frozen=True):
    """The values of an error; None where they are missing or no strings."""

    code: str | None = None
    type: str | None = None
    param: str | None = None
    message: str | None = None

    @property
    def no_deployment(self) -> bool:
        """Whether v1 says that there is no such deployment. What the body names elsewhere is the caller's."""
        return self.param in {None, "model"} and self._is(_NO_DEPLOYMENT)

    @property
    def no_version(self) -> bool:
        """Whether the api-version is wrong."""
        return self._is(_NO_VERSION)

    @property
    def no_path(self) -> bool:
        """Whether Azure knows no such path, or not in that api-version."""
        return self.code == "404" and self._is(_NO_PATH)

    @property
    def no_entry(self) -> bool:
        """Whether Azure's network rules refuse us."""
        return self._is(_NO_ENTRY)

    @property
    def models_own(self) -> bool:
        """Whether the model itself failed at this prompt."""
        return self.type == "model_error" or self._is(_MODELS_OWN)

    @property
    def callers(self) -> bool:
        """Whether the request itself is wrong or blocked, of an error that came without a status."""
        return self.code == "content_filter" or (self.type == "invalid_request_error" and self.status is None)

    @property
    def status(self) -> int | None:
        """The status that an error without one would have had, where its code tells that it is no 400."""
        if self.no_deployment:
            return 404
        return _STATUSES.get(self.code or "") or _STATUSES.get(self.type or "")

    def _is(self, form: re.Pattern[str]) -> bool:
        return self.message is not None and form.fullmatch(self.message) is not None

    def limit(self) -> tuple[Kind | None, float | None] | None:
        """The limit that the message names, and the seconds to wait; None where it speaks of no limit."""
        for form in _LIMITS if self.message is not None else ():
            if match := form.fullmatch(self.message or ""):
                return _KINDS.get(match["kind"]), _wait(match["rest"])
        return None


NOTHING = Said()


def said(body: bytes) -> Said:
    """What the body of an error says, in OpenAI's shape, in Azure's, or bare."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        return NOTHING
    return said_by(values)


def said_by(values: Any) -> Said:
    """What the JSON value of an error says."""
    if not isinstance(values, dict):
        return NOTHING
    error = values.get("error", values)
    if isinstance(error, str):
        return Said(message=error)
    if not isinstance(error, dict):
        return NOTHING
    found = {name: error[name] for name in Said.__struct_fields__ if isinstance(error.get(name), str)}
    return Said(**found)


def _wait(text: str) -> float | None:
    match = _WAIT.search(text)
    if match is None:
        return None
    return sum(float(match[unit] or 0) * seconds for unit, seconds in _UNITS.items()) or None
