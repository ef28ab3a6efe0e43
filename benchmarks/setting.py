"""What all measurements share: the cores, the upstream, and how long to measure."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import load
from benchmarks.programs import Program, cores, gateway, on_core, running
from benchmarks.traffic import PATH, request, stream_parts

#: Streams at a time where their cost is measured.
STREAMS = 8
#: No relay may make a stream shorter than this, in bytes: the events without framing and usage.
_STREAM_BYTES = sum(len(part) for part in stream_parts(usage=False)[1:]) * 9 // 10


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    #: Alternating rounds of the compared programs, and requests or streams in each.
    rounds: int
    requests: int
    streams: int
    #: Cold starts of each kind.
    starts: int
    #: Requests and streams before memory is read again.
    many_requests: int
    many_streams: int


FULL = Effort(rounds=7, requests=2500, streams=64, starts=15, many_requests=20_000, many_streams=2000)
#: Shows that everything runs; the figures mean nothing.
QUICK = Effort(rounds=1, requests=40, streams=8, starts=1, many_requests=200, many_streams=16)


@dataclass(frozen=True, slots=True)
class Bench:
    """A running upstream, and the core on which what is measured has to run."""

    upstream: Program
    core: int | None
    effort: Effort

    @contextlib.contextmanager
    def gateway(self) -> Iterator[Program]:
        """A running gateway."""
        with gateway(self.upstream, self.core) as program:
            yield program

    @contextlib.contextmanager
    def floor(self, name: str) -> Iterator[Program]:
        """A running floor program."""
        command = [sys.executable, "-m", "benchmarks.floor", name, str(self.upstream.port)]
        with running(command, self.core) as program:
            yield program


@contextlib.contextmanager
def bench(effort: Effort) -> Iterator[Bench]:
    """The upstream, on the core of the load generator, to which this process moves."""
    measured, other = cores()
    with (
        on_core(other),
        running([sys.executable, "-m", "benchmarks.upstream"], other) as upstream,
    ):
        yield Bench(upstream, measured, effort)


def call(program: Program, total: int, concurrency: int, *, path: str = PATH) -> load.Result:
    """Chat calls with whole replies. Raises RuntimeError unless every one succeeded."""
    return _checked(load.run(program.port, request(path, stream=False), total, concurrency), total)


def stream(program: Program, total: int, concurrency: int = STREAMS) -> load.Result:
    """Streamed chat calls. Raises RuntimeError unless every one came to its end."""
    sent = request(PATH, stream=True)
    return _checked(load.run(program.port, sent, total, concurrency, stream_bytes=_STREAM_BYTES), total)


def _checked(result: load.Result, total: int) -> load.Result:
    if result.errors or result.replies != total:
        raise RuntimeError(f"{result.errors} of {total} requests failed")
    return result
