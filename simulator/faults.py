"""What can go wrong with one request, as data: scripted per deployment, in a queue.

A fault either replaces the answer (`status`, `preset`), or disturbs how the answer is delivered
(`delay_s`, `slow_headers_s`, `reset`, `cut`, `error_event_after`, `write_size`, `crlf`, `json_for_stream`),
or both. One entry serves one request, or `times` of them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Preset = Literal[
    "server_error",
    "bad_gateway_html",
    "unavailable_empty",
    "timeout",
    "no_capacity",
    "network_403",
    "rbac_401",
    "token_401",
    "key_rotated",
    "redirect",
    "call_limit",
    "token_limit",
    "quota_exhausted",
]


class Cut(BaseModel):
    """The answer breaks off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: How much is sent before: events of a stream, chunks of audio, bytes of a whole body.
    after: int = Field(default=0, ge=0)
    #: `reset` sends RST, `eof` closes the connection, `end` ends the body properly (too early),
    #: `stall` sends nothing more until the client leaves.
    how: Literal["reset", "eof", "end", "stall"] = "reset"


class Fault(BaseModel):
    """One entry of a deployment's fault queue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Requests it serves before the next entry's turn; 0 means all until the queue is replaced.
    times: int = Field(default=1, ge=0)
    #: Requests that pass undisturbed before it.
    skip: int = Field(default=0, ge=0)
    #: A ready answer; see `simulator.errors.preset_refusal`.
    preset: Preset | None = None
    #: Status of a scripted answer.
    status: int | None = Field(default=None, ge=200, le=599)
    reason: str | None = None
    #: Header lines of a scripted answer, or further ones of a preset.
    headers: dict[str, str] = Field(default_factory=dict)
    #: Body of a scripted answer: text as it is, anything else as JSON.
    body: Any = None
    #: Seconds before the first byte of the answer.
    delay_s: float = Field(default=0, ge=0)
    #: Seconds over which the status line and headers are spread.
    slow_headers_s: float = Field(default=0, ge=0)
    #: RST instead of an answer: as soon as the request's headers are there, or once its body is read too.
    reset: Literal["headers", "request"] | None = None
    cut: Cut | None = None
    #: Events of a stream after which an error event follows, then the end without [DONE].
    error_event_after: int | None = Field(default=None, ge=0)
    #: Bytes per write to the socket (1 splits every character); 0 writes what there is.
    write_size: int = Field(default=0, ge=0)
    #: Lines of a stream end in CRLF.
    crlf: bool = False
    #: Several events of a stream in one write.
    glue: int = Field(default=1, ge=1)
    #: A stream was asked for, plain JSON comes.
    json_for_stream: bool = False

    @model_validator(mode="after")
    def one_answer(self) -> Fault:
        """Refuse a fault whose answer is given twice."""
        if self.preset is not None and (self.status is not None or self.body is not None):
            raise ValueError("give either preset or status/body")
        if self.status is None and self.body is not None:
            raise ValueError("body needs a status")
        return self


#: Delivery without any fault.
NO_FAULT = Fault()


class FaultQueue:
    """The faults that await one deployment's next requests."""

    def __init__(self, faults: list[Fault]) -> None:
        """Start with the scripted `faults`."""
        self.waiting = list(faults)
        self.skipped = 0
        self.served = 0

    def take(self) -> Fault:
        """The fault for the next request; NO_FAULT when it is to pass undisturbed."""
        if not self.waiting:
            return NO_FAULT
        fault = self.waiting[0]
        if self.skipped < fault.skip:
            self.skipped += 1
            return NO_FAULT
        self.served += 1
        if self.served == fault.times:
            self.waiting.pop(0)
            self.skipped = self.served = 0
        return fault
