from __future__ import annotations

import pytest

from gateway.routing import dispatcher

#: Where the clock of Pauses begins, in seconds since 1970.
NOW = 1_700_000_000.0


class Pauses(list):
    """The pauses between the tries of calls, in seconds, as the dispatcher has decided on them."""

    def clock(self) -> float:
        """A time that passes in these pauses alone, however busy the machine is."""
        return NOW + sum(self)


@pytest.fixture
def pauses(monkeypatch) -> Pauses:
    decide, decided = dispatcher.pause_before, Pauses()

    def recorded(*arguments):
        pause = decide(*arguments)
        if pause is not None:
            decided.append(pause)
        return pause

    monkeypatch.setattr(dispatcher, "pause_before", recorded)
    return decided


@pytest.fixture(autouse=True)
def _nothing_excused(monkeypatch) -> None:
    """A time-out is upstream's, however busy the machine is. When it is not: tests/upstream/test_attempts.py."""
    monkeypatch.setattr("gateway.upstream.local.SHARE", float("inf"))
