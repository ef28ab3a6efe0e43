"""What an upstream reply means: whose fault a failure is, and when to come back.

Pure: status, headers and bytes in, a verdict out. The rules are those of Azure OpenAI's recorded replies.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Any


class Verdict(Enum):
    """What follows from a reply."""

    #: Upstream did what was asked.
    OK = auto()
    #: The request itself is wrong: its 4xx goes to the client, nothing else is tried.
    CALLER = auto()
    #: A limit: another deployment may have room.
    LIMITED = auto()
    #: The operator's configuration of this deployment is wrong: credentials or name.
    OPERATOR = auto()
    #: The same, for this operation: its path, or the version in which it is asked for.
    OPERATION = auto()
    #: The service failed: another deployment, or the same one a little later, may answer.
    SERVICE = auto()


#: Codes of a 404 that holds for all operations: Azure's and OpenAI's. Azure answers "404" to a wrong path.
_NO_DEPLOYMENT = frozenset({"DeploymentNotFound", "model_not_found"})

#: Seconds of a quota that is spent: as many as Azure names for a day's.
SPENT_SECONDS = 86_400.0

#: "retry after 4.5 seconds", as Azure words it, and "try again in 6m0s" or "120ms", as OpenAI does.
_RETRY_TEXT = re.compile(
    rb"(?:retry after|try again in) (?=\d)"
    rb"(?:(?P<ms>\d{1,9}(?:\.\d{1,9})?) ?(?:ms|milliseconds?)"
    rb"|(?:(?P<h>\d{1,4})h)?(?:(?P<m>\d{1,6})m)?(?:(?P<s>\d{1,9}(?:\.\d{1,9})?) ?s(?:econds?)?)?)(?!\w)",
    re.IGNORECASE,
)
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def judge(status: int, body: bytes) -> Verdict:
    """The verdict on a reply; `body` is looked at only where the status does not settle it."""
    if 200 <= status < 300:
        return Verdict.OK
    if status == 429:
        return Verdict.LIMITED
    if status in {401, 403}:
        return Verdict.OPERATOR
    if status == 404:
        return Verdict.OPERATOR if error_code(body) in _NO_DEPLOYMENT else Verdict.OPERATION
    if status == 408 or status >= 500 or status < 400:
        # A redirect is not followed: the credential would leave for another host.
        return Verdict.SERVICE
    if status == 400 and b"API version not supported" in body:
        return Verdict.OPERATION
    return Verdict.CALLER


def retry_after(headers: Mapping[str, str], body: bytes, now: float) -> float | None:
    """Seconds until upstream wants to be asked again; None when it does not say.

    Of `retry-after` (seconds or an HTTP date, compared with `now` in seconds since 1970) and the two
    milliseconds headers the longest counts, for `retry-after-ms: 0` was seen beside `retry-after: 1`; but
    milliseconds that round up to the seconds are the same wait, more exactly. Without any of them the
    message's own words count.
    """
    seconds = _seconds(headers.get("retry-after"), now) or 0.0
    exact = max(_milliseconds(headers.get(name)) or 0.0 for name in ("retry-after-ms", "x-ms-retry-after-ms"))
    longest = exact if math.ceil(exact) == seconds else max(exact, seconds)
    if longest > 0:
        return longest
    if match := _RETRY_TEXT.search(body):
        return sum(float(match[unit] or 0) * seconds for unit, seconds in _UNITS.items()) or None
    return None


def _seconds(value: str | None, now: float) -> float | None:
    if value is None:
        return None
    number = _number(value)
    if number is not None:
        return number
    try:
        return parsedate_to_datetime(value).timestamp() - now
    except (ValueError, OverflowError):
        return None


def _milliseconds(value: str | None) -> float | None:
    number = None if value is None else _number(value)
    return None if number is None else number / 1000


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def spent(code: str | None) -> bool:
    """Whether a 429 says that the account's money or quota is used up: no waiting helps, within reason."""
    return code == "insufficient_quota"


def error_code(body: bytes) -> str | None:
    """The `code` of an error body in OpenAI's or Azure's shape, for the log."""
    try:
        error = json.loads(body)["error"]
        code: Any = error["code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return code if isinstance(code, str) else None
