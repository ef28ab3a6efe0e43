"""Says in the log that the shared store holds rows which no instance of ours can have written."""

from __future__ import annotations

import logging
import math

#: Seconds between log lines.
_LOG_EVERY = 60.0

_log = logging.getLogger("gateway.storage")


class UnreadableRows:
    """Logs rows that no instance of ours can have written: one line a minute at most."""

    def __init__(self) -> None:
        self._count = 0
        self._logged_at = -math.inf

    def note(self, now: float, count: int = 1) -> None:
        """Count rows that could not be read at `now`, in seconds since 1970."""
        self._count += count
        if not 0 <= now - self._logged_at < _LOG_EVERY:
            _log.warning("%d rows of the shared store could not be read and are ignored", self._count)
            self._count = 0
            self._logged_at = now
