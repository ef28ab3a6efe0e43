"""What a flood of wrong keys does to others: p99 of honest calls while 1,000 of them come each second.

The flood has 20 connections, on which it waits for replies, and the gateway holds these back. In every other
round as many as were answered go to the upstream instead, so that what they cost this machine is in both
figures. `python -m benchmarks.flood PORT SECONDS RATE` is the flood, a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.programs import ROOT, Program, gateway_config, serve_command, started, wait_for
from benchmarks.setting import Bench
from benchmarks.tables import table
from benchmarks.traffic import CLIENT_KEY, PATH, request
from simulator.ports import free_port

#: Wrong keys a second, and over how many connections they come.
WRONG = 1000
FLOOD_CONNECTIONS = 20
#: Honest calls a second, and over how many connections.
HONEST = 250
CONNECTIONS = 8
#: Milliseconds that may be added to the honest calls' p99; lines of the log a second.
MOST_MS = 1.0
MOST_LINES = 1.5


@dataclass(frozen=True, slots=True)
class Round:
    """One round: seconds of each honest call, CPU and wall seconds, wrong keys that were answered."""

    latencies: list[float]
    #: Of the gateway.
    cpu: float
    wall: float
    answered: int

    @property
    def p99(self) -> float:
        """Milliseconds."""
        return 1000 * percentile(self.latencies, 0.99)


def measure(bench: Bench) -> tuple[str, list[str]]:
    """The table, and which promises were not kept."""
    rounds: dict[str, list[Round]] = {"nobody": [], "gateway": [], "upstream": []}
    seconds = bench.effort.requests / HONEST
    with tempfile.TemporaryDirectory() as folder:
        config, log_path, port = Path(folder) / "config.json", Path(folder) / "log", free_port()
        config.write_text(gateway_config(bench.upstream), encoding="utf-8")
        with (
            log_path.open("wb") as log,
            started(
                [*serve_command(config), "--port", str(port)], bench.core, stdout=log.fileno()
            ) as process,
        ):
            wait_for(port, process)
            program = Program(port, process.pid)
            asyncio.run(_honest(port, min(500, bench.effort.requests)))
            for _ in range(bench.effort.rounds):
                rate = float(WRONG)
                for name, target in (("nobody", None), ("gateway", port), ("upstream", bench.upstream.port)):
                    one = _round(program, bench.effort.requests, target, seconds, rate)
                    rounds[name].append(one)
                    if name == "gateway":
                        rate = max(1.0, one.answered / one.wall)
        lines = sum(b'"status":401' in line for line in log_path.read_bytes().splitlines())
    return report(rounds, lines)


def _round(program: Program, calls: int, target: int | None, seconds: float, rate: float) -> Round:
    """Honest calls, with a flood of `rate` a second to the port `target` beside them."""
    before, began, answered = program.cpu(), time.perf_counter(), [0]
    if target is None:
        latencies = asyncio.run(_honest(program.port, calls))
    else:
        with _flooded(target, seconds, rate) as answered:
            latencies = asyncio.run(_honest(program.port, calls))
    return Round(latencies, program.cpu() - before, time.perf_counter() - began, answered[-1])


def report(rounds: dict[str, list[Round]], lines: int) -> tuple[str, list[str]]:
    """The table, and which promises were not kept; so many `lines` told of the flood."""
    seconds = sum(one.wall for one in rounds["gateway"])
    pairs = list(zip(rounds["gateway"], rounds["upstream"], strict=True))
    added = statistics.median(flooded.p99 - plain.p99 for flooded, plain in pairs)
    cost = statistics.median((flooded.cpu - plain.cpu) / max(1, flooded.answered) for flooded, plain in pairs)
    answered = sum(flooded.answered for flooded, _ in pairs) / seconds
    rows: list[list[object]] = [
        [
            f"the flood goes to {name}",
            statistics.median(1000 * percentile(one.latencies, 0.5) for one in several),
            statistics.median(one.p99 for one in several),
        ]
        for name, several in rounds.items()
    ]
    verdict = "kept" if added <= MOST_MS else "NOT KEPT"
    rows.append([f"added by it, at most {MOST_MS} ms: {verdict}", "", added])
    kept = added <= MOST_MS and lines / seconds <= MOST_LINES
    broken = [] if kept else [f"a flood adds {added:.2f} ms to p99 and {lines / seconds:.1f} lines a second"]
    text = table([f"ms, {HONEST} honest calls a second", "p50", "p99"], rows)
    note = (
        f"{answered:.0f} of {WRONG} wrong keys a second were refused, with {1000 * cost:.3f} ms of CPU "
        f"each and {lines / seconds:.2f} lines of the log a second."
    )
    return f"{text}\n\n{note}", broken


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def _honest(port: int, total: int) -> list[float]:
    """Seconds of each of `total` calls, HONEST a second whatever becomes of the ones before."""
    sent = request(PATH, stream=False)
    began = time.perf_counter() + 0.01
    numbers = iter(range(total))
    seconds: list[float] = []

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            due = began + number / HONEST
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            # From the moment at which it is due: a call that had to wait for its connection waited, too.
            writer.write(sent)
            status = await _reply(reader)
            seconds.append(time.perf_counter() - due)
            if status != 200:
                raise RuntimeError(f"an honest call was answered {status}")
        writer.close()

    async with asyncio.TaskGroup() as callers:
        for _ in range(CONNECTIONS):
            callers.create_task(caller())
    return seconds


async def _reply(reader: asyncio.StreamReader) -> int:
    """The status of a reply, once all of it is there."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            await reader.readexactly(int(value))
    return int(head.split(b" ", 2)[1])


@contextlib.contextmanager
def _flooded(port: int, seconds: float, rate: float) -> Iterator[list[int]]:
    """A flood beside the block; its list has then the number of replies."""
    command = [sys.executable, "-m", "benchmarks.flood", str(port), str(seconds), str(rate)]
    found: list[int] = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as flood:  # noqa: S603  our own
        try:
            # It says so when it begins.
            if flood.stdout is None or flood.stdout.readline().strip() != "flooding":
                raise RuntimeError("the flood did not begin")
            yield found
            found.append(int(flood.stdout.read()))
        finally:
            flood.terminate()


async def _flood(port: int, seconds: float, rate: float) -> int:
    """Send `rate` requests a second, each with a key of its own; how many were answered."""
    end, answered, numbers = time.perf_counter() + seconds, 0, iter(range(10**9))
    began, sent = time.perf_counter(), request(PATH, stream=False)

    async def attacker() -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            due = began + number / rate
            if max(due, time.perf_counter()) > end:
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(sent.replace(CLIENT_KEY.encode(), b"sk-wrong-%d" % number))
            try:
                await _reply(reader)
                answered += 1
            except (asyncio.IncompleteReadError, OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    async with asyncio.TaskGroup() as attackers:
        for _ in range(FLOOD_CONNECTIONS):
            attackers.create_task(attacker())
    return answered


if __name__ == "__main__":
    print("flooding", flush=True)
    print(asyncio.run(_flood(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))), flush=True)
