"""What an operation hands over to be delivered: a status, headers and a body or its parts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


def compact(value: Any) -> bytes:
    """JSON as Azure sends it: no spaces, text as UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(slots=True)
class Reply:
    """An answer before anything of it is sent."""

    status: int
    headers: list[tuple[str, str]]
    #: A whole body; None where `parts` come one by one.
    body: bytes | None = b""
    #: (seconds to wait before, bytes) of a stream.
    parts: Iterable[tuple[float, bytes]] = ()
    reason: str | None = None
    #: Seconds before the first byte.
    delay_s: float = 0
    #: Whether the parts are server-sent events.
    events: bool = False
    #: Called once the answer is complete: corrects what was charged for it.
    settle: Callable[[], None] | None = None


class Refusal(Exception):
    """The request ends here, with this error."""

    def __init__(
        self,
        status: int,
        body: bytes,
        *,
        reason: str | None = None,
        code: str | None = None,
        content_type: str | None = "application/json",
        headers: Iterable[tuple[str, str]] = (),
        bare: bool = False,
    ) -> None:
        """`bare` is an answer from in front of the resource, with hardly any header."""
        super().__init__(status, code)
        self.status = status
        self.body = body
        self.reason = reason
        self.code = code
        self.content_type = content_type
        self.headers = list(headers)
        self.bare = bare
