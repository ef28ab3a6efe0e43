"""What is remembered of one request."""

from __future__ import annotations

import msgspec

from gateway.protocol.usage import NO_USAGE, Usage


class Record(msgspec.Struct):
    """What is remembered of one request: all of it goes into one log line. Times are in seconds."""

    request_id: str
    #: Name of the operation or endpoint; None for a request that is none of them.
    operation: str | None
    started: float
    client: str | None = None
    requested_model: str | None = None
    deployment: str | None = None
    stream: bool = False
    status: int = 0
    error_code: str | None = None
    usage: Usage = NO_USAGE
    attempts: int = 0
    #: Time until the first byte that was not ours: waiting for the caller's body, for upstream, for a retry.
    waited: float = 0.0
    first_byte: float | None = None
    #: Whether a limit of the client is exceeded that is only counted (`shadow`).
    over_limit: bool = False
    #: For a request without a valid key: how many such requests its line stands for; 0 for no line.
    refusals: int | None = None
